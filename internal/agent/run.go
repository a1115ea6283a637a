package agent

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	"github.com/neochaotic/leoflow/internal/domain"
)

// attempt is the one that this agent runs.
type attempt struct {
	cfg    Config
	pace   *pace
	log    *slog.Logger
	token  *bearer
	client agentv1.AgentServiceClient
	calls  caller
	ship   *shipper
	beats  *beats
	task   atomic.Pointer[process] // nil: none was started
	dir    string                  // private to the attempt, removed at the end; empty: not made yet
}

// Run runs the attempt that the configuration's token names, and returns one of the
// exit codes of this package. When ctx is done, it stops the task politely, reports
// how that ended, and returns within the grace and some 25 s more.
//
// A task that ends with code 0 is a SUCCESS, also after it was asked to stop;
// anything else, a signal, or a time-out is FAILED (A-RUN-2). The exit code reported
// for a process killed by a signal is the signal's number, negative; for a task that
// never ran it is 0.
func Run(ctx context.Context, cfg Config) int {
	cfg = cfg.completed()
	if err := cfg.check(); err != nil {
		cfg.Logger.Error("the agent cannot start", "error", err)
		return ExitBadConfig
	}
	token := newBearer(cfg.Token, cfg.Plaintext)
	conn, err := dial(cfg, token)
	if err != nil {
		cfg.Logger.Error("the agent cannot start", "error", err)
		return ExitBadConfig
	}
	defer func() { _ = conn.Close() }()
	a := &attempt{
		cfg: cfg, pace: cfg.pace, log: cfg.Logger, token: token,
		client: agentv1.NewAgentServiceClient(conn), calls: caller{conn: conn, pace: cfg.pace, token: token},
	}
	a.beats = &beats{attempt: a}
	a.ship = a.newShipper(newSession())
	defer func() {
		if a.dir != "" {
			_ = os.RemoveAll(a.dir)
		}
	}()
	return a.run(ctx)
}

// newSession returns the number that tells this process's log lines from those of
// another of the same attempt (LOG-3); never 0, which would be absent.
func newSession() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.LittleEndian.Uint64(b[:]) | 1
}

func (a *attempt) returnPath() string { return filepath.Join(a.dir, "return_value") }

// run goes through the steps of an attempt, in the order of the protocol.
func (a *attempt) run(ctx context.Context) int {
	defer a.relay()()
	a.ship.start(ctx)
	defer a.beats.stop() // they go on until the outcome is acknowledged
	out, ok := a.begin(ctx)
	if ok {
		a.beats.start(ctx)
		out = a.work(ctx)
	}
	if out.message != "" {
		a.say(slog.LevelError, "the task failed: %s", out.message)
	}
	a.endLog(ctx, out)
	if out.state == agentv1.TaskState_TASK_STATE_SUCCESS && !a.beats.pointless() {
		ended := out.at // also where the value was not taken: that is not when the task ended
		out = a.deliver(ctx, out)
		out.at = ended
	}
	if a.beats.pointless() {
		out = outcome{ending: endKnown}
	}
	return a.conclude(ctx, out)
}

// relay passes signals on to the task's process group until the returned function is
// called. Before the task has begun there is nobody to have them: it would die of one
// that it has not come to handle yet.
func (a *attempt) relay() (stop func()) {
	if a.cfg.Pass == nil {
		return func() {}
	}
	over, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-over:
				return
			case sig := <-a.cfg.Pass:
				number, ok := sig.(syscall.Signal)
				if task := a.task.Load(); ok && task != nil {
					task.signal(number)
				} else {
					a.log.Info("a signal is dropped, as no task runs", "signal", fmt.Sprint(sig))
				}
			}
		}
	}()
	return func() { close(over); <-done }
}

// begin registers (A-START-2); false: the outcome is there.
func (a *attempt) begin(ctx context.Context) (outcome, bool) {
	host, _ := os.Hostname() // may be empty
	_, err := call(ctx, a.calls, patience{budget: a.pace.start, answered: -1}, a.client.Register, &agentv1.RegisterRequest{
		AgentVersion: a.cfg.Version, Hostname: strings.ToValidUTF8(host, "_"),
		Environment: map[string]string{"os": runtime.GOOS, "arch": runtime.GOARCH},
	})
	switch {
	case err == nil:
		return outcome{}, true
	case status.Code(err) == codes.Unavailable || ctx.Err() != nil:
		// Nobody to tell, or nothing begun: who launched it settles it (STATE-11).
		a.log.Error("the control plane could not be reached", "addr", a.cfg.Addr, "error", told(err))
		return outcome{ending: endGivenUp}, false
	default:
		return a.notStarted(ctx, "the agent could not register", err), false
	}
}

// work does all that comes between the registration and the end of the log. Whatever
// else kept the task from starting, it counts first that it was not to start.
func (a *attempt) work(ctx context.Context) outcome {
	cmd, limit, out, ok := a.ready(a.beats.live)
	switch {
	case a.beats.over():
		return a.forbidden(a.beats.why)
	case !ok:
		return out
	case ctx.Err() != nil:
		return failed(0, "%s", askedToStop(ctx))
	}
	return a.execute(ctx, cmd, limit)
}

