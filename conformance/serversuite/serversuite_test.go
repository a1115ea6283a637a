package serversuite

import (
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"

	"github.com/neochaotic/leoflow/conformance/catalogue"
	"github.com/neochaotic/leoflow/conformance/suite"
)

func all(t *testing.T) (*catalogue.Catalogue, []suite.Check) {
	t.Helper()
	rules, err := catalogue.ReadFile("../rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return rules, Checks(&Target{Capabilities: &conformancev1.GetCapabilitiesResponse{}})
}

func TestTheChecksAreOfRulesThatBindServers(t *testing.T) {
	rules, checks := all(t)
	if err := suite.Validate(rules, checks); err != nil {
		t.Fatal(err)
	}
	for _, c := range checks {
		if rule, err := rules.Rule(c.Rule); err != nil || rule.Side != catalogue.Server {
			t.Errorf("%s is of a rule for %s: %v", c.ID, rule.Side, err)
		}
	}
}

// TestEveryRPCIsExercised holds that a new RPC is tried: without its right call none of
// the checks of any RPC could begin.
func TestEveryRPCIsExercised(t *testing.T) {
	rpcs := agentRPCs()
	if len(rpcs) == 0 || len(controlRPCs()) == 0 {
		t.Fatal("the services have no RPCs")
	}
	for _, rpc := range rpcs {
		e, ok := exercises[rpc]
		if !ok || e.request == nil || e.shows == nil {
			t.Errorf("%s has no exercise: say how it is called rightly", rpc)
		}
		if e.invalid != nil {
			request, field := e.invalid()
			if v, ok := request.(interface{ ValidateAll() error }); !ok || v.ValidateAll() == nil || field == "" {
				t.Errorf("%s: {%v} is not invalid, or no field is named", rpc, request)
			}
		}
	}
}

// concerns are what each RPC is judged in, and by which rules: each of them for RPCs of
// agents, and of operators. What an RPC of operators does to states is seen where it is
// shown to change its own tenant, and no other (ISO-1).
var concerns = []struct {
	word              string
	agents, operators []string
}{
	{"auth", []string{"AUTH-1", "AUTH-2", "AUTH-3", "AUTH-4", "AUTH-5", "AUTH-7"}, []string{"AUTH-1", "AUTH-2", "AUTH-7", "AUTH-11"}},
	{"isolation", []string{"ISO-1", "ISO-2", "ISO-3", "ISO-4"}, []string{"ISO-1", "ISO-4"}},
	{"state", []string{"ISO-4"}, []string{"ISO-1"}},
	{"validation", []string{"ERR-4"}, []string{"ERR-4"}},
	{"limits", []string{"LIMIT-1"}, []string{"LIMIT-1"}},
	{"errors", []string{"ERR-1", "ERR-2"}, []string{"ERR-1", "ERR-2"}},
}

// doing are the families of rules about what an RPC of agents does in each state of its
// attempt.
var doing = []string{"REG", "SPEC", "STATE", "BEAT", "XCOM", "LOG", "SECRET"}

// TestEveryRPCHasChecksOfEveryConcern holds the matrix: a new RPC of agents or operators
// fails it until there are checks of who calls it, whose data it touches, what it does in
// which state, what it takes and refuses, and what bounds it.
func TestEveryRPCHasChecksOfEveryConcern(t *testing.T) {
	_, checks := all(t)
	cells := map[string]int{}
	for _, c := range checks {
		for _, rpc := range c.RPCs {
			cells[c.Rule+" "+string(rpc)]++
			cells[catalogue.Rule{ID: c.Rule}.Family()+" "+string(rpc)]++
		}
	}
	want := func(concern, rule string, rpc catalogue.RPC) {
		if cells[rule+" "+string(rpc)] == 0 {
			t.Errorf("%s: no check of %s tries %s", concern, rule, rpc)
		}
	}
	for _, concern := range concerns {
		for _, rpc := range agentRPCs() {
			for _, rule := range concern.agents {
				want(concern.word, rule, rpc)
			}
		}
		for _, rpc := range controlRPCs() {
			for _, rule := range concern.operators {
				want(concern.word, rule, rpc)
			}
		}
	}
	for _, rpc := range agentRPCs() {
		if !slices.ContainsFunc(doing, func(family string) bool { return cells[family+" "+string(rpc)] > 0 }) {
			t.Errorf("state: no check of %v tries %s", doing, rpc)
		}
	}
	for _, rpc := range append(agentRPCs(), controlRPCs()...) {
		if validated(method(rpc).Input()) {
			want("validation", "ERR-3", rpc)
			want("validation", "AUTH-5", rpc)
		}
	}
}

// validated reports whether some request of a type may be invalid.
func validated(d protoreflect.MessageDescriptor) bool {
	for i := range d.Fields().Len() {
		found := false
		d.Fields().Get(i).Options().ProtoReflect().Range(func(option protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
			found = option.FullName() == "validate.rules"
			return !found
		})
		if found {
			return true
		}
	}
	return false
}

// TestEveryOperationIsValid holds that a new RPC of operators is called with a request
// that validation lets through.
func TestEveryOperationIsValid(t *testing.T) {
	w := &world{dag: "dag", run: "run"}
	for _, rpc := range controlRPCs() {
		for _, request := range []proto.Message{w.operation(rpc), w.furnished(rpc)} {
			v, ok := request.(interface{ ValidateAll() error })
			if !ok || v.ValidateAll() != nil {
				t.Errorf("%s: {%v} is not valid", rpc, request)
			}
		}
	}
}
