package testbed

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	policyv1 "github.com/neochaotic/leoflow/gen/leoflow/policy/v1"
)

const (
	queued  = policyv1.TaskState_TASK_STATE_QUEUED
	running = policyv1.TaskState_TASK_STATE_RUNNING
	failed  = policyv1.TaskState_TASK_STATE_FAILED
)

// TestEveryFaultEndsWithoutATrace makes each fault that is offered, ends it, and has the
// server do what it did before.
func TestEveryFaultEndsWithoutATrace(t *testing.T) {
	b := put(t, inProcess)
	faults := must[*conformancev1.GetCapabilitiesResponse](t)(b.GetCapabilities(b.ctx, &conformancev1.GetCapabilitiesRequest{})).GetFaults()
	if !slices.Equal(faults, bedFaults) {
		t.Errorf("offered: %v", faults)
	}
	a := b.attempt("r", running)
	b.variable("K", "v")
	for _, fault := range faults {
		for range 2 { // saying it twice is saying it once
			b.set(fault, true)
		}
		for range 2 {
			b.set(fault, false)
		}
		if err := a.spec(); err != nil {
			t.Errorf("after %s: %v", fault, err)
		}
		got, err := a.variables()
		if err != nil || got.GetVariables()["K"] != "v" {
			t.Errorf("after %s: %v, %v", fault, got, err)
		}
	}
	_, err := b.SetFault(b.ctx, &conformancev1.SetFaultRequest{Fault: conformancev1.Fault_FAULT_RESTART, Active: true})
	if status.Code(err) != codes.Unimplemented {
		t.Errorf("a bed cannot kill itself: %v", err)
	}
}

// variable stores a variable of tenant acme.
func (b *bench) variable(key, value string) {
	b.t.Helper()
	_, err := b.PutSecrets(b.ctx, &conformancev1.PutSecretsRequest{TenantId: "acme", Variables: map[string]string{key: value}})
	if err != nil {
		b.t.Fatal(err)
	}
}

func TestAStoreThatIsDownNamesTableFileAndDriver(t *testing.T) {
	b := put(t, inProcess)
	a := b.attempt("r", running)
	b.set(storeDown, true)
	b.set(unaudited, true)                                                                   // one does not undo the other
	_, read := b.agents.FetchXCom(a.ctx, &agentv1.FetchXComRequest{UpstreamTaskId: "other"}) // a specification is remembered
	_, write := b.agents.ReportState(a.ctx, &agentv1.ReportStateRequest{State: agentv1.TaskState_TASK_STATE_SUCCESS})
	for _, err := range []error{read, write} {
		if code := status.Code(err); code != codes.Internal {
			t.Errorf("answered %v", err)
		}
	}
	if got := a.beat(); got.GetShouldTerminate() {
		t.Errorf("BEAT-2: %v", got)
	}
	if text := b.log.String(); !strings.Contains(text, "sqlite: table ") || !strings.Contains(text, b.dir) {
		t.Errorf("logged:\n%s", text)
	}
	b.set(storeDown, false)
	b.attempt("later", queued) // which begins with an upsert
	if got := a.stored().GetState(); got != running {
		t.Errorf("stored: %v", got)
	}
	if _, err := a.variables(); status.Code(err) != codes.Unavailable {
		t.Errorf("without audit: %v", err)
	}
}

func TestWhatAKilledBedLeftIsMended(t *testing.T) {
	b := put(t, inProcess)
	a := b.attempt("r", running)
	if err := b.end(); err != nil {
		t.Fatal(err)
	}
	left := database{dir: b.dir}
	if err := left.harm(t.Context(), true, true); err != nil {
		t.Fatal(err)
	}
	again := putWith(t, Config{DataDir: b.dir}, inProcess)
	got := must[*conformancev1.GetAttemptResponse](t)(again.GetAttempt(again.ctx, &conformancev1.GetAttemptRequest{Attempt: a.ref}))
	if got.GetState() != running {
		t.Errorf("stored: %v", got)
	}
}

func TestSecret5NoAuditNoDelivery(t *testing.T) {
	b := put(t, inProcess)
	b.variable("K", "v")
	a := b.attempt("r", running)
	b.set(unaudited, true)
	if _, err := a.variables(); status.Code(err) != codes.Unavailable {
		t.Errorf("delivered: %v", err)
	}
	for a.stored().GetHeartbeatAt() == nil { // one that the store takes too long for is recorded later
		if got := a.beat(); got.GetShouldTerminate() {
			t.Fatalf("all else works: %v", got)
		}
	}
	b.set(unaudited, false)
	if got, err := a.variables(); err != nil || got.GetVariables()["K"] != "v" {
		t.Errorf("%v, %v", got, err)
	}
	got := must[*conformancev1.ListDeliveriesResponse](t)(b.ListDeliveries(b.ctx, &conformancev1.ListDeliveriesRequest{TenantId: "acme"}))
	if len(got.GetDeliveries()) != 1 {
		t.Errorf("recorded: %v", got)
	}
}

