package policy_test

import (
	"strings"
	"testing"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	policyv1 "github.com/neochaotic/leoflow/gen/leoflow/policy/v1"
	"github.com/neochaotic/leoflow/internal/policy"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/anypb"
	_ "google.golang.org/protobuf/types/known/wrapperspb" // links the wrappers in
)

const secret = "hunter2"

func TestAuth8SensitiveFieldsAreMarked(t *testing.T) {
	want := map[protoreflect.FullName]bool{
		"leoflow.agent.v1.HeartbeatResponse.renewed_token":        true,
		"leoflow.agent.v1.GetVariablesResponse.variables":         true,
		"leoflow.agent.v1.GetConnectionsResponse.connection_uris": true,
		"leoflow.control.v1.LaunchAttemptResponse.agent_token":    true,
		"leoflow.control.v1.PutVariableRequest.value":             true,
		"leoflow.control.v1.PutConnectionRequest.uri":             true,
	}
	for _, file := range []protoreflect.FileDescriptor{
		agentv1.File_leoflow_agent_v1_agent_proto, controlv1.File_leoflow_control_v1_control_proto,
	} {
		for i := range file.Messages().Len() {
			fields := file.Messages().Get(i).Fields()
			for j := range fields.Len() {
				if fd := fields.Get(j); policy.Sensitive(fd) != want[fd.FullName()] {
					t.Errorf("Sensitive(%s) = %v", fd.FullName(), policy.Sensitive(fd))
				}
			}
		}
	}
}

func TestAuth8RedactedMessagesCarryNoSecret(t *testing.T) {
	packed, err := anypb.New(&controlv1.PutVariableRequest{Key: "k", Value: secret})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		in   proto.Message
		want proto.Message
	}{
		{
			"text", &agentv1.HeartbeatResponse{RenewedToken: secret, ShouldTerminate: true},
			&agentv1.HeartbeatResponse{RenewedToken: policy.Redacted, ShouldTerminate: true},
		},
		{"absent", &agentv1.HeartbeatResponse{}, &agentv1.HeartbeatResponse{}},
		{
			"map", &agentv1.GetVariablesResponse{Variables: map[string]string{"a": secret, "b": ""}},
			&agentv1.GetVariablesResponse{Variables: map[string]string{"a": policy.Redacted, "b": policy.Redacted}},
		},
		{
			"plain messages, maps and lists stay",
			&controlv1.CreateRunRequest{DagId: "d", Tasks: []*controlv1.TaskDefinition{{
				TaskId: "t", Environment: map[string]string{"K": "v"},
				Inputs: map[string]*controlv1.InputSources{"in": {TaskIds: []string{"a", "b"}}},
			}}},
			&controlv1.CreateRunRequest{DagId: "d", Tasks: []*controlv1.TaskDefinition{{
				TaskId: "t", Environment: map[string]string{"K": "v"},
				Inputs: map[string]*controlv1.InputSources{"in": {TaskIds: []string{"a", "b"}}},
			}}},
		},
		{"packed and unknown", &anypb.Any{TypeUrl: "type.googleapis.com/x.Y", Value: []byte(secret)}, &anypb.Any{TypeUrl: "type.googleapis.com/x.Y"}},
		{"packed and broken", &anypb.Any{TypeUrl: packed.GetTypeUrl(), Value: []byte(secret)}, &anypb.Any{TypeUrl: packed.GetTypeUrl()}},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := proto.Clone(c.in)
			got := policy.Redact(c.in)
			if !proto.Equal(got, c.want) {
				t.Errorf("Redact = %v, want %v", got, c.want)
			}
			if !proto.Equal(c.in, before) {
				t.Errorf("Redact changed its argument to %v", c.in)
			}
		})
	}
}

func TestAuth8RedactOpensPackedMessages(t *testing.T) {
	packed, err := anypb.New(&controlv1.PutVariableRequest{Key: "k", Value: secret})
	if err != nil {
		t.Fatal(err)
	}
	inner, err := policy.Redact(packed).(*anypb.Any).UnmarshalNew()
	if err != nil {
		t.Fatal(err)
	}
	if want := (&controlv1.PutVariableRequest{Key: "k", Value: policy.Redacted}); !proto.Equal(inner, want) {
		t.Errorf("packed message reads %v, want %v", inner, want)
	}
}

func TestAuth8RedactDropsWhatItDoesNotKnow(t *testing.T) {
	m := &agentv1.LogLine{Message: "hello"}
	m.ProtoReflect().SetUnknown(protowire.AppendString(protowire.AppendTag(nil, 4000, protowire.BytesType), secret))
	got := policy.Redact(m)
	if len(got.ProtoReflect().GetUnknown()) != 0 || got.(*agentv1.LogLine).GetMessage() != "hello" {
		t.Errorf("Redact = %v", got)
	}
}

