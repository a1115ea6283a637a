package policy_test

import (
	"strings"
	"testing"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	policyv1 "github.com/neochaotic/leoflow/gen/leoflow/policy/v1"
	"github.com/neochaotic/leoflow/internal/policy"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	_ "google.golang.org/protobuf/types/known/emptypb" // links google.protobuf.Empty in
)

// planted returns a copy of file in which plant has changed one method.
func planted(t *testing.T, file protoreflect.FileDescriptor, method string, plant func(*descriptorpb.MethodDescriptorProto)) protoreflect.FileDescriptor {
	t.Helper()
	fdp := protodesc.ToFileDescriptorProto(file)
	for _, m := range fdp.GetService()[0].GetMethod() {
		if m.GetName() == method {
			plant(m)
		}
	}
	return build(t, fdp)
}

func build(t *testing.T, fdp *descriptorpb.FileDescriptorProto) protoreflect.FileDescriptor {
	t.Helper()
	file, err := protodesc.NewFile(fdp, protoregistry.GlobalFiles)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// edit returns a plant that changes the method's policy.
func edit(change func(*policyv1.MethodPolicy)) func(*descriptorpb.MethodDescriptorProto) {
	return func(m *descriptorpb.MethodDescriptorProto) {
		p := proto.CloneOf(proto.GetExtension(m.GetOptions(), policyv1.E_Method).(*policyv1.MethodPolicy))
		change(p)
		proto.SetExtension(m.GetOptions(), policyv1.E_Method, p)
	}
}

func TestLoadRefusesAnIncompletePolicy(t *testing.T) {
	agent, control := agentv1.File_leoflow_agent_v1_agent_proto, controlv1.File_leoflow_control_v1_control_proto
	for _, c := range []struct {
		name   string
		file   protoreflect.FileDescriptor
		method string
		plant  func(*descriptorpb.MethodDescriptorProto)
		want   string
	}{
		{"none", agent, "Register", func(m *descriptorpb.MethodDescriptorProto) { m.Options = nil }, "has no policy"},
		{"empty", agent, "Register", edit(func(p *policyv1.MethodPolicy) { proto.Reset(p) }), "scope is not specified"},
		{"no scope", agent, "Heartbeat", edit(func(p *policyv1.MethodPolicy) { p.Scope = 0 }), "scope is not specified"},
		{"unknown scope", agent, "Heartbeat", edit(func(p *policyv1.MethodPolicy) { p.Scope = 99 }), "scope has the unknown value 99"},
		{"no confidentiality", agent, "GetVariables", edit(func(p *policyv1.MethodPolicy) { p.Confidentiality = 0 }), "confidentiality is not specified"},
		{"unknown confidentiality", agent, "GetVariables", edit(func(p *policyv1.MethodPolicy) { p.Confidentiality = -1 }), "confidentiality has the unknown value -1"},
		{"no idempotency", agent, "PushXCom", edit(func(p *policyv1.MethodPolicy) { p.Idempotency = 0 }), "idempotency is not specified"},
		{"agent with role", agent, "PushXCom", edit(func(p *policyv1.MethodPolicy) { p.Role = policyv1.Role_ROLE_ADMIN }), "the agent scope has no roles"},
		{"operator without role", control, "CreateRun", edit(func(p *policyv1.MethodPolicy) { p.Role = 0 }), "the operator scope needs a role"},
		{"unknown role", control, "CreateRun", edit(func(p *policyv1.MethodPolicy) { p.Role = 77 }), "role has the unknown value 77"},
		{"agent without rate", agent, "Heartbeat", edit(func(p *policyv1.MethodPolicy) { p.Rate = 0 }), "the agent scope needs a rate"},
		{"operator with rate", control, "CreateRun", edit(func(p *policyv1.MethodPolicy) { p.Rate = 1 }), "the operator scope has no rates, but it names RATE_CLASS_PACED"},
		{"unknown rate", agent, "Heartbeat", edit(func(p *policyv1.MethodPolicy) { p.Rate = 44 }), "rate has the unknown value 44"},
		{"stream without check", agent, "StreamLogs", edit(func(p *policyv1.MethodPolicy) { p.StreamCheck = 0 }), "needs a stream_check"},
		{"unknown check", agent, "StreamLogs", edit(func(p *policyv1.MethodPolicy) { p.StreamCheck = 9 }), "stream_check has the unknown value 9"},
		{"check without stream", agent, "Heartbeat", edit(func(p *policyv1.MethodPolicy) { p.StreamCheck = 1 }), "stream_check is only for a stream"},
		{"check of nothing", agent, "StreamLogs", edit(func(p *policyv1.MethodPolicy) { p.EffectiveIn = nil }), "stream_check is only for a stream"},
		{"grace without stream", agent, "ReportState", edit(func(p *policyv1.MethodPolicy) { p.GraceSeconds = 1 }), "grace_seconds is only for a stream"},
		{"grace of nothing", control, "WatchRun", edit(func(p *policyv1.MethodPolicy) { p.GraceSeconds = 1 }), "grace_seconds is only for a stream"},
		{"negative grace", agent, "StreamLogs", edit(func(p *policyv1.MethodPolicy) { p.GraceSeconds = -1 }), "grace_seconds is negative"},
		{"no state", agent, "ReportState", edit(func(p *policyv1.MethodPolicy) { p.EffectiveIn[0] = 0 }), "TASK_STATE_UNSPECIFIED, which is not a state"},
		{"unknown state", agent, "ReportState", edit(func(p *policyv1.MethodPolicy) { p.EffectiveIn[0] = 55 }), "55, which is not a state"},
		{"settled state", control, "SettleAttempt", edit(func(p *policyv1.MethodPolicy) {
			p.EffectiveIn[0] = policyv1.TaskState_TASK_STATE_SUCCESS
		}), "success, in which everything is settled"},
		{"state without agent", agent, "ReportState", edit(func(p *policyv1.MethodPolicy) {
			p.EffectiveIn[0] = policyv1.TaskState_TASK_STATE_NONE
		}), "none, in which no agent is at work"},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := planted(t, c.file, c.method, c.plant)
			table, err := policy.Load(file)
			if err == nil || table != nil {
				t.Fatalf("Load = %v, %v; want an error alone", table, err)
			}
			name := "/" + string(c.file.Services().Get(0).FullName()) + "/" + c.method
			if !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the error names not both %s and %q: %v", name, c.want, err)
			}
		})
	}
}

