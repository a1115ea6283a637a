package agentrpc

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/xcom"
)

// notLive are the definitive answers of a store, and what the wire makes of them.
var notLive = []struct {
	err          error
	wire         agentv1.TerminationReason
	word         string
	acknowledged bool // a report that changed nothing still counts as heard (STATE-4)
}{
	{domain.ErrCancelled, agentv1.TerminationReason_TERMINATION_REASON_CANCELLED, "cancelled", false},
	{domain.ErrSuperseded, agentv1.TerminationReason_TERMINATION_REASON_SUPERSEDED, "superseded", true},
	{domain.ErrFinished, agentv1.TerminationReason_TERMINATION_REASON_FINISHED, "finished", true},
	{domain.ErrLost, agentv1.TerminationReason_TERMINATION_REASON_LOST, "lost", true},
	{domain.ErrTimedOut, agentv1.TerminationReason_TERMINATION_REASON_TIMED_OUT, "timed_out", true},
	{domain.ErrUnknown, agentv1.TerminationReason_TERMINATION_REASON_UNKNOWN, "unknown", false},
}

func TestBeat3AndState4NotLiveOfAPlainStoreTerminates(t *testing.T) {
	for _, c := range notLive {
		for how, err := range map[string]error{"bare": c.err, "wrapped": fmt.Errorf("%s: %w", secret, c.err)} {
			t.Run(c.word+"/"+how, func(t *testing.T) {
				r := newRig()
				r.fail("RecordHeartbeat", err)
				r.fail("ReportState", err)
				beat, failed := r.Heartbeat(good(t), &agentv1.HeartbeatRequest{})
				if failed != nil {
					t.Fatal(failed)
				}
				if !beat.GetShouldTerminate() || beat.GetReason() != c.wire || beat.GetStopBy() != nil || beat.GetRenewedToken() != "" {
					t.Errorf("heartbeat %v", beat)
				}
				report, failed := r.ReportState(good(t), &agentv1.ReportStateRequest{State: stateRunning})
				if failed != nil {
					t.Fatal(failed)
				}
				if !report.GetShouldTerminate() || report.GetReason() != c.wire || report.GetAcknowledged() != c.acknowledged {
					t.Errorf("report %v", report)
				}
			})
		}
	}
}

func TestNotLiveIsHonouredOfEveryBaseInterface(t *testing.T) {
	for _, at := range []struct {
		rpc, method string
		want        codes.Code
	}{
		{"GetTaskSpec", "TaskSpec", codes.FailedPrecondition},
		{"FetchXCom", "TaskSpec", codes.FailedPrecondition},
		{"FetchXCom", "Fetch", codes.FailedPrecondition},
		{"PushXCom", "TaskSpec", codes.FailedPrecondition},
		{"PushXCom", "Push", codes.FailedPrecondition},
		{"GetVariables", "SecretVariables", codes.PermissionDenied},
		{"GetConnections", "SecretConnectionURIs", codes.PermissionDenied},
		{"StreamLogs", "Open", codes.FailedPrecondition},
		{"StreamLogs", "WriteEvent", codes.FailedPrecondition},
	} {
		for _, c := range notLive {
			t.Run(at.rpc+"/"+at.method+"/"+c.word, func(t *testing.T) {
				r := equipped()
				r.fail(at.method, fmt.Errorf("%s: %w", secret, c.err))
				wantNotLive(t, rpcNamed(at.rpc).call(good(t), r.Server), at.want, c.word)
			})
		}
	}
}

func TestReg3AndLog9NotLiveOfTheRicherInterfaces(t *testing.T) {
	for _, at := range []struct {
		rpc, method string
		want        codes.Code
	}{
		{"Register", "RegisterAgent", codes.FailedPrecondition},
		{"PushXCom", "PushFrom", codes.FailedPrecondition},
		{"FetchXCom", "FetchFor", codes.FailedPrecondition},
		{"StreamLogs", "MayLog", codes.FailedPrecondition},
		{"GetVariables", "DeliverVariables", codes.PermissionDenied},
		{"GetConnections", "DeliverConnectionURIs", codes.PermissionDenied},
	} {
		for _, c := range notLive {
			t.Run(at.rpc+"/"+c.word, func(t *testing.T) {
				r := enriched()
				r.fail(at.method, fmt.Errorf("%s: %w", secret, c.err))
				wantNotLive(t, rpcNamed(at.rpc).call(good(t), r.Server), at.want, c.word)
			})
		}
	}
}

func wantNotLive(t *testing.T, err error, code codes.Code, word string) {
	t.Helper()
	wantCode(t, err, code)
	info := errorInfo(err)
	if info.GetReason() != "ATTEMPT_NOT_LIVE" || info.GetMetadata()["termination_reason"] != word {
		t.Errorf("ErrorInfo %v, want the reason %s", info, word)
	}
}

