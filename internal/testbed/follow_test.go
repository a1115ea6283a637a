package testbed

import (
	"context"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"
)

// awaited begins to wait for a line, and returns what came of it.
func (a *attempt) awaited(text string) <-chan error {
	out := make(chan error, 1)
	go func() {
		_, err := a.AwaitLine(a.bench.ctx, &conformancev1.AwaitLineRequest{Attempt: a.ref, Message: text})
		out <- err
	}()
	return out
}

func TestALineIsAwaited(t *testing.T) {
	b := put(t, inProcess)
	a := b.attempt("r", running)
	there, later := a.awaited("one"), a.awaited("two")
	a.logs("one")
	if err := <-there; err != nil {
		t.Fatal(err)
	}
	b.set(shutsDown, true) // whoever watches looks again
	select {
	case err := <-later:
		t.Fatalf("before it came: %v", err)
	default:
	}
	stream := a.logs("two")
	if err := <-later; err != nil {
		t.Fatal(err)
	}
	if _, err := b.agents.ReportState(a.ctx, &agentv1.ReportStateRequest{State: agentv1.TaskState_TASK_STATE_SUCCESS}); err != nil {
		t.Fatal(err)
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if err := <-a.awaited("three"); err == nil {
		t.Error("a line has come that nobody sent")
	}
}

// TestLog11AFollowerThatStalls stays until the bed ends, which it does not hold up, and
// keeps nobody from logging far more than what is under way to it.
func TestLog11AFollowerThatStalls(t *testing.T) {
	b := put(t, inProcess)
	a := b.attempt("r", running)
	if _, err := b.StallFollower(b.ctx, &conformancev1.StallFollowerRequest{Attempt: a.ref}); err != nil {
		t.Fatal(err)
	}
	stream := a.logs("first")
	text := strings.Repeat("x", 60<<10)
	for range 100 {
		if err := stream.Send(&agentv1.LogLine{Stream: "stdout", Message: text}); err != nil {
			t.Fatal(err)
		}
	}
	if err := stream.Send(&agentv1.LogLine{Stream: "stdout", Message: "last"}); err != nil {
		t.Fatal(err)
	}
	if err := <-a.awaited("last"); err != nil {
		t.Fatal(err)
	}
	soon, cancel := context.WithTimeout(b.ctx, 9*time.Second) // less than a server waits for calls under way
	defer cancel()
	if _, err := b.SetFault(soon, &conformancev1.SetFaultRequest{Fault: shutsDown, Active: true}); err != nil {
		t.Errorf("it held up the end: %v", err)
	}
	_, err := b.StallFollower(b.ctx, &conformancev1.StallFollowerRequest{Attempt: &conformancev1.AttemptRef{TenantId: "acme"}})
	if status.Code(err) != codes.NotFound {
		t.Errorf("a log of nobody's: %v", err)
	}
}
