package agentsuite

import (
	"fmt"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// The tries that a scene answers with UNAVAILABLE before it takes one.
const unavailableTries = 4

// endWithin is how long a refused agent may take to give up.
const endWithin = 30 * time.Second

func netTrials(outage time.Duration) []trial {
	var out []trial
	for _, method := range []string{register, getTaskSpec, fetchXCom, pushXCom} {
		out = append(out, trial{
			"A-NET-1", method, method + " is tried again while it is UNAVAILABLE, after waits that grow", 30 * time.Second,
			[]string{method},
			func(s *scene) { s.unavailable(method) },
		})
	}
	out = append(out, trial{
		"A-NET-1", "restart", fmt.Sprintf("the outcome outlives a restart of the server that takes %v", outage),
		outage + 30*time.Second,
		[]string{reportState},
		func(s *scene) { restarts(s, outage) },
	})
	for _, code := range []codes.Code{codes.Unauthenticated, codes.FailedPrecondition} {
		for _, method := range []string{register, getTaskSpec, reportState} {
			out = append(out, trial{
				"A-NET-2", fmt.Sprintf("%v/%s", code, method), fmt.Sprintf("a refusal of %s by %v is not retried for ever", method, code),
				endWithin,
				[]string{method},
				func(s *scene) { refusedForEver(s, method, code) },
			})
		}
	}
	return out
}

// unavailable answers the first tries of a method so, and wants the task to succeed. That
// waits are jittered shows in many agents and not in one: it is not judged.
func (s *scene) unavailable(method string) {
	s.input("in", "1")
	s.on(method, func(c *call) error {
		if c.n <= unavailableTries {
			return status.Error(codes.Unavailable, "the server is starting")
		}
		return nil
	})
	s.launch(returnValue)
	s.until(itoa(unavailableTries+1)+" tries of "+method, called(method, unavailableTries+1))
	s.wantSuccess()
	tries := s.now().calls(method)
	first := tries[1].at.Sub(tries[0].at)
	last := tries[unavailableTries].at.Sub(tries[unavailableTries-1].at)
	s.Note("the first wait was %v, and the last %v", first, last)
	if last < first*3/2 {
		s.Errorf("the waits between the tries do not grow: the first was %v, and the last %v", first, last)
	}
}

// restarts takes the server away as the task ends.
func restarts(s *scene, outage time.Duration) {
	var ran atomic.Bool
	s.launch("gate\n")
	s.until("the task's start", started)
	s.down()
	s.Note("the server is down, for %v", outage)
	s.letGo()
	over := time.NewTimer(s.Scale(outage))
	defer over.Stop()
	select {
	case <-over.C:
		ran.Store(true)
	case <-s.over:
		s.Fatalf("the agent's process ended while the server was down; seen: %s", s.summary())
	case <-s.ctx.Done():
		s.Fatalf("the check was over before the outage")
	}
	s.up()
	s.Note("the server is up again")
	s.wantSuccess()
}

// refusedForEver refuses a method each time, and wants the agent to end.
func refusedForEver(s *scene, method string, code codes.Code) {
	s.control()
	s.on(method, func(c *call) error {
		if method == reportState && !isTerminal(c) {
			return nil
		}
		return status.Error(code, "no")
	})
	s.launch()
	s.until("the call that is refused", func(ms moments) bool {
		return len(ms.calls(method)) > 0 && (method != reportState || hasTerminal(ms))
	})
	ms := s.until("the end of the agent's process", ended)
	s.Note("%s was tried %d times", method, len(ms.calls(method)))
	if method != reportState {
		s.wantNoTask(method + " was refused")
	}
}

func isTerminal(c *call) bool { return c.state() > stateRunning }
