package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// deadline bounds every wait of these tests; nothing takes a part of it when right.
const deadline = 2 * time.Minute

// program is the command, built once.
var program string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	// Whoever runs the tests may ignore hangups, as nohup does, and what is ignored is
	// inherited; what is caught is not.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	dir, err := os.MkdirTemp("", "leoflow-cli-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	program = filepath.Join(dir, "leoflow")
	build := exec.Command("go", "build", "-race=false", "-o", program, ".")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// command is the program under way.
type command struct {
	t      *testing.T
	cmd    *exec.Cmd
	temp   string // its TMPDIR, which must be empty at the end
	stdout *bufio.Reader
	seen   strings.Builder // of stdout
	stderr bytes.Buffer
}

// start starts the program in an environment of its own; env is added as KEY=value.
func start(t *testing.T, env []string, args ...string) *command {
	t.Helper()
	c := prepare(t, env, args...)
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.stdout = bufio.NewReader(stdout)
	c.begin()
	return c
}

// startInto starts the program with its output into a file, which is closed here.
func startInto(t *testing.T, out *os.File, args ...string) *command {
	t.Helper()
	c := prepare(t, nil, args...)
	c.cmd.Stdout, c.stdout = out, bufio.NewReader(strings.NewReader(""))
	c.begin()
	_ = out.Close()
	return c
}

func prepare(t *testing.T, env []string, args ...string) *command {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	t.Cleanup(cancel)
	c := &command{t: t, temp: t.TempDir(), cmd: exec.CommandContext(ctx, program, args...)}
	c.cmd.Dir = t.TempDir()
	c.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + c.temp, "TMPDIR=" + c.temp}, env...)
	c.cmd.Stderr = &c.stderr
	c.cmd.WaitDelay = deadline
	return c
}

func (c *command) begin() {
	c.t.Helper()
	if err := c.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = c.cmd.Process.Kill() })
}

// awaitLine reads on until a line that holds text, and returns it.
func (c *command) awaitLine(text string) string {
	c.t.Helper()
	for {
		line, err := c.stdout.ReadString('\n')
		c.seen.WriteString(line)
		if strings.Contains(line, text) {
			return line
		}
		if err != nil {
			c.t.Fatalf("no line with %q: %v\n%s%s", text, err, c.seen.String(), c.stderr.String())
		}
	}
}

func (c *command) signal(sig syscall.Signal) {
	c.t.Helper()
	if err := c.cmd.Process.Signal(sig); err != nil {
		c.t.Fatal(err)
	}
}

// outcome is how the program ended.
type outcome struct {
	code        int
	out, errOut string
}

// end waits for the program to end, and looks for what it left behind.
func (c *command) end() outcome {
	c.t.Helper()
	rest, _ := io.ReadAll(c.stdout)
	c.seen.Write(rest)
	_ = c.cmd.Wait() // the exit code tells
	if left, err := os.ReadDir(c.temp); err != nil || len(left) > 0 {
		c.t.Errorf("left in the temporary directory: %v, %v", left, err)
	}
	return outcome{c.cmd.ProcessState.ExitCode(), c.seen.String(), c.stderr.String()}
}

// leoflow runs the program to its end.
func leoflow(t *testing.T, args ...string) outcome {
	t.Helper()
	return start(t, nil, args...).end()
}

// wantCode tells all when the exit code is another.
func (o outcome) wantCode(t *testing.T, want int) {
	t.Helper()
	if o.code != want {
		t.Errorf("exit code %d, want %d\nstdout:\n%s\nstderr:\n%s", o.code, want, o.out, o.errOut)
	}
}

// wantIn looks for pieces of the standard output.
func (o outcome) wantIn(t *testing.T, pieces ...string) {
	t.Helper()
	for _, piece := range pieces {
		if !strings.Contains(o.out, piece) {
			t.Errorf("the output lacks %q:\n%s\nstderr:\n%s", piece, o.out, o.errOut)
		}
	}
}

// wantOneLine holds that all that was said is one line of an error, with the pieces.
func (o outcome) wantOneLine(t *testing.T, pieces ...string) {
	t.Helper()
	if o.out != "" || strings.Count(o.errOut, "\n") != 1 || !strings.HasPrefix(o.errOut, "leoflow: ") {
		t.Errorf("want one line on stderr alone:\n%s\nstderr:\n%s", o.out, o.errOut)
	}
	for _, piece := range pieces {
		if !strings.Contains(o.errOut, piece) {
			t.Errorf("the error lacks %q: %s", piece, o.errOut)
		}
	}
}

// pipelineFile writes a pipeline file and returns its path.
func pipelineFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pipeline.yaml")
	writeFile(t, path, text)
	return path
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// holder takes the connection that a task opens and holds while it lives, as bash
// does with: exec 3<>/dev/tcp/$HOLDER
type holder struct {
	t *testing.T
	l net.Listener
}

func newHolder(t *testing.T) *holder {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return &holder{t, l}
}

// path is what bash opens.
func (h *holder) path() string {
	host, port, _ := net.SplitHostPort(h.l.Addr().String())
	return "/dev/tcp/" + host + "/" + port
}

// take waits for the task to connect.
func (h *holder) take() net.Conn {
	h.t.Helper()
	_ = h.l.(*net.TCPListener).SetDeadline(time.Now().Add(deadline))
	conn, err := h.l.Accept()
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(deadline))
	return conn
}

// wantGone waits for every process that holds the connection to die.
func wantGone(t *testing.T, conn net.Conn) {
	t.Helper()
	_, err := conn.Read(make([]byte, 1))
	if timeout, ok := err.(net.Error); err == nil || ok && timeout.Timeout() { //nolint:errorlint // net returns it bare
		t.Errorf("a process of the task lives on: %v", err)
	}
}
