package specdiff_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// The wire of the agent protocol, written down by hand from its specification, not
// from the protos: a mistake made there cannot hide here. Deployed agents rely on
// every line, so a line may be added and none changed.
var (
	wireMethods = map[string]string{
		"Register":       "(RegisterRequest) -> RegisterResponse",
		"GetTaskSpec":    "(GetTaskSpecRequest) -> TaskSpec",
		"FetchXCom":      "(FetchXComRequest) -> FetchXComResponse",
		"PushXCom":       "(PushXComRequest) -> PushXComResponse",
		"StreamLogs":     "(stream LogLine) -> stream LogAck",
		"ReportState":    "(ReportStateRequest) -> ReportStateResponse",
		"Heartbeat":      "(HeartbeatRequest) -> HeartbeatResponse",
		"GetVariables":   "(GetVariablesRequest) -> GetVariablesResponse",
		"GetConnections": "(GetConnectionsRequest) -> GetConnectionsResponse",
	}

	wireMessages = map[string]map[int]string{
		"RegisterRequest": {
			1: "agent_version string",
			2: "hostname string",
			3: "environment map<string,string>",
		},
		"RegisterResponse": {
			1: "session_id string",
			2: "server_time google.protobuf.Timestamp",
		},
		"GetTaskSpecRequest": {},
		"TaskSpec": {
			1:  "tenant_id string",
			2:  "dag_id string",
			3:  "dag_version string",
			4:  "run_id string",
			5:  "task_id string",
			6:  "try_number int32",
			7:  "operator string",
			8:  "entrypoint string",
			9:  "environment map<string,string>",
			10: "xcom_input_mapping map<string,XComUpstreams>",
			11: "execution_timeout_seconds int32",
			12: "extra google.protobuf.Struct",
			13: "call_args_json string",
		},
		"XComUpstreams": {
			1: "task_ids repeated string",
		},
		"FetchXComRequest": {
			1: "upstream_task_id string",
			2: "key string",
		},
		"FetchXComResponse": {
			1: "value bytes",
			2: "content_type string",
			3: "size_bytes int32",
			4: "created_at google.protobuf.Timestamp",
		},
		"PushXComRequest": {
			1: "key string",
			2: "value bytes",
			3: "content_type string",
		},
		"PushXComResponse": {
			1: "accepted bool",
			2: "rejection_reason string",
			3: "ttl_seconds int32",
		},
		"LogLine": {
			1:   "time google.protobuf.Timestamp",
			2:   "level LogLevel",
			3:   "message string",
			4:   "stream string",
			5:   "line_number int64",
			100: "session uint64",
		},
		"LogAck": {
			1:   "acknowledged_through_line int64",
			100: "stream string",
		},
		"ReportStateRequest": {
			1: "state TaskState",
			2: "exit_code int32",
			3: "error_message string",
			4: "occurred_at google.protobuf.Timestamp",
		},
		"ReportStateResponse": {
			1:   "acknowledged bool",
			2:   "should_terminate bool",
			100: "reason TerminationReason",
		},
		"HeartbeatRequest": {
			1: "sent_at google.protobuf.Timestamp",
			2: "custom_metrics map<string,double>",
		},
		"HeartbeatResponse": {
			1:   "should_terminate bool",
			2:   "server_time google.protobuf.Timestamp",
			3:   "renewed_token string",
			100: "reason TerminationReason",
			101: "stop_by google.protobuf.Timestamp",
			102: "beat_interval google.protobuf.Duration",
		},
		"GetVariablesRequest": {},
		"GetVariablesResponse": {
			1: "variables map<string,string>",
		},
		"GetConnectionsRequest": {},
		"GetConnectionsResponse": {
			1: "connection_uris map<string,string>",
		},
	}

	wireEnums = map[string]map[int]string{
		"LogLevel": {
			0: "LOG_LEVEL_UNSPECIFIED",
			1: "LOG_LEVEL_DEBUG",
			2: "LOG_LEVEL_INFO",
			3: "LOG_LEVEL_WARN",
			4: "LOG_LEVEL_ERROR",
		},
		"TaskState": {
			0: "TASK_STATE_UNSPECIFIED",
			1: "TASK_STATE_RUNNING",
			2: "TASK_STATE_SUCCESS",
			3: "TASK_STATE_FAILED",
			4: "TASK_STATE_SKIPPED",
		},
		"TerminationReason": {
			0: "TERMINATION_REASON_UNSPECIFIED",
			1: "TERMINATION_REASON_CANCELLED",
			2: "TERMINATION_REASON_SUPERSEDED",
			3: "TERMINATION_REASON_FINISHED",
			4: "TERMINATION_REASON_LOST",
			5: "TERMINATION_REASON_TIMED_OUT",
			6: "TERMINATION_REASON_UNKNOWN",
		},
	}
)

