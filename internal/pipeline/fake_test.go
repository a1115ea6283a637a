package pipeline

import (
	"context"
	"net"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	policyv1 "github.com/neochaotic/leoflow/gen/leoflow/policy/v1"
)

const (
	none           = policyv1.TaskState_TASK_STATE_NONE
	queued         = policyv1.TaskState_TASK_STATE_QUEUED
	running        = policyv1.TaskState_TASK_STATE_RUNNING
	success        = policyv1.TaskState_TASK_STATE_SUCCESS
	failed         = policyv1.TaskState_TASK_STATE_FAILED
	skipped        = policyv1.TaskState_TASK_STATE_SKIPPED
	upForRetry     = policyv1.TaskState_TASK_STATE_UP_FOR_RETRY
	upstreamFailed = policyv1.TaskState_TASK_STATE_UPSTREAM_FAILED
)

// epoch is when every task of the fake starts to wait.
var epoch = time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)

// fakeTask is a task as the fake keeps it.
type fakeTask struct {
	try    int32
	key    string // of the launch of its try
	state  policyv1.TaskState
	cancel bool               // is pending
	logs   map[int32]*fakeLog // by try
}

// fakePlane is a ControlService that keeps one run in memory. It holds what the
// protos say of states, tries, revisions and positions.
type fakePlane struct {
	controlv1.UnimplementedControlServiceServer
	t *testing.T

	mu      sync.Mutex
	news    chan struct{} // closed at the next change of anything
	created *controlv1.CreateRunRequest
	tasks   map[string]*fakeTask
	changes []*controlv1.TaskChange
	settles []*controlv1.SettleAttemptRequest
	retries []*controlv1.RetryTaskRequest
	cancels []*controlv1.CancelRunRequest
	watches []*controlv1.WatchRunRequest
	reads   []*controlv1.ReadLogRequest

	// refuse is asked first by every call; nil: nothing is refused.
	refuse func(call any) error
	// watchLimit ends each watch with UNAVAILABLE after so many changes; 0: never.
	watchLimit int
	// readLimit ends each read of a log with UNAVAILABLE after so many records.
	readLimit int
	// lose has the first answer to a creation and a launch get lost; nil: none does.
	lose map[string]bool
	// openLogs keeps every log open for ever.
	openLogs bool
}

func newFakePlane(t *testing.T) *fakePlane {
	return &fakePlane{t: t, news: make(chan struct{}), tasks: map[string]*fakeTask{}}
}

// client serves the fake, over a connection in memory, until the test ends.
func (f *fakePlane) client() controlv1.ControlServiceClient {
	f.t.Helper()
	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer()
	controlv1.RegisterControlServiceServer(server, f)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(listener) // until Stop
	}()
	conn, err := grpc.NewClient("passthrough:fake",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() {
		_ = conn.Close()
		server.Stop()
		<-served
	})
	return controlv1.NewControlServiceClient(conn)
}

// changed wakes whoever waits; the lock is held.
func (f *fakePlane) changed() {
	close(f.news)
	f.news = make(chan struct{})
}

func (f *fakePlane) asked(call any) error {
	if f.refuse == nil {
		return nil
	}
	return f.refuse(call)
}

// lost reports whether the answer to a call gets lost; the lock is held.
func (f *fakePlane) lost(call string) bool {
	if f.lose == nil || f.lose[call] {
		return false
	}
	f.lose[call] = true
	return true
}

func (f *fakePlane) CreateRun(_ context.Context, req *controlv1.CreateRunRequest) (*controlv1.CreateRunResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	again := f.created != nil
	if again && !proto.Equal(content(f.created), content(req)) {
		return nil, status.Error(codes.AlreadyExists, "the run has other content")
	}
	if !again {
		f.created = req
		for _, t := range req.GetTasks() {
			f.tasks[t.GetTaskId()] = &fakeTask{state: none, logs: map[int32]*fakeLog{}}
		}
	}
	if err := f.asked(req); err != nil {
		return nil, err
	}
	if f.lost("CreateRun") {
		return nil, status.Error(codes.Unavailable, "the answer is lost")
	}
	created := !again || f.created.GetIdempotencyKey() == req.GetIdempotencyKey() && req.GetIdempotencyKey() != ""
	return &controlv1.CreateRunResponse{Created: created, CreatedAt: timestamppb.New(epoch)}, nil
}