func TestAPlainFakeHasNoneOfTheAbilities(t *testing.T) {
	r := equipped()
	if r.registrar != nil || r.reporter != nil || r.cancels != nil || r.admitter != nil ||
		r.attempts != nil || r.lines != nil || r.deliverer != nil {
		t.Error("a plain fake is taken for more than it is")
	}
	for _, rpc := range rpcs {
		if err := rpc.call(good(t), r.Server); err != nil {
			t.Errorf("%s: %v", rpc.name, err)
		}
	}
	want := []string{
		"TaskSpec", "TaskSpec", "Fetch", "TaskSpec", "Push", "Open", "WriteEvent", "Publish", "Close",
		"ReportState", "RecordHeartbeat", "SecretVariables", "SecretConnectionURIs",
	}
	if got := r.touched(); !slices.Equal(got, want) {
		t.Errorf("asked %v, want %v", got, want)
	}
}

func TestEachAbilityIsFoundAndUsed(t *testing.T) {
	r := enriched()
	for _, rpc := range rpcs {
		if err := rpc.call(good(t), r.Server); err != nil {
			t.Errorf("%s: %v", rpc.name, err)
		}
	}
	want := []string{
		"RegisterAgent", "TaskSpec", "TaskSpec", "FetchFor", "TaskSpec", "PushFrom", "MayLog", "Open", "WriteEvent", "Publish", "Close",
		"ReportStateAt", "RecordHeartbeat", "DeliverVariables", "DeliverConnectionURIs",
	}
	if got := r.touched(); !slices.Equal(got, want) {
		t.Errorf("asked %v, want %v", got, want)
	}
	for _, name := range []string{"GetVariables", "GetConnections"} {
		if got := r.last(map[string]string{"GetVariables": "DeliverVariables", "GetConnections": "DeliverConnectionURIs"}[name]); got != testIdentity {
			t.Errorf("%s delivers to %v", name, got)
		}
	}
}

func TestReg1WhatAnAgentSaysOfItselfIsCut(t *testing.T) {
	r := enriched()
	if _, err := r.Register(good(t), &agentv1.RegisterRequest{AgentVersion: strings.Repeat("v", 1000), Hostname: "h" + strings.Repeat("é", 500)}); err != nil {
		t.Fatal(err)
	}
	want := domain.AgentInfo{Version: strings.Repeat("v", 256), Hostname: "h" + strings.Repeat("é", 127)}
	if got := r.last("RegisterAgent"); got != want {
		t.Errorf("stored %v", got)
	}
}

func TestState6TheAgentsTimeIsKeptAndClamped(t *testing.T) {
	at := time.Date(2026, 11, 24, 9, 59, 0, 123, time.UTC)
	for name, c := range map[string]struct {
		sent *timestamppb.Timestamp
		want time.Time
	}{
		"absent":    {nil, time.Time{}},
		"sent":      {timestamppb.New(at), at},
		"too late":  {&timestamppb.Timestamp{Seconds: 1 << 62, Nanos: 2_000_000_000}, time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC)},
		"too early": {&timestamppb.Timestamp{Seconds: -1 << 62, Nanos: -5}, time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)},
	} {
		t.Run(name, func(t *testing.T) {
			r := enriched()
			if _, err := r.ReportState(good(t), &agentv1.ReportStateRequest{State: stateFailed, ExitCode: -1, ErrorMessage: "m", OccurredAt: c.sent}); err != nil {
				t.Fatal(err)
			}
			want := reported{testIdentity, domain.TaskStateFailed, -1, "m", c.want}
			if got := r.last("ReportStateAt"); got != want {
				t.Errorf("stored %v, want %v", got, want)
			}
		})
	}
}

func TestXCom6To8AttemptsAreKeptApartAndTheLifeIsTold(t *testing.T) {
	s := newScript()
	r := rigOf(s, plainStore{s}, attemptXCom{plainXCom{s}, 90*time.Minute + time.Millisecond})
	resp, err := r.PushXCom(good(t), &agentv1.PushXComRequest{Value: []byte("v")})
	if err != nil || !resp.GetAccepted() || resp.GetTtlSeconds() != 5400 {
		t.Errorf("answer %v, %v", resp, err)
	}
	if got, want := r.last("PushFrom"), (pushedFrom{testIdentity.Attempt(), "return_value", "v"}); got != want {
		t.Errorf("pushed %v, want %v", got, want)
	}
	if _, err := r.FetchXCom(good(t), &agentv1.FetchXComRequest{UpstreamTaskId: "extract", Key: "k"}); err != nil {
		t.Fatal(err)
	}
	want := fetchedFor{testIdentity.Attempt(), xcom.Key{TenantID: "acme", DagID: "dag", RunID: testIdentity.RunID, TaskID: "extract", Name: "k"}}
	if got := r.last("FetchFor"); got != want {
		t.Errorf("fetched %v, want %v", got, want)
	}
	s.at("PushFrom", func(context.Context) error { return xcom.ErrTooLarge })
	if resp, err := r.PushXCom(good(t), &agentv1.PushXComRequest{}); err != nil || resp.GetTtlSeconds() != 0 || resp.GetRejectionReason() != "payload_too_large" {
		t.Errorf("answer %v, %v", resp, err)
	}
}
