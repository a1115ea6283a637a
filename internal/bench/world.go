package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
)

// worldAttempts are the attempts that calls of a world are made for, in turn.
const worldAttempts = 8

// pageSize is that of the lists that are read: every world has as much for a page.
const pageSize = 10

// World is one tenant's runs, in which the cost of calls is looked at while something grows.
type World struct {
	conns    []*grpc.ClientConn
	operator string
	run      string
	attempts []Attempt // of the first tasks of run, live
	revision int64     // of run
	unused   []task    // not launched yet
	tokens   chan string
}

// task names one.
type task struct{ run, task string }

// MakeWorld makes a world whose runs have so many tasks each, in which so many attempts can
// be launched.
func MakeWorld(ctx context.Context, conns []*grpc.ClientConn, operatorToken string, tasks, launches int) (*World, error) {
	w := &World{conns: conns, operator: operatorToken, tokens: make(chan string, launches)}
	p := Population{
		Conn: conns[0], OperatorToken: operatorToken, Name: "world", Attempts: min(worldAttempts, tasks), Tasks: tasks, Entrypoint: "true", Running: true,
	}
	tokens, err := p.Make(ctx)
	if err != nil {
		return nil, err
	}
	w.run = p.run(0)
	w.attempts = NewAttempts(tokens)
	plane := controlv1.NewControlServiceClient(conns[0])
	got, err := plane.GetRun(asOperator(ctx, operatorToken), &controlv1.GetRunRequest{DagId: dag, RunId: w.run})
	if err != nil {
		return nil, err
	}
	w.revision = got.GetRun().GetRevision()
	return w, w.makeUnused(ctx, p, launches)
}

// makeUnused makes runs whose tasks are there to be launched.
func (w *World) makeUnused(ctx context.Context, p Population, launches int) error {
	plane := controlv1.NewControlServiceClient(w.conns[0])
	for len(w.unused) < launches {
		run := fmt.Sprintf("unused-%d", len(w.unused))
		if _, err := plane.CreateRun(asOperator(ctx, w.operator), p.request(run, p.Tasks)); err != nil {
			return fmt.Errorf("create a run: %w", err)
		}
		for n := range min(p.Tasks, launches-len(w.unused)) {
			w.unused = append(w.unused, task{run, taskName(n)})
		}
	}
	return nil
}

// Crowd makes so many tenants' runs, each with a live attempt: one of each operator's.
func Crowd(ctx context.Context, conn grpc.ClientConnInterface, operatorTokens []string) error {
	work, ctx := errgroup.WithContext(ctx)
	work.SetLimit(runsAtOnce)
	for _, token := range operatorTokens {
		work.Go(func() error {
			_, err := Population{Conn: conn, OperatorToken: token, Name: "crowd", Attempts: 1, Tasks: 10, Entrypoint: "true"}.Make(ctx)
			return err
		})
	}
	return work.Wait()
}

// WorldCall makes the nth call of its kind.
type WorldCall func(ctx context.Context, n int) error

// The calls of a world that are not an [Op], by name.
const (
	Launch       = "launch"
	RunAndEnd    = "run and end"
	WatchRun     = "watch a run"
	GetRun       = "get a run"
	ListRuns     = "list runs"
	ListTasks    = "list tasks"
	ListAttempts = "list attempts"
	OpenLog      = "open a log"
	AppendLog    = "append to a log"
	ReadLog      = "read a log"
)

// linesAppended are those of one call of [AppendLog].
const linesAppended = 1000

// Alone reports whether a call is made by one worker at a time.
func Alone(name string) bool { return name == OpenLog || name == AppendLog }

