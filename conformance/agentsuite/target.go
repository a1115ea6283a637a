package agentsuite

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/neochaotic/leoflow/conformance/catalogue"
	"github.com/neochaotic/leoflow/conformance/suite"
)

// Parallel is how many checks may well run at once, on a machine with two processors.
const Parallel = 16

// The time that a server which is restarted is down. What A-NET-1 asks an agent to bear
// is the second; the first keeps the whole suite under a minute.
const (
	shortOutage = 40 * time.Second
	fullOutage  = 60 * time.Second
)

// Target is an agent to be judged.
type Target struct {
	// Command is the program and its arguments. It runs in the present directory, with
	// the environment of whoever calls, less LEOFLOW_… and AIRFLOW_…, plus the protocol's.
	Command []string
	// Full: a restart takes 60 s, as A-NET-1 says, and not 40 s; and there are checks that
	// take minutes, of servers that hang as they take the log.
	Full bool
	// Outage is another time for the server to be down; 0: as said.
	Outage time.Duration
	// Lacks are those of [Optional] that the agent does not have: rules that need one are
	// skipped.
	Lacks []string

	// startup is how long it took to its first call, alone; 0: not known.
	startup time.Duration
}

// The launches of one check, and how many agents share a processor as they start; and the
// most that is given for them.
const (
	launches = 3
	sharing  = Parallel / 2
	mostMore = time.Minute
)

// more is what each check gets for an agent that is slow to start, as interpreters are.
func (g *Target) more() time.Duration { return min(launches*sharing*g.startup, mostMore) }

// ErrUnreachable says that there is no agent to judge.
var ErrUnreachable = errors.New("the agent cannot be judged")

// NewTarget finds the program of a command. The error wraps [ErrUnreachable], and is one
// line.
func NewTarget(command ...string) (*Target, error) {
	if len(command) == 0 || command[0] == "" {
		return nil, fmt.Errorf("%w: no command is given", ErrUnreachable)
	}
	path, err := exec.LookPath(command[0])
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: the command %q does not run: %w", ErrUnreachable, command[0], err)
	}
	return &Target{Command: append([]string{path}, command[1:]...)}, nil
}

// Probe launches the agent once and wants it to make one call within the time, which is
// over 2 s. The checks that are made afterwards wait longer for one that starts slowly.
// The error wraps [ErrUnreachable], and is one line.
func (g *Target) Probe(ctx context.Context, rules *catalogue.Catalogue, within time.Duration) error {
	calls, last := false, ""
	probe := trial{
		rule: "A-START-2", word: "probe", name: "calls the control plane", within: within - patience, rpcs: []string{register},
		run: func(s *scene) {
			began := time.Now()
			s.launch()
			s.Cleanup(func() { last = s.lastWords() })
			s.until("a call of any kind", func(ms moments) bool { return slices.ContainsFunc(ms, moment.isCall) })
			calls, g.startup = true, time.Since(began)
		},
	}
	results, err := suite.Run(ctx, []suite.Check{probe.check(g)}, suite.Options{Rules: rules, Side: catalogue.Agent})
	if err != nil {
		return fmt.Errorf("the probe: %w", err)
	}
	if ctx.Err() != nil || calls {
		return ctx.Err()
	}
	reason, _, _ := strings.Cut(results.Checks[0].Reason, "\n")
	if said := strings.Join(strings.Fields(last), " "); said != "" {
		reason += "; it printed: " + said
	}
	return fmt.Errorf("%w: %s: %s", ErrUnreachable, strings.Join(g.Command, " "), reason)
}

func (g *Target) outage() time.Duration {
	switch {
	case g.Outage != 0:
		return g.Outage
	case g.Full:
		return fullOutage
	}
	return shortOutage
}

// Checks are all checks of an agent. The target is used when they run.
func Checks(target *Target) []suite.Check {
	var out []suite.Check
	for _, of := range [][]trial{
		startTrials(), tlsTrials(), environmentTrials(), inputTrials(), runTrials(), stopTrials(), returnTrials(),
		beatTrials(), terminateTrials(), renewTrials(), netTrials(target.outage()), logTrials(), resumeTrials(), brokenLogTrials(target.Full),
	} {
		for _, t := range of {
			out = append(out, t.check(target))
		}
	}
	return out
}

// trial is a check of an agent.
type trial struct {
	rule, word, name string
	within           time.Duration // 0: the suite's own
	rpcs             []string      // methods that it must have seen
	run              func(*scene)
}

// deadline is how long the check may take.
func (t trial) deadline() time.Duration { return t.within + patience }

func (t trial) check(target *Target) suite.Check {
	deadline := t.deadline() + target.more()
	rpcs := make([]catalogue.RPC, len(t.rpcs))
	for i, method := range t.rpcs {
		rpcs[i] = rpcOf(method)
	}
	return suite.Check{
		ID: t.rule + "/" + t.word, Rule: t.rule, RPCs: rpcs, Name: t.name, Parallel: true,
		Deadline: deadline, Run: func(on *suite.T) { t.run(newScene(on, target, deadline)) },
	}
}

// The optional abilities of agents that the suite knows.
const (
	renewal = "renewal"
	resume  = "resume"
)

// Optional are the abilities that a target may lack.
func Optional() []string { return []string{renewal, resume} }

// needs skips the check for an agent that lacks an ability.
func (s *scene) needs(ability string) {
	if slices.Contains(s.target.Lacks, ability) {
		s.Skip("the agent is said to lack the ability " + ability)
	}
}
