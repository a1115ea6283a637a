package controlrpc

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
)

// clientTakes is the largest message that a client takes by default.
const clientTakes = 4 << 20

// fakeRuns has changes without end, each as long as any, and one attempt.
type fakeRuns struct {
	Runs
	attempt domain.Attempt
}

func (fakeRuns) RunChanged(context.Context, domain.RunKey) <-chan struct{} { return nil }

func (fakeRuns) RunChanges(_ context.Context, _ domain.RunKey, after int64, limit int) ([]domain.TaskChange, error) {
	changes := make([]domain.TaskChange, limit)
	for i := range changes {
		changes[i] = domain.TaskChange{
			Revision: after + int64(i) + 1,
			TaskID:   strings.Repeat("\U0001F600", 250), TryNumber: math.MaxInt32,
			State: domain.TaskStateFailed, Cause: domain.CauseRejectedOutput, ExitCode: math.MinInt32,
			Message: strings.Repeat("x", domain.MaxErrorMessageBytes), At: time.Now(),
		}
	}
	return changes, nil
}

func (f fakeRuns) LaunchAttempt(context.Context, domain.TaskKey, domain.NewAttempt) (domain.Attempt, error) {
	return f.attempt, nil
}

// TestState6AWatchOfManyLongMessagesFitsAClient: a message that a client cannot take
// would come again at every resumption.
func TestState6AWatchOfManyLongMessagesFitsAClient(t *testing.T) {
	s := &Server{Config: Config{Runs: fakeRuns{}}}
	enough := errors.New("enough")
	sent := 0
	err := s.watchRun(t.Context(), &controlv1.WatchRunRequest{}, func(resp *controlv1.WatchRunResponse) error {
		if size := proto.Size(resp); size > clientTakes {
			t.Errorf("%d changes make %d bytes, more than a client takes", len(resp.GetChanges()), size)
		}
		if sent++; sent == 3 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) {
		t.Errorf("the watch ended with %v", err)
	}
}

// TestToken3ATokenOutlivesQueueingAndTheTask: deployed agents never renew, and a task
// without a time-out may run for long.
func TestToken3ATokenOutlivesQueueingAndTheTask(t *testing.T) {
	keys, err := auth.GenerateKeys()
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
	ref := domain.AttemptRef{TaskInstanceID: "i", TenantID: "t", DagID: "d", RunID: "r", TaskID: "x", TryNumber: 1}
	const day = 24 * time.Hour
	for timeout, least := range map[time.Duration]time.Duration{
		time.Second: day, 10 * day: 11 * day, 0: 30 * day, math.MaxInt32 * time.Second: math.MaxInt32*time.Second + day,
	} {
		s := &Server{Config: Config{
			Runs:   fakeRuns{attempt: domain.Attempt{Ref: ref, Timeout: timeout, QueuedAt: now}},
			Tokens: auth.NewTokens(keys, func() time.Time { return now }),
		}}
		resp, err := s.launchAttempt(t.Context(), &controlv1.LaunchAttemptRequest{TryNumber: 1})
		if err != nil {
			t.Fatal(err)
		}
		if life := resp.GetTokenExpiresAt().AsTime().Sub(now); life < least {
			t.Errorf("time-out %v: the token lives %v, want %v at least", timeout, life, least)
		}
	}
}

// TestErr3ASchemasFaultIsToldInFewWords: what an error tells travels as metadata, of
// which a client may take no more than 8 KiB.
func TestErr3ASchemasFaultIsToldInFewWords(t *testing.T) {
	for _, schema := range []string{
		`{"pattern":"(` + strings.Repeat("é", 50_000) + `"}`,
		`{"type":"` + strings.Repeat("é", 50_000) + `"}`,
		`{"$ref":"file:///` + strings.Repeat("a", 50_000) + `"}`,
	} {
		task := &controlv1.TaskDefinition{TaskId: "t", ReturnSchemaJson: schema}
		_, err := definition("tasks[0]", "", task, map[string]bool{"t": true})
		if err == nil {
			t.Fatalf("accepted %.30s", schema)
		}
		if size := proto.Size(status.Convert(err).Proto()); size > 2048 {
			t.Errorf("%.30s: the status has %d bytes", schema, size)
		}
	}
}
