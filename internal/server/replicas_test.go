package server_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	policyv1 "github.com/neochaotic/leoflow/gen/leoflow/policy/v1"
	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/pgtest"
	"github.com/neochaotic/leoflow/internal/server"
)

// replicas are servers of one database and one directory that begin at once.
func replicas(t *testing.T, n int) []*plane {
	t.Helper()
	cfg := server.Config{Database: pgtest.Database(t), DataDir: t.TempDir(), Shared: true, AllowPlaintextSecrets: true}
	planes := make([]*plane, n)
	var all sync.WaitGroup
	for i := range planes {
		all.Go(func() { planes[i] = start(t, cfg, true) })
	}
	all.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return planes
}

// at is the same caller at another server.
func (o *operator) at(p *plane) *operator {
	return &operator{controlv1.NewControlServiceClient(p.conn), o.ctx, o.t}
}

func (a *agent) at(p *plane) *agent {
	moved := *a
	moved.AgentServiceClient, moved.late = agentv1.NewAgentServiceClient(p.conn), p.late
	return &moved
}

// TestReplicasHaveOneSetOfKeys has servers begin at once on an empty directory: what one
// signs the other takes, and what one seals the other opens.
func TestReplicasHaveOneSetOfKeys(t *testing.T) {
	planes := replicas(t, 3)
	for i, p := range planes {
		o := p.operator("acme", auth.RoleAdmin)
		name := fmt.Sprint("V", i)
		must[*controlv1.PutVariableResponse](t)(o.PutVariable(o.ctx, &controlv1.PutVariableRequest{Key: name, Value: name}))
		for _, other := range planes {
			o := o.at(other)
			must[*controlv1.ListVariablesResponse](t)(o.ListVariables(o.ctx, &controlv1.ListVariablesRequest{}))
		}
	}
	o := planes[0].operator("acme", auth.RoleOperator)
	o.createRun(bash("t", "true"))
	a := planes[0].launch(o, "t", 1, false)
	for _, p := range planes {
		got := must[*agentv1.GetVariablesResponse](t)(a.at(p).GetVariables(a.ctx, &agentv1.GetVariablesRequest{}))
		for i := range planes {
			if name := fmt.Sprint("V", i); got.GetVariables()[name] != name {
				t.Errorf("%s is %q", name, got.GetVariables()[name])
			}
		}
	}
}

// TestBeat6CancelReachesAnAgentThatBeatsElsewhere cancels at one server a task whose agent
// speaks to others.
func TestBeat6CancelReachesAnAgentThatBeatsElsewhere(t *testing.T) {
	planes := replicas(t, 3)
	o := planes[0].operator("acme", auth.RoleOperator)
	o.createRun(bash("t", "sleep 1000"))
	a := planes[1].launch(o, "t", 1, false)
	a.report(t, running, 0)
	for _, p := range planes {
		if beat := a.at(p).beat(t); beat.GetShouldTerminate() {
			t.Fatalf("before the cancel: %v", beat)
		}
	}
	stop := o.cancel("t", 0).GetStopBy().AsTime()
	for _, p := range planes {
		beat := a.at(p).beat(t)
		if !beat.GetShouldTerminate() || beat.GetReason() != agentv1.TerminationReason_TERMINATION_REASON_CANCELLED || !beat.GetStopBy().AsTime().Equal(stop) {
			t.Errorf("after the cancel: %v", beat)
		}
	}
}

// TestWatchRunSeesOtherServers watches a run on one server and changes it on others,
// within less than a watcher takes to look by itself.
func TestWatchRunSeesOtherServers(t *testing.T) {
	planes := replicas(t, 2)
	o := planes[0].operator("acme", auth.RoleOperator)
	o.createRun(bash("t", "true"))
	watch, err := o.at(planes[1]).WatchRun(o.ctx, &controlv1.WatchRunRequest{DagId: "dag", RunId: "run"})
	if err != nil {
		t.Fatal(err)
	}
	next := func(want policyv1.TaskState) {
		t.Helper()
		resp, err := watch.Recv()
		if err != nil || len(resp.GetChanges()) != 1 || resp.GetChanges()[0].GetState() != want {
			t.Fatalf("changes %v, %v; want %v", resp.GetChanges(), err, want)
		}
	}
	a := planes[0].launch(o, "t", 1, false)
	next(policyv1.TaskState_TASK_STATE_QUEUED)
	a.report(t, running, 0)
	next(policyv1.TaskState_TASK_STATE_RUNNING)
	a.report(t, success, 0)
	next(policyv1.TaskState_TASK_STATE_SUCCESS)
}

// TestLog13TheLogMovesBetweenServers follows on one server a log whose agent moves from
// another to a third.
func TestLog13TheLogMovesBetweenServers(t *testing.T) {
	planes := replicas(t, 3)
	o := planes[0].operator("acme", auth.RoleOperator)
	o.createRun(bash("t", "true"))
	a := planes[0].launch(o, "t", 1, false)
	a.report(t, running, 0)
	follow, err := o.at(planes[0]).ReadLog(o.ctx, &controlv1.ReadLogRequest{DagId: "dag", RunId: "run", TaskId: "t", TryNumber: 1, Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	var seen []string
	see := func(enough int) {
		t.Helper()
		for len(seen) < enough {
			resp, err := follow.Recv()
			if err != nil {
				t.Fatalf("after %q: %v", seen, err)
			}
			for _, r := range resp.GetRecords() {
				seen = append(seen, r.GetMessage())
			}
		}
	}
	send := func(stream agentv1.AgentService_StreamLogsClient, numbers ...int64) {
		t.Helper()
		for _, n := range numbers {
			if err := stream.Send(&agentv1.LogLine{Message: fmt.Sprint("line ", n), Stream: "stdout", LineNumber: n, Session: 7}); err != nil {
				t.Fatal(err)
			}
		}
	}
	first, err := a.at(planes[1]).StreamLogs(a.ctx)
	if err != nil {
		t.Fatal(err)
	}
	send(first, 1, 2, 3)
	see(3)
	second, err := a.at(planes[2]).StreamLogs(a.ctx)
	if err != nil {
		t.Fatal(err)
	}
	send(second, 3, 4)
	see(4)
	for err == nil {
		_, err = first.Recv()
	}
	if status.Code(err) != codes.Aborted {
		t.Errorf("the older call ends with %v", err)
	}
	a.at(planes[1]).report(t, success, 0) // its log goes on for a while
	send(second, 5)
	see(5)
	if err := second.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := follow.Recv(); err == nil {
		t.Error("the follower goes on after the end")
	}
	if got := fmt.Sprint(seen); got != "[line 1 line 2 line 3 line 4 line 5]" {
		t.Errorf("followed %s", got)
	}
}

// TestSharedNeedsADatabase, and the others to share as well.
func TestSharedNeedsADatabase(t *testing.T) {
	if _, err := (server.Config{Shared: true}).Complete(); err == nil {
		t.Error("an embedded database can be shared")
	}
	dir, dsn := t.TempDir(), pgtest.Database(t)
	start(t, server.Config{Database: dsn, DataDir: dir, Shared: true}, true)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if s, err := server.New(ctx, server.Config{Addr: "127.0.0.1:0", Database: dsn, DataDir: dir}); err == nil {
		t.Errorf("the directory is of %s alone, too", s.Addr())
	}
}