// content is what a run is made of, without the caller's word for its creation.
func content(req *controlv1.CreateRunRequest) *controlv1.CreateRunRequest {
	out := proto.CloneOf(req)
	out.IdempotencyKey = ""
	return out
}

func (f *fakePlane) GetRun(_ context.Context, req *controlv1.GetRunRequest) (*controlv1.GetRunResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.asked(req); err != nil {
		return nil, err
	}
	if f.created == nil || f.created.GetRunId() != req.GetRunId() {
		return nil, status.Error(codes.NotFound, "not found")
	}
	return &controlv1.GetRunResponse{Run: &controlv1.Run{Revision: int64(len(f.changes))}}, nil
}

func (f *fakePlane) RetryTask(_ context.Context, req *controlv1.RetryTaskRequest) (*controlv1.RetryTaskResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.asked(req); err != nil {
		return nil, err
	}
	f.retries = append(f.retries, req)
	return f.retry(req.GetTaskId(), req.GetTryNumber())
}

// retry is RetryTask; the lock is held.
func (f *fakePlane) retry(task string, try int32) (*controlv1.RetryTaskResponse, error) {
	t := f.tasks[task]
	switch {
	case t.try != try:
		return nil, status.Error(codes.FailedPrecondition, "the task has moved on")
	case t.state == upForRetry:
		return &controlv1.RetryTaskResponse{NextTryNumber: try + 1}, nil
	case t.state == queued, t.state == running:
		f.move(task, &controlv1.TaskChange{State: failed, Cause: controlv1.Cause_CAUSE_SUPERSEDED})
	}
	f.move(task, &controlv1.TaskChange{State: upForRetry})
	return &controlv1.RetryTaskResponse{Changed: true, NextTryNumber: try + 1}, nil
}

// reopen is a person's RetryTask.
func (f *fakePlane) reopen(task string, try int32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.retry(task, try); err != nil {
		f.t.Errorf("retry of %s: %v", task, err)
	}
}

// settleAll settles tasks without an attempt.
func (f *fakePlane) settleAll(state policyv1.TaskState, tasks ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range tasks {
		f.move(id, &controlv1.TaskChange{State: state})
	}
}

// CancelRun makes cancels pending, which no agent of these tests learns by a beat.
func (f *fakePlane) CancelRun(_ context.Context, req *controlv1.CancelRunRequest) (*controlv1.CancelRunResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.asked(req); err != nil {
		return nil, err
	}
	f.cancels = append(f.cancels, req)
	resp := &controlv1.CancelRunResponse{}
	for id, t := range f.tasks {
		switch t.state {
		case queued, running:
			t.cancel = true
			resp.Pending++
		case none, upForRetry:
			f.move(id, &controlv1.TaskChange{State: skipped})
			resp.Skipped++
		}
	}
	return resp, nil
}

func (f *fakePlane) LaunchAttempt(_ context.Context, req *controlv1.LaunchAttemptRequest) (*controlv1.LaunchAttemptResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.asked(req); err != nil {
		return nil, err
	}
	t := f.tasks[req.GetTaskId()]
	switch {
	case t.state == queued && t.try == req.GetTryNumber() && t.key == req.GetIdempotencyKey():
	case (t.state == none || t.state == upForRetry) && req.GetTryNumber() == t.try+1:
		t.try, t.key, t.cancel = t.try+1, req.GetIdempotencyKey(), false
		t.logs[t.try] = &fakeLog{}
		f.move(req.GetTaskId(), &controlv1.TaskChange{State: queued})
	default:
		return nil, status.Error(codes.FailedPrecondition, "not possible in the present state")
	}
	if f.lost("LaunchAttempt") {
		return nil, status.Error(codes.Unavailable, "the answer is lost")
	}
	return &controlv1.LaunchAttemptResponse{TryNumber: t.try, AgentToken: "token of " + req.GetTaskId()}, nil
}

