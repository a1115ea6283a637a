package faults

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	policyv1 "github.com/neochaotic/leoflow/gen/leoflow/policy/v1"
	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/server"
)

// States and causes, in short.
const (
	queued  = policyv1.TaskState_TASK_STATE_QUEUED
	running = policyv1.TaskState_TASK_STATE_RUNNING
	success = policyv1.TaskState_TASK_STATE_SUCCESS
	failed  = policyv1.TaskState_TASK_STATE_FAILED

	none        = controlv1.Cause_CAUSE_UNSPECIFIED
	exitNonzero = controlv1.Cause_CAUSE_EXIT_NONZERO
	signalled   = controlv1.Cause_CAUSE_SIGNALLED
	cancelled   = controlv1.Cause_CAUSE_CANCELLED
	lost        = controlv1.Cause_CAUSE_LOST
	superseded  = controlv1.Cause_CAUSE_SUPERSEDED
)

// rig is a control plane in this process with an operator's client, and the gate that
// tasks come to. Every run of it is dag/run.
type rig struct {
	controlv1.ControlServiceClient
	t    *testing.T
	ctx  context.Context //nolint:containedctx // a test's caller is its context
	bare context.Context //nolint:containedctx // as above, without the operator's token
	addr string
	dir  string // of the data
	conn *grpc.ClientConn
	log  *journal
	gate *gate
}

// start runs a control plane until the test ends.
func start(t *testing.T, cfg server.Config) *rig {
	t.Helper()
	if cfg.DataDir == "" {
		cfg.DataDir = t.TempDir()
	}
	r := &rig{t: t, dir: cfg.DataDir, log: &journal{}, gate: openGate(t)}
	cfg.Addr = "127.0.0.1:0"
	cfg.Logger = slog.New(slog.NewTextHandler(r.log, nil))
	if cfg.SilenceWindow == 0 {
		cfg.SilenceWindow = window
	}
	srv, err := server.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ctx) }()
	r.addr = srv.Addr()
	r.conn = must[*grpc.ClientConn](t)(grpc.NewClient(r.addr, grpc.WithTransportCredentials(insecure.NewCredentials())))
	t.Cleanup(func() {
		_ = r.conn.Close()
		cancel()
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
		if t.Failed() {
			t.Logf("the server's log:\n%s", r.log)
		}
	})
	token, _, err := srv.Tokens().MintOperator(auth.OperatorIdentity{Subject: "test", TenantID: "acme", Role: auth.RoleOperator}, 48*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	r.ControlServiceClient = controlv1.NewControlServiceClient(r.conn)
	var done func()
	r.bare, done = context.WithTimeout(context.Background(), deadline)
	t.Cleanup(done)
	r.ctx = bearing(r.bare, token)
	return r
}

func bearing(ctx context.Context, token string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
}

// preamble gives every script what it comes to the gate with: "arrive NAME" says so,
// and waits to be let through; whoever is not ends with 99.
const preamble = `
arrive() {
	exec 3<>"/dev/tcp/$GATE" || exit 98
	echo "$1 $$" >&3
	read -r word <&3 || exit 99
	exec 3>&-
}
`

// task defines a task by its script.
func (r *rig) task(id, script string) *controlv1.TaskDefinition {
	return &controlv1.TaskDefinition{
		TaskId: id, Operator: "bash", Entrypoint: preamble + script,
		Environment: map[string]string{"GATE": r.gate.address()},
	}
}

// waiting defines a task that comes to the gate under its own id and then ends well.
func (r *rig) waiting(id string) *controlv1.TaskDefinition { return r.task(id, "arrive "+id) }

func (r *rig) create(tasks ...*controlv1.TaskDefinition) {
	r.t.Helper()
	must[*controlv1.CreateRunResponse](r.t)(r.CreateRun(r.ctx, &controlv1.CreateRunRequest{DagId: "dag", RunId: "run", Tasks: tasks}))
}

// launch begins a try, superseding what is live, and returns its token.
func (r *rig) launch(task string, try int32) string {
	r.t.Helper()
	resp := must[*controlv1.LaunchAttemptResponse](r.t)(r.LaunchAttempt(r.ctx, &controlv1.LaunchAttemptRequest{
		DagId: "dag", RunId: "run", TaskId: task, TryNumber: try, Supersede: true,
	}))
	return resp.GetAgentToken()
}

// begin launches the first try of a task, starts its agent, and waits until the task is at
// the gate under its id.
func (r *rig) begin(task string) (*agent, *visit) {
	r.t.Helper()
	a := r.agent(r.addr, r.launch(task, 1))
	return a, r.gate.await(task)
}

