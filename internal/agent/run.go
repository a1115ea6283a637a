package agent

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
)

// askedToStop is the message of an attempt whose agent was stopped from outside.
const askedToStop = "agent was asked to stop"

// attempt is the one that this agent runs.
type attempt struct {
	cfg    Config
	pace   *pace
	log    *slog.Logger
	token  *bearer
	client agentv1.AgentServiceClient
	calls  caller
	ship   *shipper
	dir    string // private to the attempt, removed at the end
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
	dir, err := os.MkdirTemp(cfg.TempDir, "leoflow-agent-")
	if err != nil {
		cfg.Logger.Error("the agent cannot start without a directory of its own", "error", err)
		return ExitBadConfig
	}
	defer func() { _ = os.RemoveAll(dir) }()
	a := &attempt{
		cfg: cfg, pace: cfg.pace, log: cfg.Logger, token: token, dir: dir,
		client: agentv1.NewAgentServiceClient(conn), calls: caller{conn: conn, pace: cfg.pace},
	}
	a.ship = a.newShipper(newSession())
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
	a.ship.start(ctx)
	hb := &beats{attempt: a}
	defer hb.stop() // they go on until the outcome is reported
	out := a.work(ctx, hb)
	if out.message != "" {
		a.say(slog.LevelError, "the task failed: %s", out.message)
	}
	a.endLog(ctx, out)
	if out.state == agentv1.TaskState_TASK_STATE_SUCCESS {
		ended := out.at // also where the value was not taken: that is not when the task ended
		out = a.deliver(ctx, out)
		out.at = ended
	}
	return a.conclude(ctx, out)
}

// work does all that comes before the end of the log.
func (a *attempt) work(ctx context.Context, hb *beats) outcome {
	spec, out, ok := a.begin(ctx)
	if !ok {
		return out
	}
	cmd, err := a.prepare(ctx, spec)
	switch {
	case ctx.Err() != nil:
		return failed(0, askedToStop)
	case err != nil:
		return failed(0, "%v", err)
	}
	if out, ok := a.announce(ctx); !ok {
		return out
	}
	return a.execute(ctx, spec, cmd, hb.start(ctx))
}

// begin registers and reads the specification (A-START-2).
func (a *attempt) begin(ctx context.Context) (*agentv1.TaskSpec, outcome, bool) {
	p := patience{budget: a.pace.start, answered: -1}
	host, _ := os.Hostname() // may be empty
	_, err := call(ctx, a.calls, p, a.client.Register, &agentv1.RegisterRequest{
		AgentVersion: a.cfg.Version, Hostname: strings.ToValidUTF8(host, "_"),
		Environment: map[string]string{"os": runtime.GOOS, "arch": runtime.GOARCH},
	})
	if status.Code(err) == codes.Unavailable || err != nil && ctx.Err() != nil {
		// Nobody to tell, or nothing begun: who launched it settles it (STATE-11).
		a.log.Error("the control plane could not be reached", "addr", a.cfg.Addr, "error", told(err))
		return nil, outcome{ending: endGivenUp}, false
	}
	if err != nil {
		return nil, a.notStarted(ctx, "the agent could not register", err), false
	}
	spec, err := call(ctx, a.calls, p, a.client.GetTaskSpec, &agentv1.GetTaskSpecRequest{})
	if err != nil {
		return nil, a.notStarted(ctx, "the specification could not be read", err), false
	}
	return spec, outcome{}, true
}

// execute runs the task until it ended, or is stopped.
func (a *attempt) execute(ctx context.Context, spec *agentv1.TaskSpec, cmd command, stop <-chan termination) outcome {
	if err := adoptOrphans(); err != nil {
		a.log.Warn("what the task leaves behind cannot be reaped", "error", err)
	}
	p, err := launch(cmd, a.ship.backlog)
	if err != nil {
		return failed(0, "the task could not be started: %v", err)
	}
	limit := time.Duration(spec.GetExecutionTimeoutSeconds()) * time.Second
	var timeout <-chan time.Time
	if limit > 0 {
		timeout = a.pace.after(limit)
	}
	judge := func(code int32, message string) outcome { return unlessWell(code, message) }
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
		p.stop(a.cfg.Grace)
	case t := <-stop:
		judge = func(code int32, message string) outcome { return stopped(t, code, message) }
		a.say(slog.LevelWarn, "the task is stopped: %s", t)
		p.stop(a.grace(t))
	case <-ctx.Done():
		judge = func(code int32, message string) outcome {
			return unlessWell(code, askedToStop+aside(message))
		}
		a.say(slog.LevelWarn, "the task is stopped: %s", askedToStop)
		p.stop(a.cfg.Grace)
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
	text := fmt.Sprintf(format, args...)
	a.log.Log(context.Background(), level, text)
	wire := agentv1.LogLevel_LOG_LEVEL_WARN
	if level >= slog.LevelError {
		wire = agentv1.LogLevel_LOG_LEVEL_ERROR
	}
	a.ship.note(wire, strings.ToValidUTF8(text, "\uFFFD"))
}
