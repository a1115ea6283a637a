package agents

import (
	"slices"
	"sync"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
)

// state is what mutants remember of the calls before. It is safe for concurrent use.
type state struct {
	mu    sync.Mutex
	lines int64 // log lines so far
	size  int   // bytes of inputs so far
	kept  *passing
	spec  func() (*agentv1.TaskSpec, error)
	bad   bool // something happened that it does not forget

	limited bool // the task does more than to wait; set before it runs
}

// set changes what it remembers.
func (s *state) set(change func(*state)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

func (s *state) isBad() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bad
}

// All are the mutants.
func All() []Mutant {
	return slices.Concat(
		startMutants(), channelMutants(), environmentMutants(), inputMutants(), runMutants(), stopMutants(), returnMutants(),
		beatMutants(), netMutants(), logMutants(),
	)
}

// before breaks what a call of the method brings.
func before[Q any](method string, change func(*relay, *passing, Q)) func(*relay, *passing) error {
	return func(r *relay, p *passing) error {
		if in, ok := p.in.(Q); ok && p.method == method {
			change(r, p, in)
		}
		return p.send()
	}
}

// after breaks what a call of the method answers.
func after[R any](method string, change func(*relay, R)) func(*relay, *passing) error {
	return func(r *relay, p *passing) error {
		err := p.send()
		if out, ok := p.out.(R); ok && p.method == method && err == nil {
			change(r, out)
		}
		return err
	}
}

// specified breaks the specification.
func specified(change func(*relay, *agentv1.TaskSpec)) func(*relay, *passing) error {
	return after("GetTaskSpec", change)
}

// wrapped has the task begin with a piece of script.
func wrapped(script string) func(*relay, *passing) error {
	return specified(func(_ *relay, spec *agentv1.TaskSpec) {
		if spec.GetOperator() == "bash" && spec.GetEntrypoint() != "" {
			spec.Entrypoint = script + "\n" + spec.GetEntrypoint()
		}
	})
}

// reported breaks a report.
func reported(change func(*agentv1.ReportStateRequest)) func(*relay, *passing) error {
	return before("ReportState", func(_ *relay, _ *passing, in *agentv1.ReportStateRequest) { change(in) })
}

// beaten breaks what a heartbeat is answered.
func beaten(change func(*agentv1.HeartbeatResponse)) func(*relay, *passing) error {
	return after("Heartbeat", func(_ *relay, out *agentv1.HeartbeatResponse) { change(out) })
}
