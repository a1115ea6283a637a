package pipeline

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// helperVariable has this test's own program play an agent, or what launches one.
const (
	helperVariable = "PIPELINE_TEST_HELPER"
	addressVar     = "PIPELINE_TEST_ADDRESS"
)

// help plays a part in a process of its own.
func help(part string) int {
	switch part {
	case "tell": // what it was launched with
		dir, _ := os.Getwd()
		answer(launchedWith{os.Args, os.Environ(), dir})
		return 0
	case "die":
		fmt.Fprintln(os.Stderr, "one")
		fmt.Fprintln(os.Stderr, "\ntwo")
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case "fail":
		return 7
	case "leave": // a child in a group of its own, which holds a connection, and die
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), helperVariable+"=hold")
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if cmd.Start() != nil {
			return 1
		}
		select {} // killed by the test
	case "hold":
		conn := dial()
		_, _ = conn.Write([]byte("holding\n"))
		_, _ = conn.Read(make([]byte, 1)) // for ever: only its death ends it
	case "launch": // an agent, and wait
		_ = os.Unsetenv(helperVariable)
		_, err := (&Exec{
			Command: []string{os.Args[0]}, TempDir: os.TempDir(),
			Environ: append(os.Environ(), helperVariable+"=hold"),
		}).Launch(Attempt{Token: "t"})
		if err != nil {
			return 1
		}
		select {}
	}
	return 9
}

type launchedWith struct {
	Args, Env []string
	Dir       string
}

func dial() net.Conn {
	conn, err := net.Dial("tcp", os.Getenv(addressVar))
	if err != nil {
		os.Exit(8)
	}
	return conn
}

func answer(v any) { _ = json.NewEncoder(dial()).Encode(v) }

// launchHelper launches this program as an agent that plays a part; the listener
// takes what it connects to.
func launchHelper(t *testing.T, part string) (Process, net.Listener, *Exec) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	e := &Exec{
		Command: []string{os.Args[0], "agent", "--temp-dir", "{temp}"},
		Addr:    "127.0.0.1:7", CAFile: "/ca.pem", Dir: t.TempDir(), TempDir: t.TempDir(),
		Environ: []string{
			helperVariable + "=" + part, addressVar + "=" + l.Addr().String(),
			"PATH=" + os.Getenv("PATH"), "LEOFLOW_RUN_VAR=secret", "LEOFLOW_PYTHON=py", "LEOFLOW_AGENT_TOKEN=other",
		},
		outputWait: deadline, // nothing else holds it open
	}
	p, err := e.Launch(Attempt{TaskID: "task", Try: 1, Token: "the-token"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Kill(); <-p.Ended() })
	return p, l, e
}

func accept(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	_ = l.(*net.TCPListener).SetDeadline(time.Now().Add(deadline))
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(deadline))
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func ended(t *testing.T, p Process) Exit {
	t.Helper()
	select {
	case <-p.Ended():
	case <-time.After(deadline):
		t.Fatal("the process does not end")
	}
	return p.Exit()
}

// TestAStart1TokenInEnvironmentAlone also holds what else an agent is launched with.
func TestAStart1TokenInEnvironmentAlone(t *testing.T) {
	p, l, e := launchHelper(t, "tell")
	var got launchedWith
	if err := json.NewDecoder(accept(t, l)).Decode(&got); err != nil {
		t.Fatal(err)
	}
	if exit := ended(t, p); exit.Code != 0 || exit.Signal != "" {
		t.Errorf("exit %+v", exit)
	}
	if strings.Contains(strings.Join(got.Args, " "), "the-token") {
		t.Errorf("the token is in the arguments: %q", got.Args)
	}
	var ours []string
	for _, kv := range got.Env {
		if strings.HasPrefix(kv, "LEOFLOW_") {
			ours = append(ours, kv)
		}
	}
	slices.Sort(ours)
	want := []string{
		"LEOFLOW_AGENT_INSECURE=false", "LEOFLOW_AGENT_TLS_CA=/ca.pem", "LEOFLOW_AGENT_TOKEN=the-token",
		"LEOFLOW_CONTROL_PLANE_ADDR=127.0.0.1:7", "LEOFLOW_PYTHON=py",
	}
	if !slices.Equal(ours, want) {
		t.Errorf("environment %q, want %q", ours, want)
	}
	if want, _ := filepath.EvalSymlinks(e.Dir); got.Dir != want {
		t.Errorf("directory %q, want %q", got.Dir, want)
	}
	if temp := got.Args[3]; filepath.Dir(temp) != e.TempDir {
		t.Errorf("temporary directory %q", temp)
	}
	if left, _ := os.ReadDir(e.TempDir); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
}

func TestExitSaysHowItEnded(t *testing.T) {
	p, _, _ := launchHelper(t, "die")
	exit := ended(t, p)
	if exit.Code != -9 || exit.String() != "killed by signal 9 (killed)" || !slices.Equal(exit.Said, []string{"one", "two"}) {
		t.Errorf("%+v", exit)
	}
	p, _, _ = launchHelper(t, "fail")
	if exit := ended(t, p); exit.Code != 7 || exit.String() != "ended with code 7" {
		t.Errorf("%+v", exit)
	}
}

func TestTerminateAndKill(t *testing.T) {
	p, l, _ := launchHelper(t, "hold")
	held(t, accept(t, l))
	p.Terminate()
	if exit := ended(t, p); exit.Code != -int(syscall.SIGTERM) {
		t.Errorf("%+v", exit)
	}
	p.Terminate() // of what has ended: nothing
	p.Kill()
}

func TestLaunchOfNothingLeavesNothing(t *testing.T) {
	e := &Exec{Command: []string{"/no/such/program"}, TempDir: t.TempDir()}
	if _, err := e.Launch(Attempt{}); err == nil {
		t.Fatal("it was launched")
	}
	if left, _ := os.ReadDir(e.TempDir); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
}

// held waits for a process to say that it holds the connection, and returns what
// waits for its death.
func held(t *testing.T, conn net.Conn) (gone func()) {
	t.Helper()
	r := bufio.NewReader(conn)
	if line, err := r.ReadString('\n'); err != nil || line != "holding\n" {
		t.Fatalf("%q, %v", line, err)
	}
	return func() {
		t.Helper()
		if _, err := r.ReadByte(); err != io.EOF && !isReset(err) {
			t.Errorf("the process lives on: %v", err)
		}
	}
}

func isReset(err error) bool {
	return err != nil && strings.Contains(err.Error(), "reset")
}

// TestTailIsBounded holds that an agent that talks for ever costs no memory.
func TestTailIsBounded(t *testing.T) {
	var tl tail
	for i := range 10_000 {
		fmt.Fprintf(&tl, "line %d\n", i)
	}
	got := tl.lines()
	if len(got) != maxTailLines || got[len(got)-1] != "line 9999" || cap(tl.text) > 4*maxTailBytes {
		t.Errorf("%d lines, capacity %d: %q", len(got), cap(tl.text), got)
	}
}

func TestCAFileIsItsOwnersAlone(t *testing.T) {
	path, err := WriteCA(t.TempDir(), []byte("pem"))
	if err != nil {
		t.Fatal(err)
	}
	for p, want := range map[string]os.FileMode{filepath.Dir(path): 0o700, path: 0o600} {
		info, err := os.Stat(p)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", p, info.Mode(), err)
		}
	}
}
