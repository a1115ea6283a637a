package agent

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestRun2PythonTracebacks holds what a person reads of an exception: the task's own
// frames, and as the failure the line that names it.
func TestRun2PythonTracebacks(t *testing.T) {
	for name, c := range map[string]struct {
		source string
		code   int32
		want   string
		lines  []string
	}{
		"in the function": {
			"def g():\n    raise ValueError('no rows')\ndef f():\n    g()\n", 1, "exited with code 1: ValueError: no rows",
			[]string{"Traceback (most recent call last):", `  File "job.py", line 4, in f`, "    g()", `  File "job.py", line 2, in g`, "    raise ValueError('no rows')", "ValueError: no rows"},
		},
		"in a coroutine": {
			"async def f():\n    raise KeyError('k')\n", 1, "exited with code 1: KeyError: 'k'",
			[]string{"Traceback (most recent call last):", `  File "job.py", line 2, in f`, "    raise KeyError('k')", "KeyError: 'k'"},
		},
		"of several lines": {
			"def f():\n    raise ValueError('one\\ntwo')\n", 1, "exited with code 1: ValueError: one",
			[]string{"Traceback (most recent call last):", `  File "job.py", line 2, in f`, `    raise ValueError('one\ntwo')`, "ValueError: one", "two", "ValueError: one"},
		},
		"while importing": {
			"x = 1 / 0\ndef f(): pass\n", 1, "exited with code 1: ZeroDivisionError: division by zero",
			[]string{"Traceback (most recent call last):", `  File "job.py", line 1, in <module>`, "    x = 1 / 0", "ZeroDivisionError: division by zero"},
		},
		"a missing import of the module's own": {
			"import job_missing\ndef f(): pass\n", 1, "exited with code 1: ModuleNotFoundError: No module named 'job_missing'",
			[]string{"Traceback (most recent call last):", `  File "job.py", line 1, in <module>`, "    import job_missing", "ModuleNotFoundError: No module named 'job_missing'"},
		},
		"its own kind, and no words": {
			"class Odd(Exception): pass\ndef f():\n    raise Odd\n", 1, "exited with code 1: job.Odd",
			[]string{"Traceback (most recent call last):", `  File "job.py", line 3, in f`, "    raise Odd", "job.Odd"},
		},
		"standard error in other hands": {
			"import io, sys\ndef f():\n    sys.stderr = io.StringIO()\n    raise OSError('x')\n", 1, "exited with code 1: OSError: x",
			[]string{"Traceback (most recent call last):", `  File "job.py", line 4, in f`, "    raise OSError('x')", "OSError: x"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fake{spec: python(t, "f", c.source)}
			newBench(t, f).run(t)
			wantOutcome(t, f.terminal(t), failure, c.code, c.want)
			wantTraceback(t, f, c.lines...)
		})
	}
}

func TestRun2PythonSyntaxError(t *testing.T) {
	f := &fake{spec: python(t, "f", "def f(:\n")}
	newBench(t, f).run(t)
	wantOutcome(t, f.terminal(t), failure, 1, "exited with code 1: SyntaxError: invalid syntax")
	if out := strings.Join(f.texts("stderr"), "\n"); strings.Contains(out, "leoflow_task") || strings.Contains(out, "importlib") {
		t.Errorf("frames that are not the task's:\n%s", out)
	}
}

func TestRun2PythonExitCodes(t *testing.T) {
	for name, c := range map[string]struct {
		body string
		code int32
		want string
	}{
		"code":      {"sys.exit(3)", 3, "exited with code 3"},
		"zero":      {"sys.exit(0)", 0, ""},
		"none":      {"sys.exit()", 0, ""},
		"words":     {"sys.exit('no more')", 1, "exited with code 1: no more"},
		"signal":    {"os.kill(os.getpid(), 9)", -9, "killed by signal 9 (killed)"},
		"interrupt": {"raise KeyboardInterrupt", 1, "exited with code 1: KeyboardInterrupt"},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fake{spec: python(t, "f", "import os, sys\ndef f():\n    "+c.body+"\n")}
			newBench(t, f).run(t)
			state := failure
			if c.code == 0 {
				state = success
			}
			wantOutcome(t, f.terminal(t), state, c.code, c.want)
		})
	}
}

