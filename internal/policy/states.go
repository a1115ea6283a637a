package policy

import (
	"strings"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	policyv1 "github.com/neochaotic/leoflow/gen/leoflow/policy/v1"
	"github.com/neochaotic/leoflow/internal/domain"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// The words of the two state enums, read off their descriptors once.
var (
	stateOfProto = readStates()
	protoOfState = invert(stateOfProto)
	stateOfAgent = readAgentStates()
)

// StateFromProto returns the state that a value of leoflow.policy.v1.TaskState
// means; false for UNSPECIFIED and unknown numbers.
func StateFromProto(s policyv1.TaskState) (domain.TaskState, bool) {
	state, ok := stateOfProto[s]
	return state, ok
}

// StateToProto returns the value of leoflow.policy.v1.TaskState that means s, and
// UNSPECIFIED for what is not a state.
func StateToProto(s domain.TaskState) policyv1.TaskState { return protoOfState[s] }

// StateFromAgent returns the state that an agent reports with s; false for
// UNSPECIFIED and unknown numbers, which are no reports (STATE-1).
func StateFromAgent(s agentv1.TaskState) (domain.TaskState, bool) {
	state, ok := stateOfAgent[s]
	return state, ok
}

// readStates maps TASK_STATE_X to "x", where that is a state of the domain.
func readStates() map[policyv1.TaskState]domain.TaskState {
	out := map[policyv1.TaskState]domain.TaskState{}
	values := policyv1.TaskState(0).Descriptor().Values()
	for i := range values.Len() {
		value := values.Get(i)
		name := strings.TrimPrefix(string(value.Name()), "TASK_STATE_")
		if state := domain.TaskState(strings.ToLower(name)); state.Valid() {
			out[policyv1.TaskState(value.Number())] = state
		}
	}
	return out
}

// readAgentStates reads what each value says that it stands for.
func readAgentStates() map[agentv1.TaskState]domain.TaskState {
	out := map[agentv1.TaskState]domain.TaskState{}
	values := agentv1.TaskState(0).Descriptor().Values()
	for i := range values.Len() {
		value := values.Get(i)
		if state, ok := StateFromProto(statePolicy(value).GetState()); ok {
			out[agentv1.TaskState(value.Number())] = state
		}
	}
	return out
}

// statePolicy returns the state option of an enum value; nil where it has none.
func statePolicy(value protoreflect.EnumValueDescriptor) *policyv1.StatePolicy {
	options := value.Options()
	if !proto.HasExtension(options, policyv1.E_State) {
		return nil
	}
	p, _ := proto.GetExtension(options, policyv1.E_State).(*policyv1.StatePolicy)
	return p
}

func invert[K, V comparable](m map[K]V) map[V]K {
	out := make(map[V]K, len(m))
	for k, v := range m {
		out[v] = k
	}
	return out
}
