package interceptor

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/auth"
)

func wellFormedRun() *controlv1.CreateRunRequest {
	return &controlv1.CreateRunRequest{DagId: "dag", RunId: "run", Tasks: []*controlv1.TaskDefinition{
		{TaskId: "first", Operator: "bash"},
		{TaskId: "second", Operator: "bash", Inputs: map[string]*controlv1.InputSources{"In": {TaskIds: []string{"first"}}}},
	}}
}

func TestErr3AnInvalidRequestNamesTheFieldByItsPath(t *testing.T) {
	b := newBench(t, setup{})
	cases := map[string]struct {
		spoil func(*controlv1.CreateRunRequest)
		want  []string
	}{
		"top":    {func(r *controlv1.CreateRunRequest) { r.DagId = "" }, []string{"dag_id"}},
		"nested": {func(r *controlv1.CreateRunRequest) { r.Tasks[1].TaskId = "a\nb" }, []string{"tasks[1].task_id"}},
		"repeated": {
			func(r *controlv1.CreateRunRequest) { r.Tasks[0].Variables = []string{"fine", ""} },
			[]string{"tasks[0].variables[1]"},
		},
		"map key": {
			func(r *controlv1.CreateRunRequest) { r.Tasks[0].Environment = map[string]string{"A=B": "c"} },
			[]string{"tasks[0].environment[A=B]"},
		},
		"map value, nested": {
			func(r *controlv1.CreateRunRequest) { r.Tasks[1].Inputs["In"].TaskIds = []string{"first", ""} },
			[]string{"tasks[1].inputs[In].task_ids[1]"},
		},
		"long name": {
			func(r *controlv1.CreateRunRequest) { r.Tasks[0].ExecutionTimeoutSeconds = -1 },
			[]string{"tasks[0].execution_timeout_seconds"},
		},
		"several": {
			func(r *controlv1.CreateRunRequest) { r.RunId = ""; r.Tasks[0].Operator = "" },
			[]string{"run_id", "tasks[0].operator"},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			req := wellFormedRun()
			c.spoil(req)
			_, err := b.control.CreateRun(b.asOperator(auth.RoleAdmin), req)
			wantCode(t, err, codes.InvalidArgument)
			got := fields(err)
			for _, want := range c.want {
				if !slices.Contains(got, want) {
					t.Errorf("fields %q, want %q among them", got, want)
				}
			}
			if !strings.Contains(status.Convert(err).Message(), got[0]) {
				t.Errorf("message %q does not name %q", status.Convert(err).Message(), got[0])
			}
			info, _ := detail[*errdetails.ErrorInfo](err)
			if info.GetReason() != "INVALID_REQUEST" || info.GetDomain() != "leoflow" {
				t.Errorf("ErrorInfo %v", info)
			}
			bad, _ := detail[*errdetails.BadRequest](err)
			for _, v := range bad.GetFieldViolations() {
				if v.GetDescription() == "" {
					t.Errorf("field %s without a description", v.GetField())
				}
			}
		})
	}
	if _, err := b.control.CreateRun(b.asOperator(auth.RoleAdmin), wellFormedRun()); err != nil {
		t.Errorf("the well-formed run is refused: %v", err)
	}
}

// A client's default limit on metadata is as low as 8 KiB, and the error travels there.
func TestErr3AnAnswerToManyFaultsStaysSmall(t *testing.T) {
	b := newBench(t, setup{})
	many := wellFormedRun()
	many.Tasks = nil
	for range 2000 {
		many.Tasks = append(many.Tasks, &controlv1.TaskDefinition{})
	}
	long := wellFormedRun()
	long.Tasks[0].Environment = map[string]string{strings.Repeat("é=", 10_000): "x"}
	for name, req := range map[string]*controlv1.CreateRunRequest{"many faults": many, "a long map key": long} {
		t.Run(name, func(t *testing.T) {
			_, err := b.control.CreateRun(b.asOperator(auth.RoleAdmin), req)
			wantCode(t, err, codes.InvalidArgument)
			if len(fields(err)) == 0 {
				t.Error("no field is named")
			}
			if size := proto.Size(status.Convert(err).Proto()); size > 4<<10 {
				t.Errorf("the status takes %d bytes", size)
			}
		})
	}
}

