package agents

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/neochaotic/leoflow/conformance"
	"github.com/neochaotic/leoflow/conformance/agentsuite"
	"github.com/neochaotic/leoflow/conformance/catalogue"
	"github.com/neochaotic/leoflow/conformance/suite"
	"github.com/neochaotic/leoflow/internal/mutants/matrix"
)

// sentinels are checks of other things, which a mutant passes that does not list them.
var sentinels = []string{
	"A-START-1/every-rpc", "A-START-2/order", "A-START-3/operator", "A-START-4/plaintext", "A-ENV-1/environment",
	"A-ENV-1/connections", "A-ENV-2/fan-in", "A-ENV-3/denied", "A-ENV-4/file", "A-RUN-1/after", "A-RUN-2/code",
	"A-RUN-2/signal", "A-RUN-4/before", "A-BEAT-2/no-start", "A-BEAT-3/calls", "A-NET-2/Unauthenticated/Register",
	"A-LOG-1/last", "A-LOG-1/utf-8", "A-LOG-3/ended", "A-START-3/entrypoint",
}

// Outage is how long a restart takes, to judge mutants.
const Outage = 5 * time.Second

// Side is the mutants of an agent, to be judged. The program that plays them is built
// into the directory when it is first needed.
func Side(dir string) (*matrix.Side, error) {
	rules, err := conformance.Load()
	if err != nil {
		return nil, err
	}
	s := &matrix.Side{
		Side: catalogue.Agent, Rules: rules, Sentinels: sentinels, Unfound: unfound, AtOnce: 6,
		Checks: agentsuite.Checks(&agentsuite.Target{}),
	}
	for _, m := range All() {
		s.Mutants = append(s.Mutants, matrix.Mutant{Name: m.Name, Check: m.Kills, Also: m.Also, Broad: m.Broad})
	}
	program := sync.OnceValues(func() (string, error) { return Build(dir) })
	s.Open = func(context.Context) (matrix.Judge, func() error, error) {
		path, err := program()
		return func(ctx context.Context, m matrix.Mutant, checks []string) (*suite.Results, error) {
			return Judge(ctx, path, m.Name, suite.Options{Seed: 1, Only: checks, Parallel: agentsuite.Parallel / 2})
		}, func() error { return nil }, err
	}
	return s, nil
}

// Build builds the program that plays the mutants into a directory.
func Build(dir string) (program string, err error) {
	program = filepath.Join(dir, "mutantagent")
	const source = "github.com/neochaotic/leoflow/internal/mutants/agents/mutantagent"
	build := exec.Command("go", "build", "-race=false", "-o", program, source) //nolint:gosec // into a directory of the caller
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", source, err, out)
	}
	return program, nil
}

// Judge judges the mutant of a name, played by the program; of no name, one that has no
// fault.
func Judge(ctx context.Context, program, name string, o suite.Options) (*suite.Results, error) {
	if name == "" {
		name = "none"
	}
	target, err := agentsuite.NewTarget(program, name)
	if err != nil {
		return nil, err
	}
	target.Outage = Outage
	if o.Rules, err = conformance.Load(); err != nil {
		return nil, err
	}
	o.Side = catalogue.Agent
	return suite.Run(ctx, agentsuite.Checks(target), o)
}

// unfound are the checks of what must be kept that no mutant can be made for.
var unfound = map[string]string{}
