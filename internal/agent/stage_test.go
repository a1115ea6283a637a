package agent

import (
	"context"
	"slices"
	"testing"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
)

const (
	cancelled  = agentv1.TerminationReason_TERMINATION_REASON_CANCELLED
	superseded = agentv1.TerminationReason_TERMINATION_REASON_SUPERSEDED
	lost       = agentv1.TerminationReason_TERMINATION_REASON_LOST
)

// staged is a task that goes through every stage of an attempt.
func staged() *fake {
	f := &fake{spec: bash(`echo ran; echo 1 > "$LEOFLOW_RETURN_VALUE_PATH"`)}
	f.spec.XcomInputMapping = inputs(map[string][]string{"in": {"up"}})
	return f
}

// TestBeat1FromTheRegistrationOn holds every stage until two heartbeats more have come.
func TestBeat1FromTheRegistrationOn(t *testing.T) {
	f := staged()
	beaten := make(chan struct{})
	f.onBeat = func(context.Context, int) (*agentv1.HeartbeatResponse, error) {
		select {
		case beaten <- struct{}{}:
		default:
		}
		return &agentv1.HeartbeatResponse{}, nil
	}
	var stages []string
	hold := func(stage string) {
		for range 2 {
			await(t, beaten, "a heartbeat during "+stage)
		}
		stages = append(stages, stage)
	}
	f.onCall = func(m string, _ int) error {
		switch m {
		case "Heartbeat", "StreamLogs":
		case "Register":
			if f.called("Heartbeat") != 0 {
				t.Error("a heartbeat before the registration")
			}
		default:
			hold(m)
		}
		return nil
	}
	f.onStream = func(_ int, s lineStream) error {
		_, err := f.take(s, nil)
		hold("the end of the log")
		return err
	}
	if code := newBench(t, f).run(t); code != ExitOK {
		t.Errorf("exit code %d", code)
	}
	wantOutcome(t, f.terminal(t), success, 0, "")
	wantLines(t, stages, "GetTaskSpec", "FetchXCom", "GetVariables", "GetConnections", "ReportState RUNNING",
		"the end of the log", "PushXCom", "ReportState SUCCESS")
}

// TestBeat2ToldBeforeTheTaskStarts has a heartbeat end the attempt while each call
// before the task's start hangs.
func TestBeat2ToldBeforeTheTaskStarts(t *testing.T) {
	for _, stage := range []string{"GetTaskSpec", "FetchXCom", "GetVariables", "GetConnections", "ReportState RUNNING"} {
		for reason, want := range map[agentv1.TerminationReason]string{cancelled: "not started: cancelled", superseded: ""} {
			t.Run(stage+" "+reason.String(), func(t *testing.T) {
				f := staged()
				reached, release := make(chan struct{}), make(chan struct{})
				defer close(release)
				f.onCall = func(m string, _ int) error {
					if m == stage {
						close(reached)
						<-release
					}
					return nil
				}
				f.onBeat = func(context.Context, int) (*agentv1.HeartbeatResponse, error) {
					select {
					case <-reached:
						return &agentv1.HeartbeatResponse{ShouldTerminate: true, Reason: reason}, nil
					default:
						return &agentv1.HeartbeatResponse{}, nil
					}
				}
				if code := newBench(t, f).run(t); code != ExitOK {
					t.Errorf("exit code %d", code)
				}
				if out := f.texts("stdout"); len(out) != 0 {
					t.Errorf("the task ran: %q", out)
				}
				if want == "" {
					if len(f.reports) != 0 {
						t.Errorf("reported %v", f.reports)
					}
					return
				}
				wantOutcome(t, f.terminal(t), failure, 0, want)
				if got := f.texts("agent"); !slices.Contains(got, "the task is not started: cancelled") {
					t.Errorf("the agent says %q", got)
				}
			})
		}
	}
}

// TestBeat2ToldAfterTheTask ends the attempt by a heartbeat while the log of a task
// that ended well drains, or its value is on the way.
func TestBeat2ToldAfterTheTask(t *testing.T) {
	for name, c := range map[string]struct {
		stage  string
		reason agentv1.TerminationReason
		pushes int
		want   agentv1.TaskState // UNSPECIFIED: nothing is reported
	}{
		"cancelled, log":   {"log", cancelled, 1, success}, // STATE-10: a success stays one
		"lost, log":        {"log", lost, 0, 0},
		"superseded, push": {"PushXCom", superseded, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			f := staged()
			reached, told, release := make(chan struct{}), make(chan struct{}), make(chan struct{})
			defer close(release)
			f.onBeat = func(_ context.Context, _ int) (*agentv1.HeartbeatResponse, error) {
				select {
				case <-reached:
				default:
					return &agentv1.HeartbeatResponse{}, nil
				}
				select {
				case told <- struct{}{}: // twice, so that the first answer has been read
				default:
				}
				return &agentv1.HeartbeatResponse{ShouldTerminate: true, Reason: c.reason}, nil
			}
			f.onStream = func(_ int, s lineStream) error {
				_, err := f.take(s, nil)
				if c.stage == "log" {
					close(reached)
					for range 2 {
						await(t, told, "the termination")
					}
				}
				return err
			}
			f.onPush = func(*agentv1.PushXComRequest) (*agentv1.PushXComResponse, error) {
				if c.stage == "PushXCom" {
					close(reached)
					<-release // the agent waits for it no longer
				}
				return &agentv1.PushXComResponse{Accepted: true}, nil
			}
			if code := newBench(t, f).run(t); code != ExitOK {
				t.Errorf("exit code %d", code)
			}
			if len(f.pushes) != c.pushes {
				t.Errorf("pushed %v", f.pushes)
			}
			if c.want == 0 {
				if len(f.reports) != 1 {
					t.Errorf("reported %v", f.reports)
				}
				return
			}
			wantOutcome(t, f.terminal(t), c.want, 0, "")
		})
	}
}
