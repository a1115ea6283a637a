package agent

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
)

// python3 returns the interpreter, without which these tests prove nothing: they
// are skipped then, but in CI they fail.
func python3(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("python3")
	if err != nil {
		if os.Getenv("CI") == "" {
			t.Skip("python tasks are not tried: there is no python3 on PATH") //nolint:forbidigo // a machine with Go alone may run the rest; CI may not do without
		}
		t.Fatalf("these tests run python tasks: install Python 3.8 or newer as python3 (apt-get install -y python3): %v", err)
	}
	return path
}

// realPython returns the interpreter itself, where python3 is a script that chooses one.
func realPython(t *testing.T) string {
	t.Helper()
	out, err := exec.Command(python3(t), "-c", "import sys; print(sys.executable)").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// python returns a task that calls a function of module "job", whose source it
// writes to the working directory.
func python(t *testing.T, function, source string) *agentv1.TaskSpec {
	t.Helper()
	python3(t)
	t.Chdir(t.TempDir())
	writeModule(t, "job.py", source)
	return &agentv1.TaskSpec{Operator: "python", Entrypoint: "job:" + function, TaskId: "task", TryNumber: 1}
}

func writeModule(t *testing.T, path, source string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
}

// pushed returns the one value that was pushed.
func (f *fake) pushed(t *testing.T) string {
	t.Helper()
	if len(f.pushes) != 1 {
		t.Fatalf("pushed %d values: %v", len(f.pushes), f.pushes)
	}
	if got := f.pushes[0].GetContentType(); got != "application/json" {
		t.Errorf("pushed as %s", got)
	}
	return string(f.pushes[0].GetValue())
}

func TestRun4PythonReturnsJSON(t *testing.T) {
	for name, c := range map[string]struct{ body, want string }{
		"object":         {`return {"n": 1, "text": "h\u00e9 \u4e16", "list": [1.5, None, True], "tuple": (1, 2)}`, `{"n": 1, "text": "hé 世", "list": [1.5, null, true], "tuple": [1, 2]}`},
		"zero":           {`return 0`, `0`},
		"empty":          {`return ""`, `""`},
		"false":          {`return False`, `false`},
		"long integer":   {`return 2**70`, `1180591620717411303424`},
		"half surrogate": {`return "\ud800"`, `"\ud800"`},
		"moved":          {`import os; os.environ.clear(); os.chdir("/"); return 1`, `1`},
		"own file":       {`import os; open(os.environ["LEOFLOW_RETURN_VALUE_PATH"], "w").write("[2]")`, `[2]`},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fake{spec: python(t, "f", "def f():\n    "+c.body+"\n")}
			b := newBench(t, f)
			b.run(t)
			wantOutcome(t, f.terminal(t), success, 0, "")
			if got := f.pushed(t); got != c.want {
				t.Errorf("pushed %s, want %s", got, c.want)
			}
			if left, err := os.ReadDir(b.cfg.TempDir); err != nil || len(left) != 0 {
				t.Errorf("left behind %v, %v", left, err)
			}
		})
	}
}

func TestRun4PythonNoneIsNoValue(t *testing.T) {
	f := &fake{spec: python(t, "f", "def f():\n    return None\n")}
	newBench(t, f).run(t)
	wantOutcome(t, f.terminal(t), success, 0, "")
	if len(f.pushes) != 0 {
		t.Errorf("pushed %v", f.pushes)
	}
}