func TestRedactOfNothing(t *testing.T) {
	if got := policy.Redact(nil); got != nil {
		t.Errorf("Redact(nil) = %v", got)
	}
	var none *agentv1.LogLine
	if got := policy.Redact(none); got.ProtoReflect().IsValid() {
		t.Errorf("Redact of a nil message = %v", got)
	}
}

// vault describes a message whose sensitive fields are of every shape, at two depths.
func vault(t *testing.T) protoreflect.MessageDescriptor {
	t.Helper()
	sensitive := &descriptorpb.FieldOptions{}
	proto.SetExtension(sensitive, policyv1.E_Sensitive, true)
	field := func(name string, number int32, kind descriptorpb.FieldDescriptorProto_Type, repeated bool, message string) *descriptorpb.FieldDescriptorProto {
		f := &descriptorpb.FieldDescriptorProto{
			Name: proto.String(name), Number: proto.Int32(number), Type: kind.Enum(), Options: sensitive,
			Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
		}
		if repeated {
			f.Label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
		}
		if message != "" {
			f.TypeName = proto.String(message)
		}
		return f
	}
	open := field("inner", 8, descriptorpb.FieldDescriptorProto_TYPE_MESSAGE, false, ".vault.v1.Vault")
	openList := field("inners", 9, descriptorpb.FieldDescriptorProto_TYPE_MESSAGE, true, ".vault.v1.Vault")
	openMap := field("rooms", 10, descriptorpb.FieldDescriptorProto_TYPE_MESSAGE, true, ".vault.v1.Vault.RoomsEntry")
	open.Options, openList.Options, openMap.Options = nil, nil, nil
	key := field("key", 1, descriptorpb.FieldDescriptorProto_TYPE_STRING, false, "")
	value := field("value", 2, descriptorpb.FieldDescriptorProto_TYPE_MESSAGE, false, ".vault.v1.Vault")
	key.Options, value.Options = nil, nil
	entry := func(name string) *descriptorpb.DescriptorProto {
		return &descriptorpb.DescriptorProto{
			Name: proto.String(name), Field: []*descriptorpb.FieldDescriptorProto{key, value},
			Options: &descriptorpb.MessageOptions{MapEntry: proto.Bool(true)},
		}
	}
	file := build(t, &descriptorpb.FileDescriptorProto{
		Syntax: proto.String("proto3"), Name: proto.String("vault.proto"), Package: proto.String("vault.v1"),
		Dependency: []string{"google/protobuf/wrappers.proto"},
		MessageType: []*descriptorpb.DescriptorProto{{
			Name:       proto.String("Vault"),
			NestedType: []*descriptorpb.DescriptorProto{entry("RoomsEntry"), entry("SafesEntry")},
			Field: []*descriptorpb.FieldDescriptorProto{
				field("text", 1, descriptorpb.FieldDescriptorProto_TYPE_STRING, false, ""),
				field("blob", 2, descriptorpb.FieldDescriptorProto_TYPE_BYTES, false, ""),
				field("pin", 3, descriptorpb.FieldDescriptorProto_TYPE_INT64, false, ""),
				field("texts", 4, descriptorpb.FieldDescriptorProto_TYPE_STRING, true, ""),
				field("pins", 5, descriptorpb.FieldDescriptorProto_TYPE_INT64, true, ""),
				field("boxed", 6, descriptorpb.FieldDescriptorProto_TYPE_MESSAGE, false, ".google.protobuf.StringValue"),
				field("boxes", 7, descriptorpb.FieldDescriptorProto_TYPE_MESSAGE, true, ".google.protobuf.StringValue"),
				open, openList, openMap,
				field("safes", 11, descriptorpb.FieldDescriptorProto_TYPE_MESSAGE, true, ".vault.v1.Vault.SafesEntry"),
			},
		}},
	})
	return file.Messages().Get(0)
}

func TestAuth8RedactReachesEveryShape(t *testing.T) {
	const leaf = `"text":"hunter2","blob":"aHVudGVyMg==","pin":"4711","texts":["hunter2"],"pins":["4711"],"boxed":"hunter2","boxes":["hunter2"]`
	const safe = `"safes":{"name":{"text":"hunter2"}}`
	m := dynamicpb.NewMessage(vault(t))
	in := `{` + leaf + `,` + safe + `,"inner":{` + leaf + `},"inners":[{` + leaf + `}],"rooms":{"name":{` + leaf + `}}}`
	if err := protojson.Unmarshal([]byte(in), m); err != nil {
		t.Fatal(err)
	}
	out, err := protojson.Marshal(policy.Redact(m))
	if err != nil {
		t.Fatal(err)
	}
	for _, leak := range []string{secret, "aHVudGVyMg", "4711"} {
		if strings.Contains(string(out), leak) {
			t.Errorf("the redacted message holds %q: %s", leak, out)
		}
	}
	for _, kept := range []string{`"inner"`, `"inners"`, `"rooms"`, `"name"`, policy.Redacted} {
		if !strings.Contains(string(out), kept) {
			t.Errorf("the redacted message lost %q: %s", kept, out)
		}
	}
}
