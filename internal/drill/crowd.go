package drill

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
)

const (
	crowdDag = "crowd"
	// crowdTasks is how many tasks there are for a crowd: more than it gets to.
	crowdTasks = 900
	// crowdSize is how many of its tasks are under way at once. Most of their agents beat
	// at any time, or the reapers would take it for an outage.
	crowdSize = 14
	// silence is how long an agent may be silent before its attempt is lost.
	silence = 15 * time.Second
	// beatEvery is how often those beat which are not to fall silent.
	beatEvery = 250 * time.Millisecond
	// again is how long who got no answer waits before asking again.
	again = 30 * time.Millisecond
	// reached bounds the wait for what is on its way to the watcher.
	reached = time.Minute
)

// crowd is a load of agents without processes: it does what agents and operators do to
// attempts all the time, and some of what they must not, through the proxy.
type crowd struct {
	conn    *grpc.ClientConn
	agents  agentv1.AgentServiceClient
	control controlv1.ControlServiceClient
	ctx     context.Context //nolint:containedctx // the operator's, with the token; ends with the drill
	cancel  context.CancelFunc
	closing chan struct{} // closed when no more tasks are to begin
	next    atomic.Int64  // the task to begin
	workers sync.WaitGroup
	watcher sync.WaitGroup

	mu    sync.Mutex
	acts  Acts
	heard []*controlv1.TaskChange // by the watcher, in the order in which they came
}

// Acts is what a crowd did, beside what a recorder sees.
type Acts struct {
	Silent    map[Attempt]bool // fell silent for good
	Cancelled map[Attempt]bool // a cancel was acknowledged
	Faults    []string         // answers that no server may give
}

// gather begins a crowd at the server at addr.
func gather(ctx context.Context, addr, token string) (*crowd, error) {
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	c := &crowd{
		conn: conn, agents: agentv1.NewAgentServiceClient(conn), control: controlv1.NewControlServiceClient(conn),
		closing: make(chan struct{}), acts: Acts{Silent: map[Attempt]bool{}, Cancelled: map[Attempt]bool{}},
	}
	ctx, c.cancel = context.WithCancel(ctx)
	c.ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
	req := &controlv1.CreateRunRequest{DagId: crowdDag, RunId: runID, DagVersion: "1"}
	for n := range crowdTasks {
		req.Tasks = append(req.Tasks, &controlv1.TaskDefinition{TaskId: taskOf(n), Operator: "bash", Entrypoint: "true"})
	}
	if _, err := answered(c.ctx, func(ctx context.Context) (*controlv1.CreateRunResponse, error) { return c.control.CreateRun(ctx, req) }); err != nil {
		c.cancel()
		return nil, errors.Join(fmt.Errorf("the crowd's run: %w", err), conn.Close())
	}
	c.watcher.Go(c.watch)
	for range crowdSize {
		c.workers.Go(c.work)
	}
	return c, nil
}

// end waits until what is under way has ended, and the watcher was told.
func (c *crowd) end() error {
	close(c.closing)
	c.workers.Wait()
	resp, err := answered(c.ctx, func(ctx context.Context) (*controlv1.GetRunResponse, error) {
		return c.control.GetRun(ctx, &controlv1.GetRunRequest{DagId: crowdDag, RunId: runID})
	})
	for ctx, cancel := context.WithTimeout(c.ctx, reached); ; {
		c.mu.Lock()
		heard := len(c.heard)
		c.mu.Unlock()
		if err != nil || int64(heard) >= resp.GetRun().GetRevision() || pause(ctx, again) != nil {
			cancel()
			break // what is missing is found by who compares
		}
	}
	c.cancel()
	c.watcher.Wait()
	return errors.Join(err, c.conn.Close())
}

func (c *crowd) fault(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.acts.Faults = append(c.acts.Faults, fmt.Sprintf(format, args...))
}

func (c *crowd) note(of map[Attempt]bool, a Attempt) {
	c.mu.Lock()
	defer c.mu.Unlock()
	of[a] = true
}

// kinds are what becomes of tasks, and taskOf names a task by its kind.
var kinds = []struct {
	name string
	do   func(*crowd, string) error
}{
	{"plain", (*crowd).plain},
	{"retry", (*crowd).retry},
	{"cancel", (*crowd).cancelled},
	{"plain", (*crowd).plain},
	{"late", (*crowd).late},
	{"silent", (*crowd).silent},
	{"finish", (*crowd).finish},
	{"plain", (*crowd).plain},
}

func taskOf(n int) string { return fmt.Sprintf("%s_%d", kinds[n%len(kinds)].name, n) }

// work does one task after the other until the crowd ends.
func (c *crowd) work() {
	for {
		select {
		case <-c.closing:
			return
		default:
		}
		n := int(c.next.Add(1)) - 1
		if n >= crowdTasks {
			return
		}
		task := taskOf(n)
		if err := kinds[n%len(kinds)].do(c, task); err != nil {
			c.fault("%s: %v", task, err)
			return
		}
	}
}

// watch hears of every change, over as many calls as it takes.
func (c *crowd) watch() {
	for c.ctx.Err() == nil {
		c.mu.Lock()
		var after int64
		if n := len(c.heard); n > 0 {
			after = c.heard[n-1].GetRevision()
		}
		c.mu.Unlock()
		stream, err := c.control.WatchRun(c.ctx, &controlv1.WatchRunRequest{DagId: crowdDag, RunId: runID, AfterRevision: after})
		for err == nil {
			var resp *controlv1.WatchRunResponse
			if resp, err = stream.Recv(); err == nil {
				c.mu.Lock()
				c.heard = append(c.heard, resp.GetChanges()...)
				c.mu.Unlock()
			}
		}
		_ = pause(c.ctx, again)
	}
}

// answered calls until there is an answer: a server may die at any time.
func answered[R any](ctx context.Context, call func(context.Context) (R, error)) (R, error) {
	for {
		one, cancel := context.WithTimeout(ctx, 20*time.Second)
		resp, err := call(one)
		cancel()
		if err == nil || ctx.Err() != nil {
			return resp, err
		}
		switch status.Code(err) { //nolint:exhaustive // all others are answers
		case codes.Unavailable, codes.DeadlineExceeded, codes.ResourceExhausted:
		default:
			return resp, err
		}
		if err := pause(ctx, again); err != nil {
			return resp, err
		}
	}
}
