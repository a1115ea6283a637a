package agent

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	"github.com/neochaotic/leoflow/internal/domain"
)

// secretTries is how often a control plane that has no secrets to give is asked
// again: it says UNAVAILABLE for as long as it lives.
const secretTries = 2

// command is what a task's process is started with.
type command struct {
	argv []string
	env  environment
	// spare are the entries of env that a file holds as well.
	spare []string
}

// lighten leaves out the longest of the spare entries; false: there is none left.
func (c *command) lighten() bool {
	if len(c.spare) == 0 {
		return false
	}
	longest := 0
	for i, name := range c.spare {
		if len(c.env[name]) > len(c.env[c.spare[longest]]) {
			longest = i
		}
	}
	delete(c.env, c.spare[longest])
	c.spare = slices.Delete(c.spare, longest, longest+1)
	return true
}

// input is a parameter of a task and the file that holds its value.
type input struct {
	param string
	path  string // empty: the input is absent (A-ENV-2)
}

// prepare fetches what the task needs and puts its command together. Any error ends
// the attempt as FAILED before the task starts.
func (a *attempt) prepare(ctx context.Context, spec *agentv1.TaskSpec) (command, error) {
	op, err := runnable(spec)
	if err != nil {
		return command{}, err
	}
	if a.dir, err = os.MkdirTemp(a.cfg.TempDir, "leoflow-agent-"); err != nil {
		return command{}, fmt.Errorf("the task could not be started: no directory of its own: %w", err)
	}
	given := environment{}
	inputs, err := a.inputs(ctx, spec, given)
	if err != nil {
		return command{}, err
	}
	env := inherited(a.cfg.Environ, a.cfg.Token)
	a.secrets(ctx, env)
	if err := env.setAll(spec.GetEnvironment()); err != nil {
		return command{}, err
	}
	if args := spec.GetCallArgsJson(); args != "" {
		if err := env.set(envCallArgs, args); err != nil {
			return command{}, err
		}
	}
	maps.Copy(env, given)
	env[envReturnValue] = a.returnPath()
	argv, err := op.argv(a.cfg, a.dir, spec, inputs)
	if err != nil {
		return command{}, fmt.Errorf("the task could not be started: %w", err)
	}
	var spare []string
	for _, in := range inputs {
		if name := domain.XComVariable(in.param); in.path != "" && env[name] != "" {
			spare = append(spare, name)
		}
	}
	return command{argv: argv, env: env, spare: spare}, nil
}

// inputs fetches the inputs, in the order of their names, into files and env.
func (a *attempt) inputs(ctx context.Context, spec *agentv1.TaskSpec, env environment) ([]input, error) {
	params := slices.Sorted(maps.Keys(spec.GetXcomInputMapping()))
	if err := checkInputNames(params); err != nil {
		return nil, err
	}
	inputs := make([]input, len(params))
	fetched := map[string][]byte{}
	for i, param := range params {
		inputs[i].param = param
		value, err := a.input(ctx, fetched, spec.GetXcomInputMapping()[param].GetTaskIds())
		if err != nil {
			return nil, fmt.Errorf("the input %q could not be fetched: %w", param, err)
		}
		if value == nil {
			continue
		}
		inputs[i].path = filepath.Join(a.dir, fmt.Sprintf("xcom-%04d", i))
		if err := env.setInput(inputs[i], value); err != nil {
			return nil, err
		}
	}
	return inputs, nil
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

// setInput writes a value to its file, and adds the file's name and, where the system
// can pass it, the value (A-ENV-4).
func (env environment) setInput(in input, value []byte) error {
	if err := os.WriteFile(in.path, value, 0o600); err != nil {
		return fmt.Errorf("the input %q could not be written to a file: %w", in.param, err)
	}
	name := domain.XComVariable(in.param)
	if err := env.set(name+domain.EnvPathSuffix, in.path); err != nil {
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