func (f *fakePlane) SettleAttempt(_ context.Context, req *controlv1.SettleAttemptRequest) (*controlv1.SettleAttemptResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.asked(req); err != nil {
		return nil, err
	}
	t := f.tasks[req.GetTaskId()]
	if t.try != req.GetTryNumber() || t.state != queued && t.state != running {
		return &controlv1.SettleAttemptResponse{State: t.state}, nil
	}
	f.settles = append(f.settles, req)
	f.move(req.GetTaskId(), &controlv1.TaskChange{
		State: failed, Cause: req.GetCause(), ExitCode: req.GetExitCode(), Message: req.GetMessage(),
	})
	return &controlv1.SettleAttemptResponse{Settled: true, State: failed, Cause: req.GetCause()}, nil
}

func (f *fakePlane) SettleTask(_ context.Context, req *controlv1.SettleTaskRequest) (*controlv1.SettleTaskResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.asked(req); err != nil {
		return nil, err
	}
	if state := f.tasks[req.GetTaskId()].state; state != none && state != upForRetry {
		return nil, status.Error(codes.FailedPrecondition, "not possible in the present state")
	}
	f.move(req.GetTaskId(), &controlv1.TaskChange{State: req.GetState()})
	return &controlv1.SettleTaskResponse{Settled: true}, nil
}

// move adds a change of a task. Every attempt takes a second and a half, by the
// fake's clock. The lock is held.
func (f *fakePlane) move(task string, c *controlv1.TaskChange) {
	t := f.tasks[task]
	if t.state = c.GetState(); t.state == failed && t.cancel {
		c.Cause = controlv1.Cause_CAUSE_CANCELLED
	}
	c.TaskId, c.TryNumber, c.Revision = task, t.try, int64(len(f.changes)+1)
	at := epoch
	if t.try > 0 && c.GetState() != queued && c.GetState() != running && c.GetState() != upForRetry {
		at = at.Add(1500 * time.Millisecond)
		if log := t.logs[t.try]; log != nil {
			log.ended = !f.openLogs
		}
	}
	c.At = timestamppb.New(at)
	f.changes = append(f.changes, c)
	f.changed()
}

// report is an agent's report; it is dropped where the attempt has an outcome.
func (f *fakePlane) report(task string, try int32, c *controlv1.TaskChange) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if t := f.tasks[task]; t.try == try && (t.state == queued || t.state == running) {
		f.move(task, c)
	}
}

// await waits for a task to be in a state.
func (f *fakePlane) await(task string, state policyv1.TaskState) {
	for {
		f.mu.Lock()
		is, news := f.tasks[task].state, f.news
		f.mu.Unlock()
		if is == state {
			return
		}
		<-news
	}
}

func (f *fakePlane) WatchRun(req *controlv1.WatchRunRequest, stream grpc.ServerStreamingServer[controlv1.WatchRunResponse]) error {
	f.mu.Lock()
	f.watches = append(f.watches, req)
	err, limit := f.asked(req), f.watchLimit
	f.mu.Unlock()
	if err != nil {
		return err
	}
	next := req.GetAfterRevision()
	for sent := 0; ; {
		f.mu.Lock()
		news, fresh := f.news, slices.Clone(f.changes[next:])
		f.mu.Unlock()
		for _, c := range fresh {
			if limit > 0 && sent == limit {
				return status.Error(codes.Unavailable, "shutting down")
			}
			if err := stream.Send(&controlv1.WatchRunResponse{Changes: []*controlv1.TaskChange{c}}); err != nil {
				return err
			}
			next, sent = c.GetRevision(), sent+1
		}
		if err := f.wait(stream.Context(), news); err != nil {
			return err
		}
	}
}

func (f *fakePlane) wait(ctx context.Context, news <-chan struct{}) error {
	select {
	case <-news:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// settledAs lists what was settled by the driver, as "task cause code".
func (f *fakePlane) settledAs() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []string
	for _, s := range f.settles {
		out = append(out, s.GetTaskId()+" "+string(causeOf(s.GetCause()))+" "+strconv.Itoa(int(s.GetExitCode())))
	}
	return out
}