// foreign is a service of our making, complete but for its request types.
func foreign(t *testing.T) protoreflect.FileDescriptor {
	t.Helper()
	options := &descriptorpb.MethodOptions{}
	proto.SetExtension(options, policyv1.E_Method, &policyv1.MethodPolicy{
		Scope:           policyv1.Scope_SCOPE_AGENT,
		Confidentiality: policyv1.Confidentiality_CONFIDENTIALITY_ANY,
		Idempotency:     policyv1.Idempotency_IDEMPOTENCY_READ_ONLY,
		Rate:            policyv1.RateClass_RATE_CLASS_PACED,
	})
	return build(t, &descriptorpb.FileDescriptorProto{
		Syntax:     proto.String("proto3"),
		Name:       proto.String("foreign.proto"),
		Package:    proto.String("foreign.v1"),
		Dependency: []string{"google/protobuf/empty.proto"},
		MessageType: []*descriptorpb.DescriptorProto{
			{Name: proto.String("NotLinkedRequest")},
		},
		Service: []*descriptorpb.ServiceDescriptorProto{{
			Name: proto.String("ForeignService"),
			Method: []*descriptorpb.MethodDescriptorProto{
				{
					Name: proto.String("Plain"), Options: options,
					InputType: proto.String(".google.protobuf.Empty"), OutputType: proto.String(".google.protobuf.Empty"),
				},
				{
					Name: proto.String("NotLinked"), Options: options,
					InputType: proto.String(".foreign.v1.NotLinkedRequest"), OutputType: proto.String(".google.protobuf.Empty"),
				},
			},
		}},
	})
}

func TestLoadRefusesAnUnvalidatableRequest(t *testing.T) {
	_, err := policy.Load(foreign(t))
	if err == nil {
		t.Fatal("Load accepted requests that nothing validates")
	}
	for _, want := range []string{
		"/foreign.v1.ForeignService/Plain: its request type google.protobuf.Empty has no ValidateAll",
		"/foreign.v1.ForeignService/NotLinked: its request type foreign.v1.NotLinkedRequest is not linked in",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %q: %v", want, err)
		}
	}
}

func TestLoadNamesEveryFaultAtOnce(t *testing.T) {
	agent := planted(t, agentv1.File_leoflow_agent_v1_agent_proto, "Register",
		edit(func(p *policyv1.MethodPolicy) { p.Scope, p.Idempotency = 0, 0 }))
	control := planted(t, controlv1.File_leoflow_control_v1_control_proto, "ReadLog",
		func(m *descriptorpb.MethodDescriptorProto) { m.Options = nil })
	_, err := policy.Load(agent, control, foreign(t))
	if err == nil {
		t.Fatal("Load accepted five faults")
	}
	if got := strings.Split(err.Error(), "\n"); len(got) != 5 {
		t.Errorf("%d faults are named, want 5:\n%v", len(got), err)
	}
}

func TestLoadRefusesNothingAtAll(t *testing.T) {
	if _, err := policy.Load(); err == nil {
		t.Error("Load of nothing succeeded")
	}
	if _, err := policy.Load(policyv1.File_leoflow_policy_v1_policy_proto); err == nil {
		t.Error("Load of a file without a service succeeded")
	}
}
