package drill

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Build builds the leoflow command into a directory, and returns the program.
func Build(ctx context.Context, dir string) (string, error) {
	program := filepath.Join(dir, "leoflow")
	build := exec.CommandContext(ctx, "go", "build", "-race=false", "-o", program, "github.com/neochaotic/leoflow/cmd/leoflow") //nolint:gosec // the place is the caller's own
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("leoflow cannot be built: %w\n%s", err, out)
	}
	return program, nil
}

// plane is the control plane under drill: one process after the other, on one address
// and one directory. The present one lives until it is killed, whatever the context.
type plane struct {
	program, data string
	args          []string  // of serve, beside those
	addr          string    // port 0 until the first one listens
	said          io.Writer // what they write of themselves
	process       *exec.Cmd // the present one
	listening     <-chan started
}

// started is the address that a process listens on, or why there is none.
type started struct {
	addr string
	err  error
}

// hurryAfter is how long a run that is given up may take to end its agents.
const hurryAfter = 10 * time.Second

// launch starts a process, and does not wait for it to listen.
func (p *plane) launch(ctx context.Context) error {
	cmd := command(context.WithoutCancel(ctx), p.program, append([]string{"serve", "--addr", p.addr, "--data-dir", p.data, "--log-format", "json"}, p.args...)...)
	cmd.Stderr = p.said
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	listening := make(chan started, 1)
	go func() {
		var addr string
		line, err := bufio.NewReader(stdout).ReadString('\n')
		if err == nil {
			_, err = fmt.Sscanf(line, "leoflow serves on %s", &addr)
		}
		listening <- started{strings.TrimSuffix(addr, ","), err}
	}()
	p.process, p.listening = cmd, listening
	return nil
}

// start starts a process, and waits until it listens. The port may be taken for a
// moment by whoever connects to elsewhere from it.
func (p *plane) start(ctx context.Context) error {
	for tries := 1; ; tries++ {
		if err := p.launch(ctx); err != nil {
			return fmt.Errorf("leoflow serve cannot be started: %w", err)
		}
		var listens started
		select {
		case listens = <-p.listening:
		case <-ctx.Done():
			return ctx.Err()
		}
		if listens.err == nil {
			p.addr = listens.addr
			return nil
		}
		p.kill()
		if tries == 5 {
			return fmt.Errorf("leoflow serve ended before it listened on %s: %w", p.addr, listens.err)
		}
		if err := pause(ctx, time.Second); err != nil {
			return err
		}
	}
}

// kill ends the process, if there is one, by SIGKILL, and waits until it is gone.
func (p *plane) kill() {
	if p.process == nil {
		return
	}
	_ = p.process.Process.Kill()
	_ = p.process.Wait() // it was killed
}

// stop ends the process in order.
func (p *plane) stop() error {
	if err := p.process.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	if err := p.process.Wait(); err != nil {
		return fmt.Errorf("leoflow serve, asked to end: %w", err)
	}
	return nil
}

// token mints an operator's token for the plane.
func (p *plane) token(ctx context.Context) (string, error) {
	out, err := command(ctx, p.program, "token", "--data-dir", p.data).Output()
	if err != nil {
		return "", fmt.Errorf("leoflow token: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// runPipeline runs the pipeline file on the control plane at addr to its end.
func runPipeline(ctx context.Context, program, addr, token, file string, parallel int, out, errOut io.Writer) (code int, err error) {
	cmd := command(ctx, program, "run", "--server", addr, "--run-id", runID, "--parallel", fmt.Sprint(parallel), file)
	cmd.Env = append(cmd.Env, "LEOFLOW_TOKEN="+token)
	cmd.Stdout, cmd.Stderr = out, errOut
	// It ends its agents when it is asked to end, and kills them when asked twice.
	cmd.Cancel = func() error {
		time.AfterFunc(hurryAfter, func() { _ = cmd.Process.Signal(syscall.SIGTERM) })
		return cmd.Process.Signal(syscall.SIGTERM)
	}
	cmd.WaitDelay = time.Minute
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		return exit.ExitCode(), nil
	}
	return 0, err
}

// command is leoflow in this process's environment, without what configures leoflow.
func command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...) //nolint:gosec // the program under drill
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "LEOFLOW_") {
			cmd.Env = append(cmd.Env, entry)
		}
	}
	return cmd
}

// pause waits, or returns the error of ctx.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
