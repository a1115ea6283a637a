package specdiff_test

import (
	"strings"
	"testing"

	"github.com/envoyproxy/protoc-gen-validate/validate"
	"github.com/google/go-cmp/cmp"
	policyv1 "github.com/neochaotic/leoflow/gen/leoflow/policy/v1"
	"github.com/neochaotic/leoflow/internal/specdiff"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
)

// finder looks elements of a set up by name.
type finder struct {
	t   *testing.T
	set *descriptorpb.FileDescriptorSet
}

func (f finder) message(pkg, name string) *descriptorpb.DescriptorProto {
	for _, file := range f.set.GetFile() {
		for _, m := range file.GetMessageType() {
			if file.GetPackage() == pkg && m.GetName() == name {
				return m
			}
		}
	}
	f.t.Fatalf("no message %s.%s", pkg, name)
	return nil
}

func (f finder) field(pkg, message, name string) *descriptorpb.FieldDescriptorProto {
	for _, field := range f.message(pkg, message).GetField() {
		if field.GetName() == name {
			return field
		}
	}
	f.t.Fatalf("no field %s.%s.%s", pkg, message, name)
	return nil
}

func (f finder) value(pkg, name string) *descriptorpb.EnumValueDescriptorProto {
	for _, file := range f.set.GetFile() {
		for _, e := range file.GetEnumType() {
			for _, v := range e.GetValue() {
				if file.GetPackage() == pkg && v.GetName() == name {
					return v
				}
			}
		}
	}
	f.t.Fatalf("no value %s.%s", pkg, name)
	return nil
}

func (f finder) method(name string) *descriptorpb.MethodDescriptorProto {
	for _, file := range f.set.GetFile() {
		for _, s := range file.GetService() {
			for _, m := range s.GetMethod() {
				if m.GetName() == name {
					return m
				}
			}
		}
	}
	f.t.Fatalf("no method %s", name)
	return nil
}

func (f finder) policy(method string) *policyv1.MethodPolicy {
	return proto.GetExtension(f.method(method).GetOptions(), policyv1.E_Method).(*policyv1.MethodPolicy)
}

func (f finder) rules(pkg, message, field string) *validate.FieldRules {
	return proto.GetExtension(f.field(pkg, message, field).GetOptions(), validate.E_Rules).(*validate.FieldRules)
}

const (
	agentPkg   = "leoflow.agent.v1"
	controlPkg = "leoflow.control.v1"
	policyPkg  = "leoflow.policy.v1"
)

