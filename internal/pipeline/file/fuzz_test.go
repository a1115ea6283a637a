package file

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/neochaotic/leoflow/internal/domain"
)

// FuzzPipelineFile holds that any input ends in one line that names a place, or
// in a pipeline that can be run; never in a panic.
func FuzzPipelineFile(f *testing.F) {
	paths, err := filepath.Glob(filepath.Join(examples, "*.yaml"))
	if err != nil || len(paths) == 0 {
		f.Fatalf("examples: %v, %v", paths, err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	for _, c := range invalids {
		if len(c.text) < 8192 { // the oversized ones only slow the fuzzer down
			f.Add([]byte(c.text))
		}
	}
	f.Add([]byte(everything))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Parse("p.yaml", data)
		again, errAgain := Parse("p.yaml", data)
		if err != nil {
			checkTold(t, err, errAgain)
			return
		}
		if errAgain != nil {
			t.Fatalf("parsed once, then %v", errAgain)
		}
		if diff := cmp.Diff(p, again); diff != "" {
			t.Fatalf("parsed twice: %s", diff)
		}
		checkConsistent(t, p)
	})
}

func checkTold(t *testing.T, err, again error) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("%T is no *Error", err)
	}
	if e.Line < 1 || e.Column < 1 || e.Problem == "" || e.Remedy == "" {
		t.Fatalf("place %d:%d, problem %q, remedy %q", e.Line, e.Column, e.Problem, e.Remedy)
	}
	if s := err.Error(); strings.ContainsFunc(s, unicode.IsControl) {
		t.Fatalf("%q holds a control character", s)
	}
	if again == nil || again.Error() != err.Error() {
		t.Fatalf("told %q, then %v", err, again)
	}
}

// checkConsistent holds what [Pipeline] promises to its callers.
func checkConsistent(t *testing.T, p *Pipeline) {
	t.Helper()
	defs := p.Definitions()
	if p.Name == "" || len(defs) == 0 || len(defs) != len(p.Tasks) {
		t.Fatalf("name %q, %d tasks, %d definitions", p.Name, len(p.Tasks), len(defs))
	}
	place := map[string]int{}
	for i, def := range defs {
		if _, twice := place[def.TaskID]; twice || def.TaskID == "" || def.TaskID != p.Tasks[i].ID {
			t.Fatalf("definition %d: id %q is empty, double or out of order", i, def.TaskID)
		}
		place[def.TaskID] = i
	}
	waits := map[int]map[int]bool{}
	for i, def := range defs {
		waits[i] = map[int]bool{}
		upstream := p.Upstream(def.TaskID)
		for _, id := range upstream {
			j, ok := place[id]
			if !ok || j == i || waits[i][j] {
				t.Fatalf("task %q: upstream %q is undeclared, double or itself", def.TaskID, id)
			}
			waits[i][j] = true
		}
		checkInputs(t, def, upstream)
		checkRunnable(t, def, p.Tasks[i].Timeout)
		checkRetry(t, p.Tasks[i])
	}
	if !drains(waits) {
		t.Fatal("the tasks wait for each other")
	}
}

func checkInputs(t *testing.T, def domain.TaskDefinition, upstream []string) {
	t.Helper()
	for parameter, sources := range def.Spec.XComInputMapping {
		if parameter == "" || len(sources) == 0 {
			t.Fatalf("task %q: input %q of %v", def.TaskID, parameter, sources)
		}
		for _, id := range sources {
			if !slices.Contains(upstream, id) {
				t.Fatalf("task %q: input %q takes from %q, which is not upstream", def.TaskID, parameter, id)
			}
		}
	}
}

func checkRunnable(t *testing.T, def domain.TaskDefinition, timeout time.Duration) {
	t.Helper()
	spec := def.Spec
	switch spec.Operator {
	case OperatorBash:
		if strings.TrimSpace(spec.Entrypoint) == "" || strings.ContainsRune(spec.Entrypoint, 0) || spec.CallArgsJSON != "" {
			t.Fatalf("task %q: script %q, arguments %q", def.TaskID, spec.Entrypoint, spec.CallArgsJSON)
		}
	case OperatorPython:
		checkCallable(t, def)
	default:
		t.Fatalf("task %q: operator %q", def.TaskID, spec.Operator)
	}
	if s := time.Duration(spec.TimeoutSeconds) * time.Second; s != timeout || s < 0 || s > maxTimeout {
		t.Fatalf("task %q: timeout %v is %v in the definition", def.TaskID, timeout, s)
	}
	for name, value := range spec.Environment {
		if name == "" || strings.ContainsAny(name, "=\x00") || strings.ContainsRune(value, 0) {
			t.Fatalf("task %q: env %q=%q", def.TaskID, name, value)
		}
	}
}

func checkRetry(t *testing.T, task Task) {
	t.Helper()
	r := task.Retry
	if r.Times < 0 || r.Times > 100 || r.Delay < 0 || r.DelayMax < r.Delay || r.DelayMax > maxRetryDelay || r.Times == 0 && r != (Retry{}) {
		t.Fatalf("task %q: %+v", task.ID, r)
	}
	rules := []When{WhenAllSucceeded, WhenAllDone, WhenAnySucceeded, WhenAnyFailed, WhenNoneFailed}
	if !slices.Contains(rules, task.When) {
		t.Fatalf("task %q: when %q", task.ID, task.When)
	}
}

func checkCallable(t *testing.T, def domain.TaskDefinition) {
	t.Helper()
	module, function, ok := strings.Cut(def.Spec.Entrypoint, ":")
	for _, name := range slices.Concat(strings.Split(module, "."), strings.Split(function, ".")) {
		ok = ok && pythonName.MatchString(name)
	}
	if !ok {
		t.Fatalf("task %q: function %q", def.TaskID, def.Spec.Entrypoint)
	}
	var args map[string]json.RawMessage
	if text := def.Spec.CallArgsJSON; text != "" {
		if err := json.Unmarshal([]byte(text), &args); err != nil || len(args) == 0 || len(text) > maxArgsBytes {
			t.Fatalf("task %q: arguments %q: %v", def.TaskID, text, err)
		}
	}
	for name := range def.Spec.XComInputMapping {
		if _, twice := args[name]; twice || !pythonName.MatchString(name) {
			t.Fatalf("task %q: input %q beside %v", def.TaskID, name, args)
		}
	}
}
