package specdiff_test

import (
	"math"
	"strings"
	"testing"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// validatable is what PGV generates for every message.
type validatable interface {
	proto.Message
	ValidateAll() error
}

const (
	runID = "manual__2026-11-24T10:00:00+00:00"
	odd   = "\x00\x01\n\t\x1b[31m\u0085 \u2028 \U0001F600 \uFFFD"
)

var (
	oddTimes = []*timestamppb.Timestamp{
		nil,
		{},
		{Seconds: math.MinInt64},
		{Seconds: math.MaxInt64, Nanos: math.MaxInt32},
		{Nanos: -1},
	}
	longest = strings.Repeat("é", 250) // characters are counted, not bytes
	tooLong = longest + "e"
)

// identifiers are legal wherever the protocol takes an identifier.
var identifiers = []string{
	"a", "1", " ", ".", "a.b:c+d e", "../..", "*", ">", "%2F", "\\", `"`, "'; --", "日本語", "\U0001F600", "\u00a0",
	runID, longest,
}

// noIdentifiers are not: control characters of both ranges at their ends, and what
// is too long.
var noIdentifiers = []string{
	"\x00", "a\x00", "a\n", "\na", "a\nb", "\x1f", "a\x7fb", "\u0080", "\u009f", "\r", "\t", tooLong,
	strings.Repeat("a", 1<<12),
}

func TestErr3AgentMessagesThatMustPass(t *testing.T) {
	var pass []validatable
	for _, at := range oddTimes {
		pass = append(pass,
			&agentv1.LogLine{Time: at},
			&agentv1.HeartbeatRequest{SentAt: at},
			&agentv1.ReportStateRequest{State: agentv1.TaskState_TASK_STATE_RUNNING, OccurredAt: at})
	}
	for _, level := range []agentv1.LogLevel{0, 1, 2, 3, 4, 5, 99, -1, math.MaxInt32, math.MinInt32} {
		pass = append(pass, &agentv1.LogLine{Level: level})
	}
	for _, number := range []int64{0, 1, -1, math.MinInt64, math.MaxInt64} {
		pass = append(pass, &agentv1.LogLine{LineNumber: number})
	}
	for _, text := range []string{"", "x", odd, strings.Repeat("x", 3<<20)} {
		pass = append(pass,
			&agentv1.LogLine{Message: text, Stream: text},
			&agentv1.ReportStateRequest{State: agentv1.TaskState_TASK_STATE_FAILED, ErrorMessage: text},
			&agentv1.PushXComRequest{Value: []byte(text), ContentType: text},
			&agentv1.RegisterRequest{AgentVersion: text, Hostname: text, Environment: map[string]string{text: text}},
			&agentv1.HeartbeatRequest{CustomMetrics: map[string]float64{text: 1}})
	}
	for _, code := range []int32{0, 1, -1, 255, math.MaxInt32, math.MinInt32} {
		pass = append(pass, &agentv1.ReportStateRequest{State: agentv1.TaskState_TASK_STATE_FAILED, ExitCode: code})
	}
	for _, state := range []agentv1.TaskState{1, 2, 3, 4} {
		pass = append(pass, &agentv1.ReportStateRequest{State: state})
	}
	for _, id := range identifiers {
		pass = append(pass,
			&agentv1.PushXComRequest{Key: id},
			&agentv1.FetchXComRequest{UpstreamTaskId: id, Key: id},
			&agentv1.FetchXComRequest{UpstreamTaskId: id})
	}
	many := map[string]float64{}
	for i := range 10_000 {
		many[strings.Repeat("m", i%50)+string(rune(0x4e00+i))] = math.NaN()
	}
	pass = append(pass,
		&agentv1.RegisterRequest{}, &agentv1.GetTaskSpecRequest{}, &agentv1.GetVariablesRequest{},
		&agentv1.GetConnectionsRequest{}, &agentv1.HeartbeatRequest{}, &agentv1.LogLine{}, &agentv1.PushXComRequest{},
		&agentv1.HeartbeatRequest{CustomMetrics: many}, &agentv1.LogLine{Session: math.MaxUint64},
		&agentv1.PushXComRequest{Value: make([]byte, 4<<20)},
	)
	for _, m := range pass {
		if err := m.ValidateAll(); err != nil {
			t.Errorf("a %s that deployed agents may send is refused: %v", m.ProtoReflect().Descriptor().Name(), err)
		}
	}
}

func TestErr3AgentMessagesThatMustFail(t *testing.T) {
	type refusal struct {
		message validatable
		field   string
	}
	fail := []refusal{
		{&agentv1.FetchXComRequest{}, "UpstreamTaskId"},
		{&agentv1.FetchXComRequest{Key: "k"}, "UpstreamTaskId"},
		{&agentv1.ReportStateRequest{}, "State"},
	}
	for _, state := range []agentv1.TaskState{0, 5, 99, -1, math.MaxInt32, math.MinInt32} {
		fail = append(fail, refusal{&agentv1.ReportStateRequest{State: state}, "State"})
	}
	for _, id := range noIdentifiers {
		fail = append(fail,
			refusal{&agentv1.FetchXComRequest{UpstreamTaskId: id}, "UpstreamTaskId"},
			refusal{&agentv1.FetchXComRequest{UpstreamTaskId: "t", Key: id}, "Key"},
			refusal{&agentv1.PushXComRequest{Key: id}, "Key"})
	}
	for _, f := range fail {
		if !refuses(f.message, f.field) {
			t.Errorf("%s passes with %.80q", f.message.ProtoReflect().Descriptor().Name(), f.message)
		}
	}
}

// refuses reports whether validation names field among the faults of m.
func refuses(m validatable, field string) bool {
	many, ok := m.ValidateAll().(interface{ AllErrors() []error })
	if !ok {
		return false
	}
	for _, err := range many.AllErrors() {
		if named, ok := err.(interface{ Field() string }); ok && named.Field() == field {
			return true
		}
	}
	return false
}

// Wherever an operator names something, the same identifiers are legal.
func TestErr3ControlIdentifiersAreAsWideAsTheAgents(t *testing.T) {
	goNames := map[protoreflect.Name]string{
		"dag_id": "DagId", "run_id": "RunId", "task_id": "TaskId", "key": "Key", "connection_id": "ConnectionId",
	}
	tried := 0
	for _, m := range []validatable{
		&controlv1.TaskDefinition{}, &controlv1.CreateRunRequest{}, &controlv1.LaunchAttemptRequest{},
		&controlv1.SettleAttemptRequest{}, &controlv1.SettleTaskRequest{}, &controlv1.WatchRunRequest{},
		&controlv1.ReadLogRequest{}, &controlv1.PutVariableRequest{}, &controlv1.PutConnectionRequest{},
	} {
		fields := m.ProtoReflect().Descriptor().Fields()
		for i := range fields.Len() {
			field := fields.Get(i)
			name, ok := goNames[field.Name()]
			if !ok {
				continue
			}
			tried++
			for _, id := range identifiers {
				m.ProtoReflect().Set(field, protoreflect.ValueOfString(id))
				if refuses(m, name) {
					t.Errorf("%s refuses %q", field.FullName(), id)
				}
			}
			for _, id := range append([]string{""}, noIdentifiers...) {
				m.ProtoReflect().Set(field, protoreflect.ValueOfString(id))
				if !refuses(m, name) {
					t.Errorf("%s accepts %.80q", field.FullName(), id)
				}
			}
		}
	}
	if tried < 19 {
		t.Errorf("only %d fields were tried", tried)
	}
}
