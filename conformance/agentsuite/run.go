package agentsuite

import (
	"bytes"
	"math"
	"time"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
)

func runTrials() []trial {
	rpcs := []string{reportState}
	return []trial{
		{"A-RUN-1", "before", "RUNNING is reported before the task starts", 0, rpcs, reportedBefore},
		{"A-RUN-1", "after", "one terminal state is reported, after the task ended", 0, rpcs, reportedAfter},
		{"A-RUN-2", "success", "exit code 0 is SUCCESS", 0, rpcs, func(s *scene) {
			s.launch("exit 0\n")
			s.until("the task's start", started)
			s.wantSuccess()
		}},
		{"A-RUN-2", "code", "another exit code is FAILED with it", 0, rpcs, func(s *scene) {
			for _, code := range []int32{3, 255} {
				n := s.another()
				n.launch("echo the reason >&2\nexit ", itoa(int64(code)), "\n")
				n.until("the task's start", started)
				if out := n.wantFailed(); out.GetExitCode() != code {
					s.Errorf("exit code %d was reported as %d", code, out.GetExitCode())
				}
			}
		}},
		{"A-RUN-2", "signal", "a signal is FAILED", 0, rpcs, func(s *scene) {
			s.launch("kill -KILL $$\n")
			s.until("the task's start", started)
			if out := s.wantFailed(); out.GetExitCode() == 0 {
				s.Errorf("a task that a signal killed was reported with exit code 0")
			}
		}},
		{"A-RUN-2", "time-out", "a time-out is FAILED", 15 * time.Second, rpcs, func(s *scene) {
			s.limited()
			s.launch("sleep 300 & wait\n")
			s.until("the task's start", started)
			if out := s.wantFailed(); out.GetExitCode() == 0 {
				s.Errorf("a task that was stopped was reported with exit code 0")
			}
		}},
	}
}

func reportedBefore(s *scene) {
	s.on(reportState, func(c *call) error {
		if c.state() == stateRunning {
			s.never("the task was started before the report of RUNNING was answered", started)
		}
		return nil
	})
	s.launch()
	s.until("the task's start", started)
	s.wantSuccess()
	ms := s.now()
	if first := ms.calls(reportState)[0]; first.state() != stateRunning {
		s.Errorf("the first report is %v, want RUNNING", first.state())
	}
	reported := ms.first(func(m moment) bool { return m.state() == stateRunning })
	if reported < 0 || reported > ms.first(func(m moment) bool { return m.word == "started" }) {
		s.Errorf("not in order: %s", s.summary())
	}
}

func reportedAfter(s *scene) {
	s.launch("gate\n")
	s.until("the task's start", started)
	s.never("a terminal state was reported while the task ran", hasTerminal)
	s.letGo()
	s.wantSuccess()
	if n := len(s.now().terminals()); n != 1 {
		s.Errorf("%d terminal states were reported, each of them acknowledged: %s", n, s.summary())
	}
}

// startWithin is how long a task and its child may take to be at work.
const startWithin = 2 * time.Second

// The pieces of scripts that are asked to stop. A child that heeds nothing tells its
// number, so that it can be cleared away.
const (
	polite = `trap 'tell asked; sleep 0.2; tell finished; exit 9' TERM
`
	deaf = `trap 'tell asked' TERM
`
	deafKid = `bash -c 'trap "" TERM; echo "child $$" >&8; while :; do sleep 300; done' &
`
	waiting = `tell ready; while :; do sleep 300 & wait $!; done
`
	heedsKid = `bash -c 'trap "echo kid-asked >&8; exit" TERM; echo "child $$" >&8; sleep 300 & wait' &
`
)

// limited gives the task a time-out in which it can start, with a child.
func (s *scene) limited() {
	s.spec.ExecutionTimeoutSeconds = int32(math.Ceil(s.Scale(startWithin).Seconds()))
}

func stopTrials() []trial {
	rpcs := []string{getTaskSpec, reportState}
	const graceful = 45 * time.Second
	return []trial{
		{"A-RUN-3", "polite", "a task that ran too long is asked to stop, and may finish", graceful, rpcs, func(s *scene) {
			s.limited()
			s.launch(polite, heedsKid, waiting)
			s.until("the child", said("child"))
			s.until("a polite stop of the task", said("asked"))
			s.until("a polite stop of its child", said("kid-asked"))
			s.until("the task's own end", said("finished"))
			s.wantFailed()
			s.wantGone()
		}},
		{"A-RUN-3", "kill", "a task that heeds nothing is killed", graceful, rpcs, func(s *scene) {
			s.limited()
			s.launch(deaf, waiting)
			s.until("the task at work", said("ready"))
			s.until("a polite stop", said("asked"))
			s.wantFailed()
			s.wantGone()
		}},
		{"A-RUN-3", "group", "a child that heeds nothing is killed as well", graceful, rpcs, func(s *scene) {
			s.limited()
			s.launch(deafKid, "sleep 300 & wait\n")
			s.until("the child", said("child"))
			s.wantFailed()
			s.wantGone()
		}},
	}
}

// wantGone fails the check if a process of the task outlived the agent's.
func (s *scene) wantGone() {
	if !s.wait(s.ctx, func(ms moments) bool { return gone(ms) || ended(ms) }) {
		s.Fatalf("neither the task nor the agent ended")
	}
	s.until("the end of every process of the task: one was left behind", gone)
}

func returnTrials() []trial {
	rpcs := []string{pushXCom, reportState}
	return []trial{
		{"A-RUN-4", "before", "the return value is pushed before SUCCESS", 0, rpcs, pushedBefore},
		{"A-RUN-4", "rejected", "a return value that is rejected ends as FAILED with the reason", 0, rpcs, func(s *scene) {
			control := s.another()
			control.launch(returnValue)
			control.wantSuccess()
			for _, reason := range []string{"payload_too_large", "schema_mismatch"} {
				n := s.another()
				n.on(pushXCom, func(c *call) error {
					out := c.out.(*agentv1.PushXComResponse)
					out.Accepted, out.RejectionReason, out.TtlSeconds = false, reason, 0
					return nil
				})
				n.launch(returnValue)
				n.until("a push", called(pushXCom, 1))
				n.wantFailed(reason)
			}
		}},
	}
}

// returned is what returnValue returns: JSON with odd spaces, so that it shows if it is
// written anew.
const (
	returned    = `{"rows":  12, "of": "żółć"}`
	returnValue = "printf '%s' '" + returned + "' > \"$LEOFLOW_RETURN_VALUE_PATH\"\n"
)

func pushedBefore(s *scene) {
	s.on(pushXCom, func(*call) error {
		s.never("a terminal state was reported before the push was answered", hasTerminal)
		return nil
	})
	s.launch(returnValue)
	s.wantSuccess()
	ms := s.now()
	pushes := ms.calls(pushXCom)
	if len(pushes) == 0 {
		s.Fatalf("SUCCESS was reported, and the return value was not pushed")
	}
	in := pushes[0].in.(*agentv1.PushXComRequest)
	if !bytes.Equal(in.GetValue(), []byte(returned)) {
		s.Errorf("pushed %q, want %q", in.GetValue(), returned)
	}
	if in.GetKey() != "" && in.GetKey() != "return_value" {
		s.Errorf("pushed as %q, want return_value", in.GetKey())
	}
	if ms.first(moment.isTerminal) < ms.first(func(m moment) bool { return m.method == pushXCom }) {
		s.Errorf("not in order: %s", s.summary())
	}
}
