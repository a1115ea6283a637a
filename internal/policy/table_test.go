package policy_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/policy"
)

func load(t testing.TB) *policy.Table {
	t.Helper()
	table, err := policy.Load(agentv1.File_leoflow_agent_v1_agent_proto, controlv1.File_leoflow_control_v1_control_proto)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func TestLoadBothServices(t *testing.T) {
	table := load(t)
	want := len(agentv1.AgentService_ServiceDesc.Methods) + len(agentv1.AgentService_ServiceDesc.Streams) +
		len(controlv1.ControlService_ServiceDesc.Methods) + len(controlv1.ControlService_ServiceDesc.Streams)
	if got := len(table.Methods()); got != want {
		t.Errorf("%d methods loaded, the services have %d", got, want)
	}
	for _, m := range table.Methods() {
		want := policy.ScopeOperator
		if strings.HasPrefix(m.FullMethod, "/leoflow.agent.v1.AgentService/") {
			want = policy.ScopeAgent
		}
		if m.Scope != want {
			t.Errorf("%s has the scope %v, want %v", m.FullMethod, m.Scope, want)
		}
		got, ok := table.Method(m.FullMethod)
		if diff := cmp.Diff(m, got); !ok || diff != "" {
			t.Errorf("Method(%q) = %v\n%s", m.FullMethod, ok, diff)
		}
	}
}

func TestMethodIsReadWhole(t *testing.T) {
	table := load(t)
	live := []domain.TaskState{domain.TaskStateQueued, domain.TaskStateRunning}
	for _, want := range []policy.Method{
		{
			FullMethod: agentv1.AgentService_StreamLogs_FullMethodName, Scope: policy.ScopeAgent,
			Idempotency: policy.Idempotent, EffectiveIn: live, StreamCheck: policy.CheckEachCommit,
			Grace: 5 * time.Minute, Rate: policy.Paced, ClientStreaming: true, ServerStreaming: true,
		},
		{
			FullMethod: agentv1.AgentService_GetVariables_FullMethodName, Scope: policy.ScopeAgent,
			Confidential: true, Idempotency: policy.ReadOnly, EffectiveIn: live, Rate: policy.Waits,
		},
		{
			FullMethod: agentv1.AgentService_GetTaskSpec_FullMethodName, Scope: policy.ScopeAgent,
			Idempotency: policy.ReadOnly, Rate: policy.Waits,
		},
		{
			FullMethod: controlv1.ControlService_SettleTask_FullMethodName, Scope: policy.ScopeOperator,
			Role: "operator", Idempotency: policy.Idempotent,
			EffectiveIn: []domain.TaskState{domain.TaskStateNone, domain.TaskStateScheduled, domain.TaskStateUpForRetry},
		},
		{
			FullMethod: controlv1.ControlService_ReadLog_FullMethodName, Scope: policy.ScopeOperator,
			Role: "viewer", Idempotency: policy.ReadOnly, ServerStreaming: true,
		},
		{
			FullMethod: controlv1.ControlService_PutConnection_FullMethodName, Scope: policy.ScopeOperator,
			Role: "admin", Confidential: true, Idempotency: policy.Idempotent,
		},
	} {
		got, ok := table.Method(want.FullMethod)
		if diff := cmp.Diff(want, got); !ok || diff != "" {
			t.Errorf("Method(%q) = %v (-want +got):\n%s", want.FullMethod, ok, diff)
		}
	}
}

func TestUnknownMethodHasNoPolicy(t *testing.T) {
	table := load(t)
	for _, name := range []string{
		"", "/", "/leoflow.agent.v1.AgentService/", "/leoflow.agent.v1.AgentService/Nothing",
		"leoflow.agent.v1.AgentService/Register", "/leoflow.agent.v1.AgentService/register",
		"/grpc.health.v1.Health/Check",
	} {
		if m, ok := table.Method(name); ok {
			t.Errorf("Method(%q) = %+v, want none", name, m)
		}
	}
}

func TestAuth7AgentMethodsTakeNoRole(t *testing.T) {
	for _, m := range load(t).Methods() {
		if (m.Scope == policy.ScopeAgent) != (m.Role == policy.NoRole) {
			t.Errorf("%s: scope %v with role %q", m.FullMethod, m.Scope, m.Role)
		}
	}
}

func TestSecret1WhatCarriesSecretsIsConfidential(t *testing.T) {
	confidential := map[string]bool{}
	for _, m := range load(t).Methods() {
		if m.Confidential {
			confidential[m.FullMethod] = true
		}
	}
	want := map[string]bool{
		agentv1.AgentService_GetVariables_FullMethodName:      true,
		agentv1.AgentService_GetConnections_FullMethodName:    true,
		controlv1.ControlService_PutVariable_FullMethodName:   true,
		controlv1.ControlService_PutConnection_FullMethodName: true,
	}
	if diff := cmp.Diff(want, confidential); diff != "" {
		t.Errorf("confidential methods (-want +got):\n%s", diff)
	}
}

// TestLimit2WhatMayBeRefusedForRate holds that nothing else is: agents in the field do not
// try again.
func TestLimit2WhatMayBeRefusedForRate(t *testing.T) {
	want := map[string]policy.RateClass{
		agentv1.AgentService_Register_FullMethodName:       policy.Waits,
		agentv1.AgentService_GetTaskSpec_FullMethodName:    policy.Waits,
		agentv1.AgentService_FetchXCom_FullMethodName:      policy.Waits,
		agentv1.AgentService_GetVariables_FullMethodName:   policy.Waits,
		agentv1.AgentService_GetConnections_FullMethodName: policy.Waits,
		agentv1.AgentService_StreamLogs_FullMethodName:     policy.Paced,
		agentv1.AgentService_Heartbeat_FullMethodName:      policy.Paced,
		agentv1.AgentService_ReportState_FullMethodName:    policy.Paced,
		agentv1.AgentService_PushXCom_FullMethodName:       policy.Refused,
	}
	got := map[string]policy.RateClass{}
	for _, m := range load(t).Methods() {
		if m.Rate != policy.NoRate {
			got[m.FullMethod] = m.Rate
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("classes of rate (-want +got):\n%s", diff)
	}
}

func TestLog9GraceEqualsTheDomains(t *testing.T) {
	m, _ := load(t).Method(agentv1.AgentService_StreamLogs_FullMethodName)
	if m.Grace != domain.LogGrace {
		t.Errorf("StreamLogs has a grace of %v, the domain one of %v", m.Grace, domain.LogGrace)
	}
}

func TestEffectiveInAgentMethodsAreLiveStates(t *testing.T) {
	for _, m := range load(t).Methods() {
		for _, s := range m.EffectiveIn {
			if m.Scope == policy.ScopeAgent && !s.Live() || s.Terminal() {
				t.Errorf("%s is effective in %s", m.FullMethod, s)
			}
		}
	}
}

func TestMethodsGivesAwayACopy(t *testing.T) {
	table := load(t)
	for _, m := range table.Methods() {
		for i := range m.EffectiveIn {
			m.EffectiveIn[i] = "spoiled"
		}
	}
	for _, m := range table.Methods() {
		for _, s := range m.EffectiveIn {
			if !s.Valid() {
				t.Fatalf("%s changed through a copy: %v", m.FullMethod, m.EffectiveIn)
			}
		}
	}
}

func TestLookupAllocatesNothing(t *testing.T) {
	table := load(t)
	if n := testing.AllocsPerRun(100, func() { table.Method(agentv1.AgentService_Heartbeat_FullMethodName) }); n != 0 {
		t.Errorf("a lookup allocates %v times", n)
	}
}

func BenchmarkLookup(b *testing.B) {
	table := load(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := table.Method(agentv1.AgentService_Heartbeat_FullMethodName); !ok {
			b.Fatal("no policy")
		}
	}
}
