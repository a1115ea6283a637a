package agentsuite

import (
	"fmt"
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
			"A-NET-1", method, method + " is tried again while it is UNAVAILABLE, after waits that grow", 45 * time.Second,
			[]string{method},
			func(s *scene) { s.unavailable(method) },
		})
	}
	out = append(out, trial{
		"A-NET-1", "jitter", "the waits of several agents that lost one server are not all alike", 45 * time.Second,
		[]string{register},
		jittered,
	}, trial{
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

// unavailable wants an agent to wait ever longer between its tries of a method.
func (s *scene) unavailable(method string) {
	launched := s
	waits, ok := anyGrow(func() []time.Duration {
		if launched == nil {
			launched = s.another()
		}
		got := launched.triedAgain(method)
		s.Note("the waits were %v", got)
		launched = nil
		return got
	})
	if !ok {
		s.Errorf("the waits between the tries do not grow: %v", waits)
	}
}

// growers is how many agents may show that their waits grow. Where jitter may take all of a
// wait, those of one agent in forty happen not to.
const growers = 3

// anyGrow reports whether the waits of one of some agents grow, which are launched in their
// turn until they do.
func anyGrow(launch func() []time.Duration) (waits [][]time.Duration, ok bool) {
	for range growers {
		waits = append(waits, launch())
		if grow(waits[len(waits)-1]) {
			return waits, true
		}
	}
	return waits, false
}

// triedAgain answers the first tries of a method by UNAVAILABLE, wants the task to succeed,
// and returns the waits between them.
func (s *scene) triedAgain(method string) []time.Duration {
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
	return s.now().waits(method)
}

// waits are the times between the first tries of a method.
func (ms moments) waits(method string) []time.Duration {
	tries := ms.calls(method)
	var out []time.Duration
	for i := range unavailableTries {
		out = append(out, tries[i+1].at.Sub(tries[i].at))
	}
	return out
}

// grow reports whether the later waits are longer than the first. One of them is enough:
// where jitter may take all of a wait, the other may happen to be short.
func grow(waits []time.Duration) bool {
	return max(waits[len(waits)-1], waits[len(waits)-2]) >= waits[0]*3/2
}

// agents is how many are launched at once, to compare their waits.
const agents = 4

// jittered has several agents try again beside each other.
func jittered(s *scene) {
	var all []*scene
	for range agents {
		n := s.another()
		n.on(register, func(c *call) error {
			if c.n <= unavailableTries {
				return status.Error(codes.Unavailable, "the server is starting")
			}
			return nil
		})
		n.launch()
		all = append(all, n)
	}
	waits := make([][]time.Duration, agents)
	for i, n := range all {
		n.until(itoa(unavailableTries+1)+" tries of "+register, called(register, unavailableTries+1))
		n.wantSuccess()
		waits[i] = n.now().waits(register)
		s.Note("the waits of agent %d were %v", i+1, waits[i])
	}
	if alike(waits) {
		s.Errorf("%d agents that were launched together waited alike, and come back together: %v", agents, waits)
	}
}

// alike reports whether most of the waits took every agent as long, give or take what a
// machine adds. The first is often too short to tell; and of the others, a machine that is
// busy may spoil one.
func alike(waits [][]time.Duration) bool {
	same := 0
	for try := 1; try < unavailableTries; try++ {
		shortest, longest := waits[0][try], waits[0][try]
		for _, of := range waits {
			shortest, longest = min(shortest, of[try]), max(longest, of[try])
		}
		if longest-shortest <= longest/20 {
			same++
		}
	}
	return same >= unavailableTries-2
}

// restarts takes the server away as the task ends.
func restarts(s *scene, outage time.Duration) {
	s.launch("gate\n")
	s.until("the task's start", started)
	s.down()
	s.Note("the server is down, for %v", outage)
	s.letGo()
	over := time.NewTimer(away(outage, s.Scale))
	defer over.Stop()
	select {
	case <-over.C:
	case <-s.over:
		s.Fatalf("the agent's process ended while the server was down; seen: %s", s.summary())
	case <-s.ctx.Done():
		s.Fatalf("the check was over before the outage")
	}
	s.up()
	s.Note("the server is up again")
	s.wantSuccess()
}

// away is how long a server that is restarted is down at a scale: never longer, as no
// agent need bear more.
func away(outage time.Duration, scale func(time.Duration) time.Duration) time.Duration {
	return min(outage, scale(outage))
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