func TestRun4PythonValueThatIsNoJSON(t *testing.T) {
	const what = "exited with code 1: job:f returned a value of type "
	for name, c := range map[string]struct{ body, want string }{
		"set":       {`return {1}`, "set that cannot be passed on as JSON: Object of type set is not JSON serializable"},
		"inside":    {`return {"a": [b"x"]}`, "dict that cannot be passed on as JSON: Object of type bytes is not JSON serializable"},
		"generator": {`yield 1`, "generator that cannot be passed on as JSON: Object of type generator is not JSON serializable"},
		"NaN":       {`return float("nan")`, "float that cannot be passed on as JSON: Out of range float values are not JSON compliant"},
		"key":       {`return {(1, 2): 3}`, "dict that cannot be passed on as JSON: keys must be str, int, float, bool or None, not tuple"},
		"circle":    {`x = []; x.append(x); return x`, "list that cannot be passed on as JSON: Circular reference detected"},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fake{spec: python(t, "f", "def f():\n    "+c.body+"\n")}
			newBench(t, f).run(t)
			got := f.terminal(t)
			// A newer Python says a little more after it.
			if got.GetState() != failure || got.GetExitCode() != 1 || !strings.HasPrefix(got.GetErrorMessage(), what+c.want) {
				t.Errorf("reported %v", got)
			}
			if len(f.pushes) != 0 || len(f.texts("stderr")) != 1 {
				t.Errorf("pushed %v, said %q", f.pushes, f.texts("stderr"))
			}
		})
	}
}

func TestEnv1PythonArguments(t *testing.T) {
	f := &fake{spec: python(t, "f", `
import os

def f(limit, *, rows, all, text, raw, nan, empty, gone="default", **more):
    print(os.environ["LEOFLOW_CALL_ARGS_JSON"], os.environ["LEOFLOW_XCOM_ALL"])
    return [limit, rows, all, text, list(raw), nan, empty, gone, list(more.items())]
`)}
	f.spec.CallArgsJson = `{"z": {"b": [1.0]}, "limit": 10, "a": null}`
	f.spec.XcomInputMapping = inputs(map[string][]string{
		"rows": {"a"}, "all": {"b", "absent", "a", "text"}, "text": {"text"}, "raw": {"bytes"}, "nan": {"nan"}, "empty": {"empty"}, "gone": {"absent"},
	})
	f.onFetch = values(map[string]string{
		"a": `{"n": [1, 2.5]}`, "b": "2", "text": "say \"hé\"", "bytes": "\xff\x00", "nan": "NaN", "empty": "",
	})
	newBench(t, f).run(t)
	wantOutcome(t, f.terminal(t), success, 0, "")
	want := `[10, {"n": [1, 2.5]}, [2, null, {"n": [1, 2.5]}, "say \"hé\""], "say \"hé\"", [255, 0], "NaN", "", "default", [["z", {"b": [1.0]}], ["a", null]]]`
	if got := f.pushed(t); got != want {
		t.Errorf("called with %s, want %s", got, want)
	}
	wantLines(t, f.texts("stdout"), `{"z": {"b": [1.0]}, "limit": 10, "a": null} [2,null,{"n": [1, 2.5]},"say \"hé\""]`)
}

func TestEnv4PythonTakesLargeInputs(t *testing.T) {
	f := &fake{spec: python(t, "f", "def f(big): return len(big)\n")}
	f.spec.XcomInputMapping = inputs(map[string][]string{"big": {"up"}})
	f.onFetch = values(map[string]string{"up": `"` + strings.Repeat("x", 3<<20) + `"`})
	newBench(t, f).run(t)
	wantOutcome(t, f.terminal(t), success, 0, "")
	if got := f.pushed(t); got != "3145728" {
		t.Errorf("a length of %s", got)
	}
}

func TestEnv4PythonUnreadableInput(t *testing.T) {
	f := &fake{spec: python(t, "f", "def f(deep): print('called')\n")}
	f.spec.XcomInputMapping = inputs(map[string][]string{"deep": {"up"}})
	f.onFetch = values(map[string]string{"up": strings.Repeat("[", 200_000) + strings.Repeat("]", 200_000)})
	newBench(t, f).run(t)
	got := f.terminal(t)
	if got.GetState() != failure || !strings.HasPrefix(got.GetErrorMessage(), "exited with code 1: the input 'deep' cannot be read: ") || len(f.texts("stdout")) != 0 {
		t.Errorf("reported %v", got)
	}
}