func TestCompareSeesEachKindOfChange(t *testing.T) {
	const (
		registerPolicy = "leoflow.agent.v1.AgentService.Register [leoflow.policy.v1.method]"
		keyRules       = "leoflow.agent.v1.PushXComRequest.key [validate.rules]"
	)
	for _, c := range []struct {
		name  string
		plant func(finder)
		want  []specdiff.Change
	}{
		{"a tightened limit", func(f finder) {
			f.rules(agentPkg, "PushXComRequest", "key").GetString_().MaxLen = proto.Uint64(100)
		}, []specdiff.Change{{Path: keyRules + ".string.max_len", Old: "250", New: "100"}}},
		{"a changed pattern", func(f finder) {
			f.rules(agentPkg, "PushXComRequest", "key").GetString_().Pattern = proto.String("^a$")
		}, []specdiff.Change{{Path: keyRules + ".string.pattern", Old: `"^[^\\x00-\\x1F\\x7F-\\x9F]+$"`, New: `"^a$"`}}},
		{"a removed rule", func(f finder) {
			f.field(agentPkg, "ReportStateRequest", "state").Options = nil
		}, []specdiff.Change{
			{Path: "leoflow.agent.v1.ReportStateRequest.state [validate.rules].enum.defined_only", Old: "true"},
			{Path: "leoflow.agent.v1.ReportStateRequest.state [validate.rules].enum.not_in", Old: "[0]"},
		}},
		{"a rule within a rule", func(f finder) {
			f.rules(controlPkg, "TaskDefinition", "environment").GetMap().GetKeys().GetString_().MaxLen = proto.Uint64(9)
		}, []specdiff.Change{{
			Path: "leoflow.control.v1.TaskDefinition.environment [validate.rules].map.keys.string.max_len", Old: "250", New: "9",
		}}},
		{"an added rule", func(f finder) {
			options := &descriptorpb.FieldOptions{}
			proto.SetExtension(options, validate.E_Rules, &validate.FieldRules{
				Type: &validate.FieldRules_Bytes{Bytes: &validate.BytesRules{MaxLen: proto.Uint64(7)}},
			})
			f.field(agentPkg, "PushXComRequest", "value").Options = options
		}, []specdiff.Change{{Path: "leoflow.agent.v1.PushXComRequest.value [validate.rules].bytes.max_len", New: "7"}}},
		{"an empty rule", func(f finder) {
			options := &descriptorpb.FieldOptions{}
			proto.SetExtension(options, validate.E_Rules, &validate.FieldRules{})
			f.field(agentPkg, "PushXComRequest", "value").Options = options
		}, []specdiff.Change{{Path: "leoflow.agent.v1.PushXComRequest.value [validate.rules]", New: "{}"}}},
		{"a disabled message", func(f finder) {
			options := &descriptorpb.MessageOptions{}
			proto.SetExtension(options, validate.E_Disabled, true)
			f.message(agentPkg, "PushXComRequest").Options = options
		}, []specdiff.Change{{Path: "leoflow.agent.v1.PushXComRequest [validate.disabled]", New: "true"}}},
		{"an ignored message", func(f finder) {
			options := &descriptorpb.MessageOptions{}
			proto.SetExtension(options, validate.E_Ignored, true)
			f.message(agentPkg, "LogLine").Options = options
		}, []specdiff.Change{{Path: "leoflow.agent.v1.LogLine [validate.ignored]", New: "true"}}},
		{"a required oneof", func(f finder) {
			options := &descriptorpb.OneofOptions{}
			proto.SetExtension(options, validate.E_Required, true)
			f.message(agentPkg, "LogAck").OneofDecl = []*descriptorpb.OneofDescriptorProto{{Name: proto.String("either"), Options: options}}
		}, []specdiff.Change{{Path: "leoflow.agent.v1.LogAck.either [validate.required]", New: "true"}}},
		{"a changed scope", func(f finder) {
			f.policy("Register").Scope = policyv1.Scope_SCOPE_OPERATOR
		}, []specdiff.Change{{Path: registerPolicy + ".scope", Old: "SCOPE_AGENT", New: "SCOPE_OPERATOR"}}},
		{"a lower role", func(f finder) {
			f.policy("PutVariable").Role = policyv1.Role_ROLE_VIEWER
		}, []specdiff.Change{{
			Path: "leoflow.control.v1.ControlService.PutVariable [leoflow.policy.v1.method].role", Old: "ROLE_ADMIN", New: "ROLE_VIEWER",
		}}},
		{"other states", func(f finder) {
			f.policy("Register").EffectiveIn = f.policy("Register").EffectiveIn[:1]
		}, []specdiff.Change{{
			Path: registerPolicy + ".effective_in", Old: "[TASK_STATE_QUEUED, TASK_STATE_RUNNING]", New: "[TASK_STATE_QUEUED]",
		}}},
		{"a value that nobody knows", func(f finder) {
			f.policy("Register").Idempotency = 42
		}, []specdiff.Change{{Path: registerPolicy + ".idempotency", Old: "IDEMPOTENCY_IDEMPOTENT", New: "42"}}},
		{"a dropped policy", func(f finder) {
			f.method("GetTaskSpec").Options = nil
		}, []specdiff.Change{
			{Path: "leoflow.agent.v1.AgentService.GetTaskSpec [leoflow.policy.v1.method].confidentiality", Old: "CONFIDENTIALITY_ANY"},
			{Path: "leoflow.agent.v1.AgentService.GetTaskSpec [leoflow.policy.v1.method].idempotency", Old: "IDEMPOTENCY_READ_ONLY"},
			{Path: "leoflow.agent.v1.AgentService.GetTaskSpec [leoflow.policy.v1.method].rate", Old: "RATE_CLASS_WAITS"},
			{Path: "leoflow.agent.v1.AgentService.GetTaskSpec [leoflow.policy.v1.method].scope", Old: "SCOPE_AGENT"},
		}},
		{"a field no longer sensitive", func(f finder) {
			f.field(agentPkg, "HeartbeatResponse", "renewed_token").Options = nil
		}, []specdiff.Change{{Path: "leoflow.agent.v1.HeartbeatResponse.renewed_token [leoflow.policy.v1.sensitive]", Old: "true"}}},
		{"other next states", func(f finder) {
			p := proto.GetExtension(f.value(policyPkg, "TASK_STATE_RUNNING").GetOptions(), policyv1.E_State).(*policyv1.StatePolicy)
			p.Next = p.Next[:2]
		}, []specdiff.Change{{
			Path: "leoflow.policy.v1.TaskState.TASK_STATE_RUNNING [leoflow.policy.v1.state].next",
			Old:  "[TASK_STATE_SUCCESS, TASK_STATE_FAILED, TASK_STATE_SKIPPED]", New: "[TASK_STATE_SUCCESS, TASK_STATE_FAILED]",
		}}},
		{"a state reopened", func(f finder) {
			p := proto.GetExtension(f.value(agentPkg, "TASK_STATE_FAILED").GetOptions(), policyv1.E_State).(*policyv1.StatePolicy)
			p.Terminal = false
		}, []specdiff.Change{{Path: "leoflow.agent.v1.TaskState.TASK_STATE_FAILED [leoflow.policy.v1.state].terminal", Old: "true"}}},
		{"an option that is not linked in", func(f finder) {
			options := &descriptorpb.FieldOptions{}
			options.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 59999, protowire.VarintType), 1))
			f.field(agentPkg, "PushXComRequest", "value").Options = options
		}, []specdiff.Change{{Path: "leoflow.agent.v1.PushXComRequest.value [not linked in]", New: "f8a51d01"}}},
		{"an unknown word of an option", func(f finder) {
			f.policy("Register").ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 99, protowire.VarintType), 1))
		}, []specdiff.Change{{Path: registerPolicy + ".(unknown)", New: "980601"}}},
		{"a nested message's rule", func(f finder) {
			options := &descriptorpb.FieldOptions{}
			proto.SetExtension(options, policyv1.E_Sensitive, true)
			nested := &descriptorpb.DescriptorProto{
				Name:  proto.String("Inner"),
				Field: []*descriptorpb.FieldDescriptorProto{{Name: proto.String("f"), Options: options}},
			}
			m := f.message(agentPkg, "LogLine")
			m.NestedType = append(m.NestedType, nested)
		}, []specdiff.Change{{Path: "leoflow.agent.v1.LogLine.Inner.f [leoflow.policy.v1.sensitive]", New: "true"}}},
		{"what is no option of ours", func(f finder) {
			f.method("Heartbeat").GetOptions().Deprecated = proto.Bool(true)
			f.message(agentPkg, "LogLine").Field = nil
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := registered(t)
			after := proto.CloneOf(before)
			c.plant(finder{t, after})
			if diff := cmp.Diff(c.want, specdiff.Compare(before, after)); diff != "" {
				t.Errorf("changes (-want +got):\n%s", diff)
			}
			reverse := specdiff.Compare(after, before)
			for i := range reverse {
				reverse[i].Old, reverse[i].New = reverse[i].New, reverse[i].Old
			}
			if diff := cmp.Diff(c.want, reverse); diff != "" {
				t.Errorf("changes the other way round (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCompareOfARemovedFileListsItsOptions(t *testing.T) {
	before := registered(t)
	after := &descriptorpb.FileDescriptorSet{}
	for _, file := range before.GetFile() {
		if file.GetPackage() != controlPkg {
			after.File = append(after.File, file)
		}
	}
	changes := specdiff.Compare(before, after)
	if len(changes) == 0 {
		t.Fatal("nothing was reported")
	}
	for _, c := range changes {
		if !strings.HasPrefix(c.Path, controlPkg+".") || c.Old == "" || c.New != "" {
			t.Errorf("reported %v", c)
		}
	}
}

func TestChangeReadsWell(t *testing.T) {
	for want, c := range map[string]specdiff.Change{
		"a [b].c: 1 → 2":      {Path: "a [b].c", Old: "1", New: "2"},
		"a [b].c: (none) → 2": {Path: "a [b].c", New: "2"},
		"a [b].c: 1 → (none)": {Path: "a [b].c", Old: "1"},
	} {
		if got := c.String(); got != want {
			t.Errorf("String() = %q, want %q", got, want)
		}
	}
}