// attempt returns a try of a task as stored.
func (r *rig) attempt(task string, try int32) *controlv1.Attempt {
	r.t.Helper()
	resp := must[*controlv1.ListAttemptsResponse](r.t)(r.ListAttempts(r.ctx, &controlv1.ListAttemptsRequest{DagId: "dag", RunId: "run", TaskId: task}))
	for _, a := range resp.GetAttempts() {
		if a.GetTryNumber() == try {
			return a
		}
	}
	r.t.Fatalf("there is no try %d of %s", try, task)
	return nil
}

// ended waits for the end of a try, and returns it as stored.
func (r *rig) ended(task string, try int32) *controlv1.Attempt {
	r.t.Helper()
	watch := must[controlv1.ControlService_WatchRunClient](r.t)(r.WatchRun(r.ctx, &controlv1.WatchRunRequest{DagId: "dag", RunId: "run"}))
	for {
		resp, err := watch.Recv()
		if err != nil {
			r.t.Fatalf("waiting for the end of %s: %v", task, err)
		}
		for _, c := range resp.GetChanges() {
			if c.GetTaskId() == task && c.GetTryNumber() == try && terminal(c.GetState()) {
				return r.attempt(task, try)
			}
		}
	}
}

func terminal(s policyv1.TaskState) bool { return s == success || s == failed }

// wantEnd waits for the end of a task's first try, and compares it.
func (r *rig) wantEnd(task string, state policyv1.TaskState, cause controlv1.Cause, code int32) *controlv1.Attempt {
	r.t.Helper()
	a := r.ended(task, 1)
	if a.GetState() != state || a.GetCause() != cause || a.GetExitCode() != code {
		r.t.Errorf("%s ended as %v, want %v, %v, code %d", task, a, state, cause, code)
	}
	return a
}

// wantState holds that a task's first try is in a state now.
func (r *rig) wantState(task string, state policyv1.TaskState) {
	r.t.Helper()
	if a := r.attempt(task, 1); a.GetState() != state {
		r.t.Errorf("%s is %v, want %v", task, a, state)
	}
}

// wantSame holds that a try is stored exactly as it was (STATE-4, BEAT-4).
func (r *rig) wantSame(task string, before *controlv1.Attempt) {
	r.t.Helper()
	if now := r.attempt(task, before.GetTryNumber()); !proto.Equal(now, before) {
		r.t.Errorf("%s was changed after its end:\n%v\nbefore:\n%v", task, now, before)
	}
}

// records returns a try's log.
func (r *rig) records(task string, try int32) []*controlv1.LogRecord {
	r.t.Helper()
	stream := must[controlv1.ControlService_ReadLogClient](r.t)(r.ReadLog(r.ctx, &controlv1.ReadLogRequest{
		DagId: "dag", RunId: "run", TaskId: task, TryNumber: try,
	}))
	var out []*controlv1.LogRecord
	for {
		resp, err := stream.Recv()
		if err != nil {
			return out
		}
		out = append(out, resp.GetRecords()...)
	}
}

// printed returns what a try's task printed.
func (r *rig) printed(task string, try int32) (out []string) {
	r.t.Helper()
	for _, rec := range r.records(task, try) {
		if rec.GetStream() != "agent" { // what its agent says
			out = append(out, rec.GetMessage())
		}
	}
	return out
}

// said reports whether a try's log has a line of a stream that holds text.
func (r *rig) said(task string, try int32, stream, text string) bool {
	for _, rec := range r.records(task, try) {
		if rec.GetStream() == stream && strings.Contains(rec.GetMessage(), text) {
			return true
		}
	}
	return false
}

// beatOn waits until the first try of each task has beaten so often from now on that a
// window of silence, in which it is asked to beat eight times, is over.
func (r *rig) beatOn(tasks ...string) {
	r.t.Helper()
	const often = 10
	seen, last := map[string]int{}, map[string]*timestamppb.Timestamp{}
	eventually(r.t, fmt.Sprintf("%d heartbeats of %v", often, tasks), func() bool {
		fewest := often
		for _, task := range tasks {
			if at := r.attempt(task, 1).GetHeartbeatAt(); !proto.Equal(at, last[task]) {
				seen[task], last[task] = seen[task]+1, at
			}
			fewest = min(fewest, seen[task]-1) // the first was there before
		}
		return fewest >= often
	})
}

// wire returns an AgentService client with a token, and its context.
func (r *rig) wire(token string) (agentv1.AgentServiceClient, context.Context) {
	return agentv1.NewAgentServiceClient(r.conn), bearing(r.bare, token)
}
