package agent

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
)

func TestRun1OrderOfCalls(t *testing.T) {
	f := &fake{spec: bash(`echo '{"n": 1}' > "$LEOFLOW_RETURN_VALUE_PATH"`)}
	f.spec.XcomInputMapping = map[string]*agentv1.XComUpstreams{"in": {TaskIds: []string{"up"}}}
	b := newBench(t, f)
	if code := b.run(t); code != ExitOK {
		t.Fatalf("exit code %d", code)
	}
	order := slices.DeleteFunc(f.arrived(), func(m string) bool { return m == "Heartbeat" })
	wantLines(t, order, "StreamLogs", "Register", "GetTaskSpec", "FetchXCom", "GetVariables", "GetConnections",
		"ReportState", "PushXCom", "ReportState")
	if len(f.reports) != 2 || f.reports[0].GetState() != agentv1.TaskState_TASK_STATE_RUNNING {
		t.Errorf("reported %v", f.reports)
	}
	wantOutcome(t, f.terminal(t), success, 0, "")
	for key := range f.used() {
		if !strings.HasSuffix(key, " Bearer "+testToken) {
			t.Errorf("A-START-1: called with %q", key)
		}
	}
	if left, err := os.ReadDir(b.cfg.TempDir); err != nil || len(left) != 0 {
		t.Errorf("left behind %v, %v", left, err)
	}
}

func TestRun1RunningIsToldToTerminate(t *testing.T) {
	for reason, want := range map[agentv1.TerminationReason]string{
		agentv1.TerminationReason_TERMINATION_REASON_CANCELLED:   "not started: cancelled",
		agentv1.TerminationReason_TERMINATION_REASON_SUPERSEDED:  "",
		agentv1.TerminationReason_TERMINATION_REASON_UNSPECIFIED: "not started: the control plane asked to stop",
	} {
		t.Run(reason.String(), func(t *testing.T) {
			f := &fake{spec: bash("echo ran")}
			f.onReport = func(*report) (*agentv1.ReportStateResponse, error) {
				return &agentv1.ReportStateResponse{Acknowledged: true, ShouldTerminate: true, Reason: reason}, nil
			}
			if code := newBench(t, f).run(t); code != ExitOK {
				t.Errorf("exit code %d", code)
			}
			if len(f.texts("stdout")) != 0 {
				t.Error("new work was begun")
			}
			if want != "" {
				wantOutcome(t, f.terminal(t), failure, 0, want)
			} else if len(f.reports) != 1 {
				t.Errorf("reported %v", f.reports)
			}
		})
	}
}

func TestRunAskedToStop(t *testing.T) {
	for name, c := range map[string]struct {
		trap  string
		state agentv1.TaskState
		code  int32
		want  string
	}{
		"killed":   {"", failure, -15, "agent was asked to stop (killed by signal 15 (terminated))"},
		"finishes": {"trap 'exit 0' TERM", success, 0, ""},
		"fails":    {"trap 'exit 7' TERM", failure, 7, "agent was asked to stop (exited with code 7)"},
	} {
		t.Run(name, func(t *testing.T) {
			held, gone := fifo(t)
			f := &fake{spec: bash("exec 9>'" + held + "'\n" + c.trap + "\necho up; sleep 1000 & wait")}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			f.onStream = f.upon("up", cancel)
			if code := newBench(t, f).runCtx(ctx, t); code != ExitOK {
				t.Errorf("exit code %d", code)
			}
			await(t, gone, "the end of the task")
			wantOutcome(t, f.terminal(t), c.state, c.code, c.want)
		})
	}
}

func TestRunAskedToStopBeforeTheTask(t *testing.T) {
	for method, reported := range map[string]bool{"Register": false, "GetTaskSpec": true, "FetchXCom": true, "ReportState RUNNING": true} {
		t.Run(method, func(t *testing.T) {
			f := &fake{spec: bash("echo ran")}
			f.spec.XcomInputMapping = map[string]*agentv1.XComUpstreams{"in": {TaskIds: []string{"up"}}}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			f.onCall = func(m string, _ int) error {
				if m == method {
					cancel()
					return status.Error(codes.Unavailable, "later")
				}
				return nil
			}
			b := newBench(t, f)
			b.pace.start, b.pace.hurry = time.Hour, patient
			code := b.runCtx(ctx, t)
			if !reported {
				if code != ExitUnreported || len(f.reports) != 0 {
					t.Errorf("exit code %d, reported %v", code, f.reports)
				}
				return
			}
			wantOutcome(t, f.terminal(t), failure, 0, "agent was asked to stop")
		})
	}
}

func TestRunAgainstAnOldServer(t *testing.T) {
	f := &fake{spec: bash("echo one; echo two; echo oops >&2")}
	f.onStream = func(_ int, s lineStream) error {
		through, err := f.take(s, nil)
		for _, n := range through { // one ack per stream, after the end, that names none
			err = errors.Join(err, s.Send(&agentv1.LogAck{AcknowledgedThroughLine: n}))
		}
		return err
	}
	f.onBeat = func(context.Context, int) (*agentv1.HeartbeatResponse, error) {
		return &agentv1.HeartbeatResponse{ServerTime: timestamppb.Now()}, nil
	}
	if code := newBench(t, f).run(t); code != ExitOK {
		t.Errorf("exit code %d", code)
	}
	wantOutcome(t, f.terminal(t), success, 0, "")
	wantLines(t, f.texts("stdout"), "one", "two")
	wantLines(t, f.texts("stderr"), "oops")
}

func TestRunBadConfig(t *testing.T) {
	f := &fake{}
	for name, change := range map[string]func(*Config){
		"address": func(c *Config) { c.Addr = "nowhere" },
		"token":   func(c *Config) { c.Token = "" },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, f)
			change(&b.cfg)
			if code := b.run(t); code != ExitBadConfig || b.log.String() == "" || len(f.arrived()) != 0 {
				t.Errorf("exit code %d, said %q, called %q", code, b.log.String(), f.arrived())
			}
		})
	}
}
