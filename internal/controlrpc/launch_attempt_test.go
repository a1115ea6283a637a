package controlrpc

import (
	"context"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
)

var launchedAt = time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)

// launchedRuns has one attempt, launched at launchedAt and queued still.
type launchedRuns struct {
	Runs
	timeout time.Duration
}

func (f launchedRuns) LaunchAttempt(_ context.Context, task domain.TaskKey, a domain.NewAttempt) (domain.Attempt, error) {
	return domain.Attempt{
		Ref: domain.AttemptRef{
			TaskInstanceID: "ti", TenantID: "acme", DagID: task.DagID, RunID: task.RunID, TaskID: task.TaskID, TryNumber: a.Try,
		},
		State: domain.TaskStateQueued, Timeout: f.timeout, QueuedAt: launchedAt,
	}, nil
}

// launchRig is a server whose tokens are on a clock that a test sets.
type launchRig struct {
	*Server
	tokens *auth.Tokens
	now    time.Time
}

func newLaunchRig(t *testing.T, timeout time.Duration) *launchRig {
	t.Helper()
	keys, err := auth.NewKeys(auth.Key{ID: "k", Secret: []byte(strings.Repeat("k", auth.MinKeyBytes))})
	if err != nil {
		t.Fatal(err)
	}
	r := &launchRig{now: launchedAt}
	r.tokens = auth.NewTokens(keys, func() time.Time { return r.now })
	if r.Server, err = NewServer(Config{Runs: launchedRuns{timeout: timeout}, Tokens: r.tokens}); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *launchRig) launch(t *testing.T) (*controlv1.LaunchAttemptResponse, error) {
	t.Helper()
	token, _, err := r.tokens.MintOperator(auth.OperatorIdentity{Subject: "ann", TenantID: "acme", Role: auth.RoleOperator}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs("authorization", "Bearer "+token))
	return r.LaunchAttempt(ctx, &controlv1.LaunchAttemptRequest{DagId: "d", RunId: "r", TaskId: "t", TryNumber: 1})
}

func TestToken2ALaunchRepeatedDoesNotLengthenTheTokensLife(t *testing.T) {
	for timeout, life := range map[time.Duration]time.Duration{
		0:               31 * 24 * time.Hour,
		time.Hour:       25 * time.Hour,
		100 * time.Hour: 124 * time.Hour,
	} {
		r := newLaunchRig(t, timeout)
		for _, after := range []time.Duration{0, time.Minute, life - time.Second} {
			r.now = launchedAt.Add(after)
			resp, err := r.launch(t)
			if err != nil {
				t.Fatal(err)
			}
			if got := resp.GetTokenExpiresAt().AsTime(); !got.Equal(launchedAt.Add(life)) {
				t.Errorf("time-out %v, launched again after %v: the token ends at %v, want %v after the launch", timeout, after, got, life)
			}
			id, err := r.tokens.AuthenticateAgent(resp.GetAgentToken())
			if err != nil || id.TryNumber != 1 || id.TenantID != "acme" || id.TaskID != "t" {
				t.Errorf("the token is of %+v, %v", id, err)
			}
		}
		r.now = launchedAt.Add(life)
		if _, err := r.launch(t); status.Code(err) != codes.FailedPrecondition {
			t.Errorf("launched again after its token's life: %v, want FAILED_PRECONDITION", err)
		}
	}
}

func TestToken2ALaunchedAttemptsTokenIsRenewable(t *testing.T) {
	r := newLaunchRig(t, time.Minute)
	resp, err := r.launch(t)
	if err != nil {
		t.Fatal(err)
	}
	id, err := r.tokens.AuthenticateAgent(resp.GetAgentToken())
	if err != nil {
		t.Fatal(err)
	}
	r.now = launchedAt.Add(20 * time.Hour)
	if renewed, err := r.tokens.RenewAgent(resp.GetAgentToken(), *id); err != nil || renewed == "" {
		t.Errorf("not renewed: %v", err)
	}
}