// ready does all that comes before the task's process; false: the outcome is there.
func (a *attempt) ready(ctx context.Context) (cmd command, limit time.Duration, out outcome, ok bool) {
	spec, err := call(ctx, a.calls, patience{budget: a.pace.start, answered: -1}, a.client.GetTaskSpec, &agentv1.GetTaskSpecRequest{})
	if err != nil {
		return cmd, 0, a.notStarted(ctx, "the specification could not be read", err), false
	}
	cmd, err = a.prepare(ctx, spec)
	switch {
	case ctx.Err() != nil:
		return cmd, 0, failed(0, "%s", askedToStop(ctx)), false
	case err != nil:
		return cmd, 0, failed(0, "%v", err), false
	}
	out, ok = a.announce(ctx)
	return cmd, time.Duration(spec.GetExecutionTimeoutSeconds()) * time.Second, out, ok
}

// forbidden is the outcome of a task that the control plane lets not start.
func (a *attempt) forbidden(t termination) outcome {
	a.say(slog.LevelWarn, "the task is not started: %s", t)
	if !t.reported() {
		return outcome{ending: endKnown}
	}
	return failed(0, "not started: %s", t)
}

// execute runs the task until it ended, or is stopped. No limit is 0.
func (a *attempt) execute(ctx context.Context, cmd command, limit time.Duration) outcome {
	if err := adoptOrphans(); err != nil {
		a.log.Warn("what the task leaves behind cannot be reaped", "error", err)
	}
	p, err := a.launch(cmd)
	if err != nil {
		return failed(0, "the task could not be started: %v", err)
	}
	a.task.Store(p) // before anybody sees a line of it, and has a signal sent for that
	go p.read(a.ship.backlog)
	var timeout <-chan time.Time
	if limit > 0 {
		timeout = a.pace.after(limit)
	}
	judge := unlessWell
	select {
	case <-p.exited:
	case <-timeout:
		if p.over() { // by itself, in the same moment
			break
		}
		judge = func(code int32, message string) outcome {
			return failed(code, "timed out after %v%s", limit, aside(message))
		}
		a.say(slog.LevelWarn, "the task is stopped: it ran for %v", limit)
		p.stop(a.cfg.Grace, a.cfg.Kill)
	case <-a.beats.told:
		t := a.beats.why
		judge = func(code int32, message string) outcome { return stopped(t, code, message) }
		a.say(slog.LevelWarn, "the task is stopped: %s", t)
		p.stop(a.grace(t), a.cfg.Kill)
	case <-ctx.Done():
		why := askedToStop(ctx)
		judge = func(code int32, message string) outcome {
			return unlessWell(code, why+aside(message))
		}
		a.say(slog.LevelWarn, "the task is stopped: %s", why)
		p.stop(a.cfg.Grace, a.cfg.Kill)
	}
	ended := time.Now()
	a.ship.taskOver()
	ctx, cancel := hasty(ctx, a.pace.flush+a.pace.linger, a.pace.linger)
	defer cancel()
	if p.drain(ctx, a.ship.backlog, a.pace.linger) {
		a.say(slog.LevelWarn, "something that the task left behind held its output open, and was cut off")
	}
	out := judge(p.result())
	out.at = ended
	return out
}

// launch starts the task. Where the system passes so much in one value but not in all,
// the longest inputs are given by their files alone (A-ENV-4).
func (a *attempt) launch(cmd command) (*process, error) {
	p, err := launch(cmd, a.cfg.kin)
	left := 0
	for ; errors.Is(err, syscall.E2BIG) && cmd.lighten(); left++ {
		p, err = launch(cmd, a.cfg.kin)
	}
	if left > 0 {
		a.say(slog.LevelWarn, "%d inputs are given as files alone: the system does not pass so much in the environment", left)
	}
	return p, err
}

// stopped is the outcome of a task that the control plane had stopped (A-BEAT-2).
func stopped(t termination, code int32, message string) outcome {
	if !t.reported() {
		return outcome{ending: endKnown}
	}
	return unlessWell(code, "stopped: "+t.String()+aside(message))
}

// unlessWell is a success for a process that ended with code 0, else a failure.
func unlessWell(code int32, failure string) outcome {
	if code == 0 {
		return outcome{state: agentv1.TaskState_TASK_STATE_SUCCESS}
	}
	return failed(code, "%s", failure)
}

func aside(message string) string {
	if message == "" {
		return ""
	}
	return " (" + message + ")"
}

// grace returns how long the task has to stop: no longer than the control plane says.
func (a *attempt) grace(t termination) time.Duration {
	if t.stopBy.IsZero() {
		return a.cfg.Grace
	}
	return max(0, min(a.cfg.Grace, time.Until(t.stopBy)))
}

// endLog half-closes the log and waits, within bounds, for it to be taken. Failing
// changes nothing of the outcome (A-LOG-3).
func (a *attempt) endLog(ctx context.Context, out outcome) {
	if a.beats.wanted != nil {
		ctx = a.beats.wanted
	}
	budget := a.pace.flush
	if out.ending != endReported {
		budget = a.pace.hurry / 2
	}
	ctx, cancel := hasty(ctx, budget, a.pace.hurry/2)
	defer cancel()
	if lost, err := a.ship.finish(ctx); err != nil || lost > 0 {
		a.log.Warn("the log is incomplete", "lines_not_sent", lost, "error", err)
	}
}

// say tells something in the agent's own log, and in the attempt's as stream "agent".
func (a *attempt) say(level slog.Level, format string, args ...any) {
	// A log line's length at most, as a specification may put any length into it.
	text := domain.CutString(strings.ToValidUTF8(fmt.Sprintf(format, args...), "\uFFFD"), domain.MaxLogLineBytes)
	a.log.Log(context.Background(), level, text)
	wire := agentv1.LogLevel_LOG_LEVEL_WARN
	if level >= slog.LevelError {
		wire = agentv1.LogLevel_LOG_LEVEL_ERROR
	}
	a.ship.note(wire, text)
}