func TestWireOfTheAgentProtocolIsUnchanged(t *testing.T) {
	file := agentv1.File_leoflow_agent_v1_agent_proto
	if file.Package() != "leoflow.agent.v1" || file.Syntax() != protoreflect.Proto3 {
		t.Errorf("package %s, syntax %s", file.Package(), file.Syntax())
	}
	if file.Services().Len() != 1 || file.Services().Get(0).Name() != "AgentService" {
		t.Fatalf("the file has not just the service AgentService")
	}
	methods := map[string]string{}
	for i := range file.Services().Get(0).Methods().Len() {
		m := file.Services().Get(0).Methods().Get(i)
		methods[string(m.Name())] = fmt.Sprintf("(%s%s) -> %s%s",
			streamed(m.IsStreamingClient()), local(m.Input()), streamed(m.IsStreamingServer()), local(m.Output()))
	}
	if diff := cmp.Diff(wireMethods, methods); diff != "" {
		t.Errorf("methods (-specified +proto):\n%s", diff)
	}

	messages := map[string]map[int]string{}
	for i := range file.Messages().Len() {
		message := file.Messages().Get(i)
		fields := map[int]string{}
		for j := range message.Fields().Len() {
			field := message.Fields().Get(j)
			fields[int(field.Number())] = string(field.Name()) + " " + label(field) + typeOf(field)
		}
		messages[string(message.Name())] = fields
	}
	if diff := cmp.Diff(wireMessages, messages); diff != "" {
		t.Errorf("messages (-specified +proto):\n%s", diff)
	}

	enums := map[string]map[int]string{}
	for i := range file.Enums().Len() {
		enum := file.Enums().Get(i)
		values := map[int]string{}
		for j := range enum.Values().Len() {
			values[int(enum.Values().Get(j).Number())] = string(enum.Values().Get(j).Name())
		}
		if len(values) != enum.Values().Len() {
			t.Errorf("%s has two names for one number", enum.Name())
		}
		enums[string(enum.Name())] = values
	}
	if diff := cmp.Diff(wireEnums, enums); diff != "" {
		t.Errorf("enums (-specified +proto):\n%s", diff)
	}
}

func streamed(is bool) string {
	if is {
		return "stream "
	}
	return ""
}

// local names a type as its own package does.
func local(d protoreflect.Descriptor) string {
	if d.ParentFile().Package() == "leoflow.agent.v1" {
		return string(d.Name())
	}
	return string(d.FullName())
}

// label is empty for a plain field of proto3.
func label(fd protoreflect.FieldDescriptor) string {
	switch {
	case fd.IsMap():
		return ""
	case fd.IsList():
		return "repeated "
	case fd.ContainingOneof() != nil:
		return "in " + string(fd.ContainingOneof().Name()) + " "
	default:
		return ""
	}
}

func typeOf(fd protoreflect.FieldDescriptor) string {
	switch {
	case fd.IsMap():
		return fmt.Sprintf("map<%s,%s>", typeOf(fd.MapKey()), typeOf(fd.MapValue()))
	case fd.Message() != nil:
		return local(fd.Message())
	case fd.Enum() != nil:
		return local(fd.Enum())
	default:
		return fd.Kind().String()
	}
}
