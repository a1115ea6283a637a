package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	"github.com/neochaotic/leoflow/internal/domain"
)

// secretTries is how often a control plane that has no secrets to give is asked
// again: it says UNAVAILABLE for as long as it lives.
const secretTries = 2

// operatorBash is the operator that this agent runs.
const operatorBash = "bash"

// runnable says why a specification cannot be run (A-START-3); nil: it can.
func runnable(spec *agentv1.TaskSpec) error {
	switch entry := spec.GetEntrypoint(); {
	case spec.GetOperator() != operatorBash:
		return fmt.Errorf("this agent runs operator %q only, and the task asks for %q", operatorBash, spec.GetOperator())
	case strings.TrimSpace(entry) == "":
		return errors.New("the task has no entrypoint: there is nothing to run")
	case strings.ContainsRune(entry, 0) || len(entry)+1 > maxEntry:
		return fmt.Errorf("the entrypoint cannot be passed to bash: it holds a NUL byte or is longer than %d KiB", maxEntry>>10)
	}
	return nil
}

// prepare fetches what the task needs and puts its environment together. Any error
// ends the attempt as FAILED before the task starts.
func (a *attempt) prepare(ctx context.Context, spec *agentv1.TaskSpec) (environment, error) {
	if err := runnable(spec); err != nil {
		return nil, err
	}
	params := slices.Sorted(maps.Keys(spec.GetXcomInputMapping()))
	if err := checkInputNames(params); err != nil {
		return nil, err
	}
	inputs := environment{}
	fetched := map[string][]byte{}
	for i, param := range params {
		value, err := a.input(ctx, fetched, spec.GetXcomInputMapping()[param].GetTaskIds())
		if err != nil {
			return nil, fmt.Errorf("the input %q could not be fetched: %w", param, err)
		}
		if value == nil {
			continue
		}
		if err := a.setInput(inputs, param, i, value); err != nil {
			return nil, err
		}
	}
	env := inherited(a.cfg.Environ, a.cfg.Token)
	a.secrets(ctx, env)
	if err := env.setAll(spec.GetEnvironment()); err != nil {
		return nil, err
	}
	if args := spec.GetCallArgsJson(); args != "" {
		if err := env.set(envCallArgs, args); err != nil {
			return nil, err
		}
	}
	maps.Copy(env, inputs)
	env[envReturnValue] = a.returnPath()
	return env, nil
}

// input returns the value of one input; nil: it is absent (A-ENV-2).
func (a *attempt) input(ctx context.Context, fetched map[string][]byte, sources []string) ([]byte, error) {
	values := make([][]byte, len(sources))
	for i, source := range sources {
		value, ok := fetched[source]
		if !ok {
			var err error
			if value, err = a.fetch(ctx, source); err != nil {
				return nil, err
			}
			fetched[source] = value
		}
		values[i] = value
	}
	switch len(values) {
	case 0:
		return nil, nil
	case 1:
		return values[0], nil
	default:
		return fanIn(values)
	}
}

// fetch returns what a task returned; nil: nothing, or nothing any more.
func (a *attempt) fetch(ctx context.Context, source string) ([]byte, error) {
	reply, err := call(ctx, a.calls, patience{budget: a.pace.start, answered: -1}, a.client.FetchXCom,
		&agentv1.FetchXComRequest{UpstreamTaskId: source, Key: domain.DefaultXComKey})
	switch {
	case status.Code(err) == codes.NotFound:
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("from task %q: %s", source, told(err))
	case reply.GetValue() == nil:
		return []byte{}, nil // an empty value is one
	default:
		return reply.GetValue(), nil
	}
}

// setInput writes a value to a file of its own, and adds the file's name and, where
// the system can pass it, the value (A-ENV-4).
func (a *attempt) setInput(env environment, param string, index int, value []byte) error {
	path := filepath.Join(a.dir, fmt.Sprintf("xcom-%04d", index))
	if err := os.WriteFile(path, value, 0o600); err != nil {
		return fmt.Errorf("the input %q could not be written to a file: %w", param, err)
	}
	name := inputName(param)
	if err := env.set(name+suffixPath, path); err != nil {
		return err
	}
	if fits(name, string(value)) {
		env[name] = string(value)
	}
	return nil
}

// secrets adds variables and connections; failing to get them is only a warning.
func (a *attempt) secrets(ctx context.Context, env environment) {
	p := patience{budget: a.pace.start, answered: secretTries}
	variables, err := call(ctx, a.calls, p, a.client.GetVariables, &agentv1.GetVariablesRequest{})
	a.addSecrets(env, "variables", prefixVariable, variables.GetVariables(), err)
	uris, err := call(ctx, a.calls, p, a.client.GetConnections, &agentv1.GetConnectionsRequest{})
	a.addSecrets(env, "connections", prefixConn, uris.GetConnectionUris(), err)
}

func (a *attempt) addSecrets(env environment, what, prefix string, secrets map[string]string, err error) {
	if err != nil {
		a.say(slog.LevelWarn, "the task runs without %s: %s", what, told(err))
		return
	}
	for _, key := range env.setSecrets(prefix, secrets) {
		a.say(slog.LevelWarn, "one of the %s is left out, as it cannot be passed or another has its name: %q", what, key)
	}
}