func TestSecret5WithoutSecrets(t *testing.T) {
	b := put(t, inProcess)
	b.variable("K", "v")
	a := b.attempt("r", running)
	b.set(noSecrets, true)
	if _, err := a.variables(); status.Code(err) != codes.Unavailable {
		t.Errorf("delivered: %v", err)
	}
	if err := a.spec(); err != nil {
		t.Errorf("all else works: %v", err)
	}
}

func TestErr2EveryHandlerPanics(t *testing.T) {
	b := put(t, inProcess)
	a := b.attempt("r", running)
	b.set(panics, true)
	if err := a.spec(); status.Code(err) != codes.Internal {
		t.Errorf("a call: %v", err)
	}
	stream := must[agentv1.AgentService_StreamLogsClient](t)(b.agents.StreamLogs(a.ctx))
	if _, err := stream.Recv(); status.Code(err) != codes.Internal {
		t.Errorf("a stream: %v", err)
	}
}

func TestLog10ToldToEndTheServerEndsItsStreams(t *testing.T) {
	b := put(t, inProcess)
	a := b.attempt("r", running)
	stream := a.logs("one")
	b.set(shutsDown, true)
	if err := drained(stream); status.Code(err) != codes.Unavailable {
		t.Errorf("the stream ended with %v", err)
	}
	got := must[*conformancev1.GetLogResponse](t)(b.GetLog(b.ctx, &conformancev1.GetLogRequest{Attempt: a.ref}))
	if len(got.GetRecords()) != 1 || a.stored().GetState() != running {
		t.Errorf("after the restart: %v, %v", got, a.stored())
	}
	a.logs("two")
}

// logs opens a stream, sends a line, and returns when it is acknowledged.
func (a *attempt) logs(text string) agentv1.AgentService_StreamLogsClient {
	a.t.Helper()
	stream := must[agentv1.AgentService_StreamLogsClient](a.t)(a.agents.StreamLogs(a.ctx))
	if err := stream.Send(&agentv1.LogLine{Stream: "stdout", Message: text}); err != nil {
		a.t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		a.t.Fatal(err)
	}
	return stream
}

// drained returns what a stream ends with.
func drained(stream agentv1.AgentService_StreamLogsClient) error {
	for {
		if _, err := stream.Recv(); err != nil {
			return err
		}
	}
}

// TestBeat5SilenceIsWhatWasSaid: of two attempts that were silent long before the window
// was said, the one that beats from then on lives on, though many more are left over.
func TestBeat5SilenceIsWhatWasSaid(t *testing.T) {
	b := put(t, inProcess)
	for _, run := range strings.Split("abcdefghijkl", "") {
		b.attempt(run, running)
	}
	silent, beating := b.attempt("silent", running), b.attempt("beating", running)
	for try := 1; !b.beatUntilLost(beating, silent); try++ { // it was itself silent, as all stood still
		b.silence(0)
		silent, beating = b.attempt(fmt.Sprint("silent", try), running), b.attempt(fmt.Sprint("beating", try), running)
	}
	if got := silent.stored().GetCause(); got != controlv1.Cause_CAUSE_LOST {
		t.Errorf("it ended as %v", got)
	}
	b.silence(0)
	if got := b.attempt("later", running).beat().GetBeatInterval().AsDuration(); got < 5*time.Second {
		t.Errorf("as configured, agents beat every %v", got)
	}
	_, err := b.SetSilence(b.ctx, &conformancev1.SetSilenceRequest{LostAfter: durationpb.New(time.Millisecond)})
	if status.Code(err) != codes.InvalidArgument {
		t.Errorf("a window that is too short: %v", err)
	}
	b.attempt("last", queued)
}

// beatUntilLost says a window, and has an attempt beat until another one is lost. It fails the
// test where the one that beats is lost too; false: it had not been heard for all of the
// window, as who beats, or the server, stood still.
func (b *bench) beatUntilLost(beating, silent *attempt) bool {
	b.t.Helper()
	const window = 2 * time.Second
	heard := time.Now()
	b.silence(window)
	every := time.NewTicker(200 * time.Millisecond)
	defer every.Stop()
	for lost := false; !lost; {
		began := time.Now()
		got := beating.beat()
		if got.GetBeatInterval().AsDuration() > time.Second {
			b.t.Fatalf("in a window of %v, to beat so: %v", window, got)
		}
		if !got.GetShouldTerminate() {
			heard = began
		}
		select {
		case <-every.C:
		case <-b.ctx.Done():
			b.t.Fatalf("never lost: %v\n%s", silent.stored(), b.log)
		}
		lost = silent.stored().GetState() == failed
		if state := beating.stored().GetState(); got.GetShouldTerminate() || state != running {
			if time.Since(heard) < window {
				b.t.Fatalf("the one that beats is %v: %v", state, got)
			}
			return false
		}
	}
	return true
}

func (b *bench) silence(d time.Duration) {
	b.t.Helper()
	if _, err := b.SetSilence(b.ctx, &conformancev1.SetSilenceRequest{LostAfter: durationpb.New(d)}); err != nil {
		b.t.Fatal(err)
	}
}