// Call is a call of a world, by its name or that of an [Op] other than [Report] and [Logs].
func (w *World) Call(name string) WorldCall {
	plane := controlv1.NewControlServiceClient(w.conns[0])
	agents := agentv1.NewAgentServiceClient(w.conns[len(w.conns)-1])
	asked := func(do func(ctx context.Context) error) WorldCall {
		return func(ctx context.Context, _ int) error { return do(asOperator(ctx, w.operator)) }
	}
	switch name {
	case Launch:
		return func(ctx context.Context, n int) error { return w.launch(ctx, plane, n) }
	case RunAndEnd:
		return func(context.Context, int) error { return w.finish(agents) }
	case WatchRun:
		return asked(func(ctx context.Context) error { return w.watch(ctx, plane) })
	case GetRun:
		return asked(func(ctx context.Context) error {
			_, err := plane.GetRun(ctx, &controlv1.GetRunRequest{DagId: dag, RunId: w.run})
			return err
		})
	case ListRuns:
		return asked(func(ctx context.Context) error {
			_, err := plane.ListRuns(ctx, &controlv1.ListRunsRequest{PageSize: pageSize})
			return err
		})
	case ListTasks:
		return asked(func(ctx context.Context) error {
			_, err := plane.ListTasks(ctx, &controlv1.ListTasksRequest{DagId: dag, RunId: w.run, PageSize: pageSize})
			return err
		})
	case ListAttempts:
		return asked(func(ctx context.Context) error {
			_, err := plane.ListAttempts(ctx, &controlv1.ListAttemptsRequest{DagId: dag, RunId: w.run, TaskId: taskName(0), PageSize: pageSize})
			return err
		})
	case OpenLog:
		return func(ctx context.Context, _ int) error { return w.Log(ctx, 1) }
	case AppendLog:
		return func(ctx context.Context, _ int) error { return w.Log(ctx, linesAppended) }
	case ReadLog:
		return asked(func(ctx context.Context) error { return w.readLog(ctx, plane) })
	}
	return func(_ context.Context, n int) error { return Op(name).call(agents, w.attempts[n%len(w.attempts)], n) }
}

// launch launches the nth of the tasks that are there for it.
func (w *World) launch(ctx context.Context, plane controlv1.ControlServiceClient, n int) error {
	if n >= len(w.unused) {
		return ErrUsedUp
	}
	token, err := launch(asOperator(ctx, w.operator), plane, w.unused[n].run, w.unused[n].task)
	if err == nil {
		w.tokens <- token // it has room for all
	}
	return err
}

// finish reports that one of those that were launched runs, and has ended well.
func (w *World) finish(agents agentv1.AgentServiceClient) error {
	select {
	case token := <-w.tokens:
		a := NewAttempt(token)
		return errors.Join(Report.call(agents, a, 0), Report.call(agents, a, 1))
	default:
		return ErrUsedUp
	}
}

// watch watches a run for its last change.
func (w *World) watch(ctx context.Context, plane controlv1.ControlServiceClient) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	changes, err := plane.WatchRun(ctx, &controlv1.WatchRunRequest{DagId: dag, RunId: w.run, AfterRevision: w.revision - 1})
	if err != nil {
		return err
	}
	_, err = changes.Recv()
	return err
}

// readLog reads the beginning of the log of the first attempt.
func (w *World) readLog(ctx context.Context, plane controlv1.ControlServiceClient) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	lines, err := plane.ReadLog(ctx, &controlv1.ReadLogRequest{DagId: dag, RunId: w.run, TaskId: taskName(0), TryNumber: 1})
	if err != nil {
		return err
	}
	_, err = lines.Recv()
	return err
}

// Log adds lines to the log of the first attempt, over a stream of its own, and returns
// once they are acknowledged. One at a time may do so: a newer stream takes over (LOG-13).
func (w *World) Log(ctx context.Context, lines int) error {
	call, err := agentv1.NewAgentServiceClient(w.conns[0]).StreamLogs(w.attempts[0].ctx)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = call.CloseSend() })
	defer stop()
	received := make(chan error, 1)
	go func() { received <- throughLine(call, int64(lines)) }()
	session := rand.Uint64() //nolint:gosec // tells this stream from the last one
	for n := range lines {
		err := call.Send(&agentv1.LogLine{
			Stream: "stdout", LineNumber: int64(n + 1), Message: line, Time: timestamppb.Now(), Session: session,
		})
		if err != nil { // which only Recv tells
			break
		}
	}
	return errors.Join(call.CloseSend(), <-received)
}

// throughLine takes acknowledgements until the stream ends, of which the last must be of
// that line.
func throughLine(call agentv1.AgentService_StreamLogsClient, last int64) error {
	acked := int64(0)
	for {
		ack, err := call.Recv()
		switch {
		case errors.Is(err, io.EOF) && acked == last:
			return nil
		case err != nil:
			return fmt.Errorf("%d lines of %d were acknowledged: %w", acked, last, err)
		}
		acked = max(acked, ack.GetAcknowledgedThroughLine())
	}
}