// TestStart3PythonCannotCall has tasks that fail before RUNNING.
func TestStart3PythonCannotCall(t *testing.T) {
	for name, c := range map[string]struct{ entry, args, want string }{
		"no function":  {"job", "", `the entrypoint "job" is not module:function, such as reports.daily:write`},
		"a script":     {"print()", "", `the entrypoint "print()" is not module:function, such as reports.daily:write`},
		"a path":       {"dir/job.py:f", "", `the entrypoint "dir/job.py:f" is not module:function, such as reports.daily:write`},
		"a new line":   {"job:f\n", "", `the entrypoint "job:f\n" is not module:function, such as reports.daily:write`},
		"a list":       {"job:f", `[1]`, "the call arguments are not a JSON object of keyword arguments"},
		"null":         {"job:f", `null`, "the call arguments are not a JSON object of keyword arguments"},
		"no JSON":      {"job:f", `{`, "the call arguments are not a JSON object of keyword arguments"},
		"given twice":  {"job:f", `{"rows": 1}`, `the argument "rows" is given twice: among the call arguments and as an input`},
		"unknown name": {"\u00e9t\u00e9:f", `{"rows": 1}`, `the argument "rows" is given twice: among the call arguments and as an input`},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fake{spec: python(t, "f", "print('imported')\ndef f(rows): pass\n")}
			f.spec.Entrypoint, f.spec.CallArgsJson = c.entry, c.args
			f.spec.XcomInputMapping = inputs(map[string][]string{"rows": {"absent"}})
			newBench(t, f).run(t)
			wantOutcome(t, f.terminal(t), failure, 0, c.want)
			if len(f.reports) != 1 || f.called("FetchXCom") != 0 || len(f.texts("stdout")) != 0 {
				t.Error("the task was started")
			}
		})
	}
}

func TestStart3PythonInterpreter(t *testing.T) {
	binary := realPython(t)
	link := func(t *testing.T, name string) string {
		dir := t.TempDir()
		if err := os.Symlink(binary, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	for name, c := range map[string]struct{ path, named, want string }{
		"none":      {t.TempDir(), "", "the task could not be started: neither python3 nor python is on PATH: install Python 3.8 or newer, or set LEOFLOW_PYTHON to its path"},
		"wrong":     {filepath.Dir(binary), "no-such-python", `the task could not be started: the Python that LEOFLOW_PYTHON names was not found (exec: "no-such-python": executable file not found in $PATH): set it to the path of a Python 3.8 or newer`},
		"python3":   {link(t, "python3"), "", ""},
		"python":    {link(t, "python"), "", ""},
		"named":     {link(t, "snake"), "snake", ""},
		"a path":    {t.TempDir(), binary, ""},
		"3 first":   {link(t, "python3") + ":" + filepath.Dir(script(t, "python", "exit 9")), "", ""},
		"too old":   {filepath.Dir(binary), script(t, "old", `exec '`+binary+`' -c 'import runpy, sys; sys.version_info, sys.version = (3, 7, 9), "3.7.9 (old)"; sys.argv[:] = sys.argv[2:]; runpy.run_path(sys.argv[0], run_name="__main__")' "$@"`), "exited with code 1: python tasks need Python 3.8 or newer, and "},
		"no python": {t.TempDir(), script(t, "cheat", "exit 9"), "exited with code 9"},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fake{spec: python(t, "f", "def f(): return 1\n")}
			b := newBench(t, f)
			b.cfg.Python = c.named
			t.Setenv("PATH", c.path)
			b.run(t)
			got := f.terminal(t)
			if c.want == "" {
				wantOutcome(t, got, success, 0, "")
			} else if got.GetState() != failure || !strings.HasPrefix(got.GetErrorMessage(), c.want) {
				t.Errorf("reported %v", got)
			}
			if started := len(f.reports) == 2; started == strings.HasPrefix(c.want, "the task could not be started") {
				t.Errorf("reported %v", f.reports)
			}
		})
	}
}

