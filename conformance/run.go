package conformance

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc"

	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"

	"github.com/neochaotic/leoflow/conformance/agentsuite"
	"github.com/neochaotic/leoflow/conformance/catalogue"
	"github.com/neochaotic/leoflow/conformance/report"
	"github.com/neochaotic/leoflow/conformance/serversuite"
	"github.com/neochaotic/leoflow/conformance/suite"
)

// answerWithin bounds the first look at what is to be judged, before the scale.
const answerWithin = 30 * time.Second

// Options choose what is judged, and how. The zero value is all rules, once.
type Options struct {
	// Rules are ids of rules, families or checks; empty: all.
	Rules []string
	// KnownFailing are ids of rules or checks that fail, each with the reason. One of
	// which nothing fails fails the test.
	KnownFailing map[string]string
	// Repeat is how often each check runs, each time in another order; 0: once.
	Repeat int
	// Seed makes an order again.
	Seed uint64
	// Parallel is how many checks run at once; 0: what suits the side.
	Parallel int
	// TimeScale stretches every deadline and wait, for a machine that is slow; 0: 1.
	TimeScale float64
}

// Server is a control plane to be judged.
type Server struct {
	// Conn leads to it, and says nothing of who calls: the checks do.
	Conn grpc.ClientConnInterface
	// Confidential: the connection is under TLS, over which secrets may travel.
	Confidential bool
	// Fixtures prepares what rules are about, and looks behind the wire.
	Fixtures conformancev1.FixtureServiceClient
}

// Agent is an agent to be judged.
type Agent struct {
	// Command is the program and its arguments.
	Command []string
	// Without are the optional abilities that it lacks: see [agentsuite.Optional].
	Without []string
	// Full: also what takes minutes.
	Full bool
}

// RunServer judges a control plane. Each check that judged something is a subtest by its
// id, which fails with what was sent and what came back. What could not be judged has
// none: it is logged, and never passed. A run in which nothing passed fails.
func RunServer(t *testing.T, s Server, o Options) *suite.Results {
	t.Helper()
	ctx, cancel := o.first(t)
	defer cancel()
	target, err := serversuite.NewTarget(ctx, s.Conn, s.Confidential, s.Fixtures)
	if err != nil {
		t.Fatalf("the server cannot be judged: %v", err)
	}
	return o.judge(t, catalogue.Server, serversuite.Checks(target), 8)
}

// RunAgent judges an agent, as [RunServer] does a control plane.
func RunAgent(t *testing.T, a Agent, o Options) *suite.Results {
	t.Helper()
	target, err := agentsuite.NewTarget(a.Command...)
	if err != nil {
		t.Fatal(err)
	}
	target.Lacks, target.Full = a.Without, a.Full
	if err := target.Probe(t.Context(), rules(t), o.scaled(answerWithin)); err != nil {
		t.Fatal(err)
	}
	return o.judge(t, catalogue.Agent, agentsuite.Checks(target), agentsuite.Parallel)
}

func (o Options) first(t *testing.T) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), o.scaled(answerWithin))
}

func (o Options) scaled(d time.Duration) time.Duration {
	return time.Duration(float64(d) * max(o.TimeScale, 1))
}

func rules(t *testing.T) *catalogue.Catalogue {
	t.Helper()
	out, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// judge runs the checks, and makes subtests of what came of them.
func (o Options) judge(t *testing.T, side catalogue.Side, checks []suite.Check, parallel int) *suite.Results {
	t.Helper()
	if o.Parallel == 0 {
		o.Parallel = parallel
	}
	results, err := suite.Run(t.Context(), checks, suite.Options{
		Rules: rules(t), Side: side, Seed: o.Seed, Repeat: o.Repeat, Parallel: o.Parallel, TimeScale: o.TimeScale,
		Only: o.Rules, KnownFailing: o.KnownFailing,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range verdicts(results) {
		t.Run(v.name, func(t *testing.T) {
			if v.failed {
				t.Error(v.text)
			} else {
				t.Log(v.text)
			}
		})
	}
	for _, line := range shortcomings(results) {
		t.Error(line)
	}
	t.Log("\n" + results.Text(report.Visible))
	return results
}

// verdict is what the subtest of a check tells.
type verdict struct {
	name, text string
	failed     bool
}

// verdicts are those of the checks that judged something, or that failed to.
func verdicts(r *suite.Results) []verdict {
	var out []verdict
	for _, c := range r.Checks {
		switch c.Status {
		case suite.Passed, suite.KnownFailing:
			out = append(out, verdict{c.Check, c.Name, false})
		case suite.Failed, suite.Broken:
			out = append(out, verdict{c.Check, c.Text(report.Visible), true})
		case suite.Skipped, suite.Untestable: // nothing was judged
		}
	}
	return out
}

// shortcomings are what makes a run fail though none of its checks did.
func shortcomings(r *suite.Results) []string {
	var out []string
	for _, id := range r.Stale {
		out = append(out, id+" is listed as known to fail, and passed: take it off the list")
	}
	if r.Interrupted {
		out = append(out, "the run was broken off, so that not every check ran")
	}
	if r.Count(suite.Passed) == 0 {
		out = append(out, "nothing passed")
	}
	return out
}
