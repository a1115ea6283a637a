package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// asProgram in the environment has the test's program be the command.
const asProgram = "LEOFLOW_CONFORMANCE_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	os.Exit(m.Run())
}

// answers is a script that answers each call as the cases of its method say.
func answers(cases ...string) string {
	return `sed -u -n 's/.*"id":\([0-9]*\),"method":"\([A-Za-z]*\)".*/\1 \2/p' | while read -r id method; do case $method in ` +
		strings.Join(cases, ";; ") + `;; esac; done`
}

const (
	capable       = `GetCapabilities) echo "{\"id\":$id,\"response\":{\"server\":\"scripted\"}}"`
	unimplemented = `*) echo "{\"id\":$id,\"error\":{\"code\":\"UNIMPLEMENTED\",\"message\":\"no $method\"}}"`
	failing       = `*) echo "{\"id\":$id,\"error\":{\"code\":\"INTERNAL\",\"message\":\"no database\"}}"`
)

func TestAFixtureCommandThatIsNoAdapterHasItsExitCodeAndOneLine(t *testing.T) {
	good := serve(t, bare{})
	for name, c := range map[string]struct {
		command string
		code    int
		want    string
		more    []string
	}{
		"is empty":            {" ", exitBadUsage, "the command is empty", nil},
		"is given twice":      {"cat", exitBadUsage, "can't be used together", []string{"--fixtures-addr", good}},
		"ends":                {"exit 3", exitUnreachable, "exit status 3", nil},
		"says hello":          {"echo hello; cat", exitOwnFault, "line 1 of its output is no reply", nil},
		"echoes":              {"cat", exitOwnFault, `unknown field "method"`, nil},
		"never answers":       {"sleep 1000", exitUnreachable, "no answer to GetCapabilities came within 1.5s", []string{"--time-scale", "0.05"}},
		"has no capabilities": {answers(unimplemented), exitBadUsage, "GetCapabilities is missing", nil},
		"fails":               {answers(failing), exitUnreachable, "no database", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, out, errOut := command(append([]string{"server", "--addr", good, "--fixture-cmd", c.command}, c.more...)...)
			line, rest, _ := strings.Cut(errOut, "\n")
			if code != c.code || out != "" || rest != "" || !strings.Contains(line, c.want) || !strings.Contains(line, "--fixture-cmd") {
				t.Errorf("exit code %d, output %q, standard error %q", code, out, errOut)
			}
		})
	}
}

func TestWhatAFixtureCommandCannotDoIsUntestable(t *testing.T) {
	code, out, errOut := command("server", "--addr", serve(t, bare{}), "--fixture-cmd", answers(capable, unimplemented), "--rule", "REG")
	if code != exitFailed || errOut != "" || !strings.Contains(out, "the fixtures cannot prepare a run: no PrepareRun") || !strings.Contains(out, " 0 passed, 0 failed, ") {
		t.Errorf("exit code %d, output %q, standard error %q", code, out, errOut)
	}
}

// TestAFixtureCommandThatHangsFailsChecksByTheirDeadlines has one that answers nothing
// but its first call. The suite goes on, and ends it.
func TestAFixtureCommandThatHangsFailsChecksByTheirDeadlines(t *testing.T) {
	code, out, errOut := command("server", "--addr", serve(t, bare{}), "--fixture-cmd", answers(capable, "*) :"),
		"--rule", "SPEC", "--parallel", "1", "--time-scale", "0.15")
	if code != exitFailed || errOut != "" || strings.Count(out, "no time was left to prepare a run") != 2 || !strings.Contains(out, " 0 passed, 2 failed") {
		t.Errorf("exit code %d, output %q, standard error %q", code, out, errOut)
	}
}

// TestAFixtureCommandThatGoesWrongEndsTheRunInALine has ones that do so at the first
// call of a check.
func TestAFixtureCommandThatGoesWrongEndsTheRunInALine(t *testing.T) {
	good := serve(t, bare{})
	for name, c := range map[string]struct{ does, want string }{
		"ends":           {"*) kill $$", "the fixture command ended: signal: terminated"},
		"says nonsense":  {"*) echo {}", "line 3 of its output is no reply: it has no id"},
		"errs in an id":  {`*) echo "{\"id\":99,\"response\":{}}"`, "answers call 99"},
		"errs in a name": {`*) echo "{\"id\":$id,\"response\":{\"ok\":true}}"`, "the response to call 3, PrepareRun, is no PrepareRunResponse"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, out, errOut := command("server", "--addr", good, "--fixture-cmd", answers(capable, c.does), "--rule", "REG", "--parallel", "1")
			line, rest, _ := strings.Cut(errOut, "\n")
			if code != exitOwnFault || rest != "" || !strings.Contains(line, c.want) || strings.Count(out, "\nerror: ")+strings.Count(out, "error: REG") < 1 ||
				!strings.Contains(out, "the fixtures had failed before") || !strings.Contains(out, " 0 passed, 0 failed, ") {
				t.Errorf("exit code %d, output %q, standard error %q", code, out, errOut)
			}
		})
	}
}

// TestAnInterruptEndsTheFixtureCommandToo interrupts the program in a check, and when it
// waits for the first answer.
func TestAnInterruptEndsTheFixtureCommandToo(t *testing.T) {
	good := serve(t, bare{})
	for name, says := range map[string]string{"in a check": capable, "before any": "never) :"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ready := filepath.Join(t.TempDir(), "ready")
			if err := syscall.Mkfifo(ready, 0o600); err != nil {
				t.Fatal(err)
			}
			heard, err := os.OpenFile(ready, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer heard.Close()
			script := answers(says, `*) sleep 1000 & echo $! > `+ready+`; wait`)
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			program := exec.Command(self, "server", "--addr", good, "--fixture-cmd", script, "--rule", "REG", "--time-scale", "10")
			program.Env = append(os.Environ(), asProgram+"=1")
			var said bytes.Buffer
			program.Stdout, program.Stderr = &said, &said
			if err := program.Start(); err != nil {
				t.Fatal(err)
			}
			defer program.Process.Kill() //nolint:errcheck // it has ended, if all is well
			child := 0
			if err := scan(heard, &child); err != nil {
				t.Fatalf("%v: %s", err, said.String())
			}
			if err := program.Process.Signal(syscall.SIGINT); err != nil {
				t.Fatal(err)
			}
			_ = program.Wait() // its state tells
			if code := program.ProcessState.ExitCode(); code != exitFailed {
				t.Errorf("exit code %d: %s", code, said.String())
			}
			for tick, end := time.NewTicker(10*time.Millisecond), time.After(time.Minute); !errors.Is(syscall.Kill(child, 0), syscall.ESRCH); {
				select {
				case <-end:
					t.Fatalf("process %d of the fixture command lives on", child)
				case <-tick.C:
				}
			}
		})
	}
}

// scan reads a number, and waits for it.
func scan(from *os.File, into *int) error {
	if err := from.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		return err
	}
	_, err := fmt.Fscanln(from, into)
	return err
}
