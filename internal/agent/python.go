package agent

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	"github.com/neochaotic/leoflow/internal/domain"
)

// pythonRuntime calls the function of a python task. It needs Python 3.8 or newer,
// and its standard library only.
//
//go:embed python_runtime.py
var pythonRuntime []byte

// pythonEntrypoint is module:function, each a dotted name.
var pythonEntrypoint = regexp.MustCompile(`^[\pL_][\pL\pM\pN_]*(\.[\pL_][\pL\pM\pN_]*)*:[\pL_][\pL\pM\pN_]*(\.[\pL_][\pL\pM\pN_]*)*$`)

// pythonCall is the file that tells the runtime what to call the function with.
type pythonCall struct {
	Args   json.RawMessage    `json:"args"`   // the literal keyword arguments, an object
	Inputs map[string]*string `json:"inputs"` // the file of each input; null: it is absent
}

// checkPython refuses what no function can be called with. An argument may be given
// once: an input that silently won over a literal would hide a mistake.
func checkPython(spec *agentv1.TaskSpec) error {
	if entry := spec.GetEntrypoint(); !pythonEntrypoint.MatchString(entry) || len(entry)+1 > maxEntry {
		return fmt.Errorf("the entrypoint %.200q is not module:function, such as reports.daily:write", entry)
	}
	args, err := callArgs(spec)
	if err != nil {
		return err
	}
	for _, param := range slices.Sorted(maps.Keys(spec.GetXcomInputMapping())) {
		if _, twice := args[param]; twice {
			return fmt.Errorf("the argument %q is given twice: among the call arguments and as an input", param)
		}
	}
	return nil
}

// callArgs returns the literal keyword arguments of a python task.
func callArgs(spec *agentv1.TaskSpec) (map[string]json.RawMessage, error) {
	text := spec.GetCallArgsJson()
	if text == "" {
		return nil, nil
	}
	var args map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &args); err != nil || args == nil {
		return nil, errors.New("the call arguments are not a JSON object of keyword arguments")
	}
	return args, nil
}

// pythonCommand hands the interpreter the runtime and the call as files, so that
// neither is bounded by what the system passes, and lists of processes stay readable.
func pythonCommand(cfg Config, dir string, spec *agentv1.TaskSpec, in []input) ([]string, error) {
	python, err := interpreter(cfg.Python)
	if err != nil {
		return nil, err
	}
	call := pythonCall{Args: json.RawMessage("{}"), Inputs: map[string]*string{}}
	if args := spec.GetCallArgsJson(); args != "" {
		call.Args = json.RawMessage(args) // as it is: a function may see the order
	}
	for _, i := range in {
		call.Inputs[i.param] = nil
		if i.path != "" {
			call.Inputs[i.param] = &i.path
		}
	}
	text, err := json.Marshal(call)
	if err != nil {
		return nil, fmt.Errorf("the call cannot be written as JSON: %w", err)
	}
	runtimePath, callPath := filepath.Join(dir, "leoflow_task.py"), filepath.Join(dir, "call.json")
	for path, content := range map[string][]byte{runtimePath: pythonRuntime, callPath: text} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return nil, fmt.Errorf("a file for the interpreter could not be written: %w", err)
		}
	}
	// Unbuffered, so that lines are shipped as they are printed.
	return []string{python, "-u", runtimePath, callPath, spec.GetEntrypoint()}, nil
}

// interpreter finds Python: the one that is named, else python3, else python.
func interpreter(named string) (string, error) {
	if named != "" {
		path, err := exec.LookPath(named)
		if err != nil {
			return "", fmt.Errorf("the Python that %s names was not found (%w): set it to the path of a Python 3.8 or newer", domain.EnvPython, err)
		}
		return path, nil
	}
	for _, name := range []string{"python3", "python"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("neither python3 nor python is on PATH: install Python 3.8 or newer, or set %s to its path", domain.EnvPython)
}
