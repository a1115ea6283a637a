package agent

import (
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
)

func TestRun4ReturnValue(t *testing.T) {
	for name, c := range map[string]struct{ script, value, kind string }{
		"json":  {`printf '{"a":1}\n' > "$LEOFLOW_RETURN_VALUE_PATH"`, "{\"a\":1}\n", "application/json"},
		"text":  {`printf 'plain words' > "$LEOFLOW_RETURN_VALUE_PATH"`, "plain words", "text/plain; charset=utf-8"},
		"bytes": {`printf '\xff\x00' > "$LEOFLOW_RETURN_VALUE_PATH"`, "\xff\x00", "application/octet-stream"},
		"empty": {`: > "$LEOFLOW_RETURN_VALUE_PATH"`, "", "text/plain; charset=utf-8"},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fake{spec: bash(c.script)}
			newBench(t, f).run(t)
			wantOutcome(t, f.terminal(t), success, 0, "")
			if len(f.pushes) != 1 || string(f.pushes[0].GetValue()) != c.value ||
				f.pushes[0].GetContentType() != c.kind || f.pushes[0].GetKey() != "return_value" {
				t.Errorf("pushed %v", f.pushes)
			}
		})
	}
}

func TestRun4NoReturnValue(t *testing.T) {
	for name, script := range map[string]string{"none": "true", "failed task": `echo 1 > "$LEOFLOW_RETURN_VALUE_PATH"; false`} {
		t.Run(name, func(t *testing.T) {
			f := &fake{spec: bash(script)}
			newBench(t, f).run(t)
			f.terminal(t)
			if len(f.pushes) != 0 {
				t.Errorf("pushed %v", f.pushes)
			}
		})
	}
}

func TestRun4PushFails(t *testing.T) {
	for name, c := range map[string]struct {
		script string
		reply  *agentv1.PushXComResponse
		err    error
		want   string
	}{
		"rejected":    {"echo 1 > $V", &agentv1.PushXComResponse{RejectionReason: "schema_mismatch"}, nil, "the return value was rejected: schema_mismatch"},
		"error":       {"echo 1 > $V", nil, status.Error(codes.Internal, "broken"), "the return value could not be pushed: Internal: broken"},
		"over":        {"echo 1 > $V", nil, status.Error(codes.FailedPrecondition, "over"), "the return value could not be pushed: FailedPrecondition: over"},
		"too large":   {"head -c 5000000 /dev/zero > $V", nil, nil, "the return value was rejected: payload_too_large (over 4194304 bytes)"},
		"not a file":  {"mkfifo $V", nil, nil, "the return value could not be read: return_value is no regular file"},
		"unavailable": {"echo 1 > $V", &agentv1.PushXComResponse{Accepted: true}, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fake{spec: bash("V=$LEOFLOW_RETURN_VALUE_PATH; " + c.script)}
			f.onPush = func(*agentv1.PushXComRequest) (*agentv1.PushXComResponse, error) { return c.reply, c.err }
			f.onCall = func(m string, nth int) error {
				if name == "unavailable" && m == "PushXCom" && nth < 4 {
					return status.Error(codes.Unavailable, "later")
				}
				return nil
			}
			if code := newBench(t, f).run(t); code != ExitOK {
				t.Errorf("exit code %d", code)
			}
			want := failure
			if c.want == "" {
				want = success
			}
			wantOutcome(t, f.terminal(t), want, 0, c.want)
		})
	}
}

// TestRun4FailedPushKeepsTheTasksEnd: else a push that has to wait could look like an
// execution time-out.
func TestRun4FailedPushKeepsTheTasksEnd(t *testing.T) {
	f := &fake{spec: bash(`echo 1 > "$LEOFLOW_RETURN_VALUE_PATH"`)}
	var pushed time.Time
	f.onPush = func(*agentv1.PushXComRequest) (*agentv1.PushXComResponse, error) {
		pushed = time.Now()
		return &agentv1.PushXComResponse{RejectionReason: "schema_mismatch"}, nil
	}
	newBench(t, f).run(t)
	if at := f.terminal(t).GetOccurredAt().AsTime(); at.After(pushed) || pushed.IsZero() {
		t.Errorf("ended at %v by the report, and pushed at %v", at, pushed)
	}
}