// script writes an executable shell script, and returns its path.
func script(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestStart1PythonSeesNoToken(t *testing.T) {
	f := &fake{spec: python(t, "f", `
import os, sys

def f():
    print(dict(os.environ), sys.argv, open("/proc/self/cmdline").read().split("\0"))
    for name in os.listdir(os.path.dirname(os.environ["LEOFLOW_RETURN_VALUE_PATH"])):
        print(name, open(os.path.join(os.path.dirname(os.environ["LEOFLOW_RETURN_VALUE_PATH"]), name)).read())
    return sys.argv
`)}
	b := newBench(t, f)
	b.cfg.Environ = append(b.cfg.Environ, "LEOFLOW_AGENT_TOKEN="+testToken, "COPY="+testToken)
	b.run(t)
	wantOutcome(t, f.terminal(t), success, 0, "")
	out := strings.Join(f.texts("stdout"), "\n")
	if strings.Contains(out, testToken) || !strings.Contains(out, "call.json") || !strings.Contains(out, "'job:f'") {
		t.Errorf("the task sees %s", out)
	}
	if got := f.pushed(t); got != `["job:f"]` {
		t.Errorf("sys.argv is %s", got)
	}
}

// TestLog1PythonLinesFlow has a task that goes on only once its first line, without
// a flush of its own, has arrived.
func TestLog1PythonLinesFlow(t *testing.T) {
	pipe := namedPipe(t)
	f := &fake{spec: python(t, "f", `
import sys

def f(pipe):
    print("first h\u00e9")
    print("second", file=sys.stderr)
    open(pipe).read()
    sys.stdout.write("last")
`)}
	f.spec.CallArgsJson = `{"pipe": "` + pipe + `"}`
	arrived := make(chan struct{})
	f.onStream = f.upon("first hé", func() { close(arrived) })
	b := newBench(t, f)
	b.cfg.Environ = append(b.cfg.Environ, "PYTHONIOENCODING=latin-1")
	go func() {
		select {
		case <-arrived:
		case <-time.After(patient):
			t.Error("the first line never came")
		}
		_ = os.WriteFile(pipe, nil, 0)
	}()
	b.run(t)
	wantOutcome(t, f.terminal(t), success, 0, "")
	wantLines(t, f.texts("stdout"), "first hé", "last")
	wantLines(t, f.texts("stderr"), "second")
}

func TestRun3PythonIsStopped(t *testing.T) {
	const body = `
import signal, subprocess, sys

def f(held):
    file = open(held, "w")
    child = subprocess.Popen(["sleep", "1000"], pass_fds=[file.fileno()])
    print("up")
    child.wait()

def polite(held):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
    f(held)
`
	for name, c := range map[string]struct {
		function string
		timeout  int32
		code     int32
		want     string
	}{
		"time-out":  {"f", 1, -15, "timed out after 1s (killed by signal 15 (terminated))"},
		"cancelled": {"f", 0, -15, "stopped: cancelled (killed by signal 15 (terminated))"},
		"polite":    {"polite", 0, 7, "stopped: cancelled (exited with code 7)"},
	} {
		t.Run(name, func(t *testing.T) {
			held, gone := fifo(t)
			f := &fake{spec: python(t, c.function, body)}
			f.spec.CallArgsJson, f.spec.ExecutionTimeoutSeconds = `{"held": "`+held+`"}`, c.timeout
			up := make(chan struct{})
			f.onStream = f.upon("up", func() { close(up) })
			f.onBeat = func(context.Context, int) (*agentv1.HeartbeatResponse, error) {
				select {
				case <-up:
					return &agentv1.HeartbeatResponse{ShouldTerminate: c.timeout == 0, Reason: agentv1.TerminationReason_TERMINATION_REASON_CANCELLED}, nil
				default:
					return &agentv1.HeartbeatResponse{}, nil
				}
			}
			b := newBench(t, f)
			b.pace.after = func(time.Duration) <-chan time.Time { // the time is over once the task is up
				over := make(chan time.Time)
				go func() {
					<-up
					close(over)
				}()
				return over
			}
			b.run(t)
			await(t, gone, "the end of the task's whole group")
			wantOutcome(t, f.terminal(t), failure, c.code, c.want)
		})
	}
}

// anyPython blanks what differs from one Python to another: marks below a line.
var anyPython = regexp.MustCompile(`^\s*[\^~]+$`)

func wantTraceback(t *testing.T, f *fake, want ...string) {
	t.Helper()
	got := slices.DeleteFunc(f.texts("stderr"), anyPython.MatchString)
	for i, line := range got {
		if wd, err := os.Getwd(); err == nil {
			got[i] = strings.ReplaceAll(line, wd+"/", "")
		}
	}
	wantLines(t, got, want...)
}