// TestRun2PythonNothingToCall holds that what is missing is named in one line.
func TestRun2PythonNothingToCall(t *testing.T) {
	for name, c := range map[string]struct{ entry, args, want string }{
		"module":          {"jub:f", "", "there is no module 'jub' in DIR or on PYTHONPATH"},
		"package":         {"pkg.sub.deep:f", "", "there is no module 'pkg.sub.deep' in DIR or on PYTHONPATH (No module named 'pkg.sub')"},
		"no package":      {"job.sub:f", "", "there is no module 'job.sub' in DIR or on PYTHONPATH (No module named 'job.sub'; 'job' is not a package)"},
		"function":        {"job:extrct", "", "the module 'job' has no 'extrct'; did you mean 'extract'?"},
		"attribute":       {"job:Box.g", "", "'Box' has no 'g'"},
		"no function":     {"job:TABLE", "", "job:TABLE is no function, but of type dict"},
		"argument":        {"job:extract", `{"path": 1}`, "job:extract(path, rows, limit) cannot be called: missing a required argument: 'rows' (without a value, and so not passed: gone)"},
		"excess argument": {"job:extract", `{"path": 1, "rows": 2, "extra": 3}`, "job:extract(path, rows, limit) cannot be called: got an unexpected keyword argument 'extra' (without a value, and so not passed: gone)"},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fake{spec: python(t, "", "TABLE = {}\nclass Box:\n    pass\ndef extract(path, rows: list, limit=5):\n    print('called')\n")}
			writeModule(t, "pkg/__init__.py", "")
			f.spec.Entrypoint, f.spec.CallArgsJson = c.entry, c.args
			f.spec.XcomInputMapping = inputs(map[string][]string{"gone": {"absent"}})
			newBench(t, f).run(t)
			got := f.terminal(t)
			text := dirOf.ReplaceAllString(got.GetErrorMessage(), "in DIR or")
			if got.GetState() != failure || got.GetExitCode() != 1 || text != "exited with code 1: "+c.want {
				t.Errorf("reported %v, want %s", got, c.want)
			}
			if len(f.texts("stderr")) != 1 || len(f.texts("stdout")) != 0 {
				t.Errorf("said %q", f.texts("stderr"))
			}
		})
	}
}

func TestRun2PythonGroupOfErrors(t *testing.T) {
	f := &fake{spec: python(t, "f", `
class Group(Exception):
    def __str__(self):
        return "two of them\n  +---- 1 ----\n"

def f():
    raise Group
`)}
	newBench(t, f).run(t)
	wantOutcome(t, f.terminal(t), failure, 1, "exited with code 1: job.Group: two of them")
}

// TestRunPythonFinds holds what an entrypoint may name, and where it is looked for.
func TestRunPythonFinds(t *testing.T) {
	for name, entry := range map[string]string{
		"a function": "job:f", "a coroutine function": "job:later", "a wrapped coroutine function": "job:wrapped",
		"a static method": "job:Box.f", "a method": "job:box.inner.g", "a module in a folder": "folder.inner:f",
		"a package": "package:f", "a module on PYTHONPATH": "elsewhere:f", "a name beyond ASCII": "job:été",
	} {
		t.Run(name, func(t *testing.T) {
			f := &fake{spec: python(t, "", `
import asyncio, functools, os

def f(x): return [x, os.getcwd() == os.environ["WHERE"]]
async def later(x):
    await asyncio.sleep(0)
    return f(x)
def wrapped(x): return later(x)
class Box:
    f = staticmethod(f)
    def g(self, x): return f(x)
box = Box()
box.inner = Box()
été = functools.partial(f)
`)}
			const other = "from job import f\n"
			writeModule(t, "folder/inner.py", other)
			writeModule(t, "package/__init__.py", other)
			path := t.TempDir()
			writeModule(t, path+"/elsewhere.py", other)
			f.spec.Entrypoint, f.spec.CallArgsJson = entry, `{"x": 1}`
			f.spec.Environment = map[string]string{"PYTHONPATH": path, "WHERE": workingDirectory(t)}
			newBench(t, f).run(t)
			wantOutcome(t, f.terminal(t), success, 0, "")
			if got := f.pushed(t); got != "[1, true]" {
				t.Errorf("returned %s", got)
			}
		})
	}
}

// TestRunPythonSpawnsProcesses holds that the runtime is no obstacle to children that
// import the main module anew.
func TestRunPythonSpawnsProcesses(t *testing.T) {
	f := &fake{spec: python(t, "f", `
import multiprocessing

def square(n): return n * n
def f():
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        return pool.map(square, [1, 2, 3])
`)}
	newBench(t, f).run(t)
	wantOutcome(t, f.terminal(t), success, 0, "")
	if got := f.pushed(t); got != "[1, 4, 9]" {
		t.Errorf("returned %s", got)
	}
}

// dirOf is the working directory in a message.
var dirOf = regexp.MustCompile(`in /\S+ or`)

func workingDirectory(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
