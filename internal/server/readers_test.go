package server_test

import (
	"fmt"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/server"
)

// reading is one way to read the value of `source`, and how it must end.
type reading struct {
	who  string
	read func() ([]byte, error)
	want codes.Code
}

// TestIso5AValueIsReadAtOnceByExactlyThoseWhomTheRulesName replaces a value over and over;
// right after each reply, all who may read it read that one, and nobody else any.
func TestIso5AValueIsReadAtOnceByExactlyThoseWhomTheRulesName(t *testing.T) {
	p := start(t, server.Config{}, false)
	left, right := p.operator("left", auth.RoleAdmin), p.operator("right", auth.RoleAdmin)
	var source *agent
	var readings []reading
	for _, o := range []*operator{left, right} {
		o.createRun(readersOf("source")...)
		if _, err := o.CreateRun(o.ctx, &controlv1.CreateRunRequest{DagId: "dag", RunId: "other", Tasks: readersOf("source")}); err != nil {
			t.Fatal(err)
		}
	}
	source = p.launch(left, "source", 1, false)
	ended := p.launch(left, "ended", 1, false)
	must[*agentv1.ReportStateResponse](t)(ended.ReportState(ended.ctx, &agentv1.ReportStateRequest{State: agentv1.TaskState_TASK_STATE_FAILED}))
	readings = append(readings,
		fetching("a task that declares the source", p.launch(left, "declares", 1, false), codes.OK),
		fetching("a task that does not", p.launch(left, "does-not", 1, false), codes.PermissionDenied),
		fetching("an attempt that has ended", ended, codes.FailedPrecondition),
		fetching("that task in another run", p.launchIn(left, "other", "declares"), codes.NotFound),
		fetching("that task in another tenant", p.launch(right, "declares", 1, false), codes.NotFound),
		looking("an operator who may only read", p.operator("left", auth.RoleViewer), codes.OK),
		looking("an operator of another tenant", right, codes.NotFound),
	)
	for round := range 25 {
		value := fmt.Sprintf(`"%d"`, round)
		must[*agentv1.PushXComResponse](t)(source.PushXCom(source.ctx, &agentv1.PushXComRequest{Value: []byte(value)}))
		var reading sync.WaitGroup
		for _, r := range readings {
			reading.Go(func() {
				got, err := r.read()
				if status.Code(err) != r.want || r.want == codes.OK && string(got) != value {
					t.Errorf("%s read %q, %v right after %s was pushed; want %s", r.who, got, err, value, r.want)
				}
			})
		}
		reading.Wait()
	}
}

// readersOf are tasks of which `declares` and `ended` declare a source.
func readersOf(source string) []*controlv1.TaskDefinition {
	out := []*controlv1.TaskDefinition{bash(source, "true"), bash("does-not", "true")}
	for _, name := range []string{"declares", "ended"} {
		task := bash(name, "true")
		task.Inputs = map[string]*controlv1.InputSources{"in": {TaskIds: []string{source}}}
		out = append(out, task)
	}
	return out
}

func fetching(who string, a *agent, want codes.Code) reading {
	return reading{who, func() ([]byte, error) {
		got, err := a.FetchXCom(a.ctx, &agentv1.FetchXComRequest{UpstreamTaskId: "source"})
		return got.GetValue(), err
	}, want}
}

func looking(who string, o *operator, want codes.Code) reading {
	return reading{who, func() ([]byte, error) {
		got, err := o.GetXCom(o.ctx, &controlv1.GetXComRequest{DagId: "dag", RunId: "run", TaskId: "source"})
		return got.GetValue(), err
	}, want}
}

// launchIn begins the first try of a task in another run of the DAG.
func (p *plane) launchIn(o *operator, run, task string) *agent {
	p.t.Helper()
	resp := must[*controlv1.LaunchAttemptResponse](p.t)(o.LaunchAttempt(o.ctx, &controlv1.LaunchAttemptRequest{
		DagId: "dag", RunId: run, TaskId: task, TryNumber: 1,
	}))
	return &agent{AgentServiceClient: agentv1.NewAgentServiceClient(p.conn), ctx: as(o.t.Context(), resp.GetAgentToken())}
}
