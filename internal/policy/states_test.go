package policy_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	policyv1 "github.com/neochaotic/leoflow/gen/leoflow/policy/v1"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/policy"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// row is one state of a table, as an enum option or the domain gives it.
type row struct {
	State    domain.TaskState
	Terminal bool
	Next     []domain.TaskState
}

func domainRow(s domain.TaskState) row {
	return row{State: s, Terminal: s.Terminal(), Next: s.Next()}
}

// published reads the state options of an enum. of says what a value itself means.
func published(t *testing.T, enum protoreflect.EnumDescriptor, of func(protoreflect.EnumNumber, *policyv1.StatePolicy) domain.TaskState) []row {
	t.Helper()
	var rows []row
	values := enum.Values()
	for i := range values.Len() {
		value := values.Get(i)
		if value.Number() == 0 {
			if proto.HasExtension(value.Options(), policyv1.E_State) {
				t.Errorf("%s has a state option", value.FullName())
			}
			continue
		}
		if !proto.HasExtension(value.Options(), policyv1.E_State) {
			t.Errorf("%s has no state option", value.FullName())
			continue
		}
		p := proto.GetExtension(value.Options(), policyv1.E_State).(*policyv1.StatePolicy)
		r := row{State: of(value.Number(), p), Terminal: p.GetTerminal()}
		for _, n := range p.GetNext() {
			next, ok := policy.StateFromProto(n)
			if !ok {
				t.Errorf("%s may become %v, which is not a state", value.FullName(), n)
			}
			r.Next = append(r.Next, next)
		}
		rows = append(rows, r)
	}
	return rows
}

func TestState9TheSpecPublishesTheTable(t *testing.T) {
	got := published(t, policyv1.TaskState(0).Descriptor(), func(n protoreflect.EnumNumber, p *policyv1.StatePolicy) domain.TaskState {
		if p.GetState() != 0 {
			t.Errorf("value %d stands for itself, and names %v", n, p.GetState())
		}
		s, _ := policy.StateFromProto(policyv1.TaskState(n))
		return s
	})
	var want []row
	for _, s := range domain.States() {
		want = append(want, domainRow(s))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the options of leoflow.policy.v1.TaskState differ from the domain (-domain +spec):\n%s", diff)
	}
}

func TestState1TheAgentsStatesAreTheReportableOnes(t *testing.T) {
	got := published(t, agentv1.TaskState(0).Descriptor(), func(n protoreflect.EnumNumber, _ *policyv1.StatePolicy) domain.TaskState {
		s, _ := policy.StateFromAgent(agentv1.TaskState(n))
		return s
	})
	var want []row
	for _, s := range domain.States() {
		if s.Reportable() {
			want = append(want, domainRow(s))
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the options of leoflow.agent.v1.TaskState differ from the domain (-domain +spec):\n%s", diff)
	}
}

func TestState1WhatIsNoReportIsNoState(t *testing.T) {
	for _, s := range []agentv1.TaskState{agentv1.TaskState_TASK_STATE_UNSPECIFIED, 5, 99, -1} {
		if got, ok := policy.StateFromAgent(s); ok || got != "" {
			t.Errorf("StateFromAgent(%d) = %q, %v", s, got, ok)
		}
	}
	for _, s := range []policyv1.TaskState{policyv1.TaskState_TASK_STATE_UNSPECIFIED, 10, 99, -1} {
		if got, ok := policy.StateFromProto(s); ok || got != "" {
			t.Errorf("StateFromProto(%d) = %q, %v", s, got, ok)
		}
	}
}

func TestStateConversionsLoseNothing(t *testing.T) {
	for _, s := range domain.States() {
		p := policy.StateToProto(s)
		if back, ok := policy.StateFromProto(p); !ok || back != s {
			t.Errorf("%s became %v and came back as %q", s, p, back)
		}
	}
	for _, s := range []domain.TaskState{"", "RUNNING", "lost"} {
		if got := policy.StateToProto(s); got != policyv1.TaskState_TASK_STATE_UNSPECIFIED {
			t.Errorf("StateToProto(%q) = %v", s, got)
		}
	}
}