func TestErr3EachMessageOfAStreamIsValidated(t *testing.T) {
	chain, ctx, _ := directChain(t)
	// No message of StreamLogs has a rule, so one that has stands in its place.
	if err := directStreaming(chain, &directStream{ctx: ctx}, &agentv1.FetchXComRequest{UpstreamTaskId: "a"}); err != nil {
		t.Errorf("a valid message is refused: %v", err)
	}
	err := directStreaming(chain, &directStream{ctx: ctx}, &agentv1.FetchXComRequest{})
	wantCode(t, err, codes.InvalidArgument)
	if got := fields(err); !slices.Contains(got, "upstream_task_id") {
		t.Errorf("fields %q", got)
	}

	b := newBench(t, setup{})
	err = b.watch(b.asOperator(auth.RoleViewer), &controlv1.WatchRunRequest{DagId: "d", RunId: "r", AfterRevision: -1})
	wantCode(t, err, codes.InvalidArgument)
	if got := fields(err); !slices.Equal(got, []string{"after_revision"}) {
		t.Errorf("fields %q", got)
	}
}

func TestErr3NothingOfALogLineIsRefused(t *testing.T) {
	taken := make(chan *agentv1.LogLine, 1)
	b := newBench(t, setup{agents: &agentService{streamTaken: func(l *agentv1.LogLine) { taken <- l }}})
	odd := &agentv1.LogLine{Level: 99, LineNumber: -5, Stream: strings.Repeat("s", 1000), Message: "\x00\n"}
	if err := b.sendLogs(b.asAgent(), odd); err != nil {
		t.Fatal(err)
	}
	if got := <-taken; !proto.Equal(got, odd) {
		t.Errorf("took %v", got)
	}
}

func TestErr4UnknownFieldsAndMetadataAreIgnored(t *testing.T) {
	b := newBench(t, setup{})
	req := &agentv1.FetchXComRequest{UpstreamTaskId: "a"}
	req.ProtoReflect().SetUnknown([]byte{0xf8, 0x3f, 0x01}) // field 1023, varint 1
	if _, err := b.agent.FetchXCom(b.asAgent("x-unheard-of", "a", "x-unheard-of-bin", "\x00\xff"), req); err != nil {
		t.Errorf("unary: %v", err)
	}
	line := &agentv1.LogLine{Message: "x"}
	line.ProtoReflect().SetUnknown([]byte{0xf8, 0x3f, 0x01})
	if err := b.sendLogs(b.asAgent("x-unheard-of", "a"), line); err != nil {
		t.Errorf("stream: %v", err)
	}
}

func TestErr3ARequestThatIsNotThereIsAnEmptyOne(t *testing.T) {
	wantCode(t, validate((*agentv1.ReportStateRequest)(nil)), codes.InvalidArgument)
	if err := validate((*agentv1.HeartbeatRequest)(nil)); err != nil {
		t.Errorf("refused: %v", err)
	}
}

// strangeErrors is a validation error of a shape that nobody generates today.
type strangeErrors struct{ all []error }

func (e strangeErrors) Error() string      { return "strange" }
func (e strangeErrors) AllErrors() []error { return e.all }

func TestErr3AnUnforeseenValidationErrorStillSaysSomething(t *testing.T) {
	got := violations("tasks[0]", strangeErrors{[]error{strangeErrors{}, status.Error(codes.OutOfRange, "odd")}})
	if len(got) != 1 || got[0].GetField() != "tasks[0]" || !strings.Contains(got[0].GetDescription(), "odd") {
		t.Errorf("violations %v", got)
	}
}
