package agent

import (
	"context"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
)

// TestNet2RefusedLogStreamIsNotOpenedAgain also holds that a newer stream of the
// attempt is left alone (LOG-13), and that none of it changes the outcome (A-LOG-3).
func TestNet2RefusedLogStreamIsNotOpenedAgain(t *testing.T) {
	for _, code := range []codes.Code{
		codes.Unauthenticated, codes.PermissionDenied, codes.FailedPrecondition, codes.Unimplemented,
		codes.NotFound, codes.InvalidArgument, codes.Aborted,
	} {
		t.Run(code.String(), func(t *testing.T) {
			f := &fake{spec: bash("echo one")}
			f.onStream = func(int, lineStream) error { return status.Error(code, "no") }
			b := newBench(t, f)
			if code := b.run(t); code != ExitOK {
				t.Errorf("exit code %d", code)
			}
			wantOutcome(t, f.terminal(t), success, 0, "")
			if n := f.called("StreamLogs"); n != 1 {
				t.Errorf("opened %d times", n)
			}
		})
	}
}

// TestNet2RenewedTokenOpensTheLogAgain: once for each token that is refused.
func TestNet2RenewedTokenOpensTheLogAgain(t *testing.T) {
	for _, code := range []codes.Code{codes.Unauthenticated, codes.PermissionDenied} {
		t.Run(code.String(), func(t *testing.T) {
			script, open := gate(t)
			f := &fake{spec: bash("echo one; " + script)}
			renewed := make(chan struct{})
			f.onStream = func(nth int, _ lineStream) error {
				if nth == 1 {
					await(t, renewed, "a heartbeat")
				} else {
					open()
				}
				return status.Error(code, "expired")
			}
			f.onBeat = func(_ context.Context, nth int) (*agentv1.HeartbeatResponse, error) {
				if nth == 2 {
					close(renewed)
				}
				return &agentv1.HeartbeatResponse{RenewedToken: "renewed.token"}, nil
			}
			if code := newBench(t, f).run(t); code != ExitOK {
				t.Errorf("exit code %d", code)
			}
			wantOutcome(t, f.terminal(t), success, 0, "")
			if n := f.called("StreamLogs"); n != 2 {
				t.Errorf("opened %d times", n)
			}
		})
	}
}

// TestNet2SameTokenIsNoRenewal: a refusal is tried again for another token alone.
func TestNet2SameTokenIsNoRenewal(t *testing.T) {
	b := newBearer("one", true)
	before := b.token.Load()
	if b.renew("one"); b.token.Load() != before {
		t.Error("the token in use counts as a renewed one")
	}
	if b.renew("two"); *b.token.Load() != "two" {
		t.Errorf("in use is %q", *b.token.Load())
	}
}

// TestLog2StreamRefusedForItsRateIsOpenedAgain, more often than one that fails for good.
func TestLog2StreamRefusedForItsRateIsOpenedAgain(t *testing.T) {
	busy, err := status.New(codes.ResourceExhausted, "busy").WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(time.Millisecond)})
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{spec: bash("echo one")}
	b := newBench(t, f)
	f.onStream = func(nth int, s lineStream) error {
		if nth <= b.pace.logTries+1 {
			return busy.Err()
		}
		_, err := f.take(s, nil)
		return err
	}
	b.run(t)
	wantOutcome(t, f.terminal(t), success, 0, "")
	wantLines(t, f.texts("stdout"), "one")
}
