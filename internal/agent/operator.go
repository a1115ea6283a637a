package agent

import (
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
)

// operator is what tells one kind of task from another: all else, from the process
// group to the return value, is the same for each.
type operator struct {
	// check says why a specification cannot be run, before anything is fetched.
	check func(*agentv1.TaskSpec) error
	// argv returns the command. It may write files to dir, which is private to the
	// attempt and removed at its end.
	argv func(cfg Config, dir string, spec *agentv1.TaskSpec, in []input) ([]string, error)
}

// operators are those that this agent runs, by their names on the wire.
var operators = map[string]operator{
	"bash":   {check: checkBash, argv: bashCommand},
	"python": {check: checkPython, argv: pythonCommand},
}

// runnable returns the operator of a specification, or says why it cannot be run
// (A-START-3).
func runnable(spec *agentv1.TaskSpec) (operator, error) {
	op, known := operators[spec.GetOperator()]
	switch {
	case !known:
		names := slices.Sorted(maps.Keys(operators))
		return op, fmt.Errorf("this agent runs the operators %s only, and the task asks for %q",
			strings.Join(names, " and "), spec.GetOperator())
	case strings.TrimSpace(spec.GetEntrypoint()) == "":
		return op, errors.New("the task has no entrypoint: there is nothing to run")
	}
	return op, op.check(spec)
}

// checkBash refuses a script that the system cannot pass.
func checkBash(spec *agentv1.TaskSpec) error {
	if script := spec.GetEntrypoint(); strings.ContainsRune(script, 0) || len(script)+1 > maxEntry {
		return fmt.Errorf("the entrypoint cannot be passed to bash: it holds a NUL byte or is longer than %d KiB", maxEntry>>10)
	}
	return nil
}

// bashCommand runs the entrypoint as a script.
func bashCommand(_ Config, _ string, spec *agentv1.TaskSpec, _ []input) ([]string, error) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		return nil, fmt.Errorf("bash was not found: %w", err)
	}
	return []string{bash, "-c", spec.GetEntrypoint()}, nil
}
