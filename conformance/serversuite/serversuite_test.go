package serversuite

import (
	"testing"

	"google.golang.org/protobuf/proto"

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

// TestEveryRPCHasChecksOfEveryConcern holds the matrix: each RPC of agents is judged in
// who calls, whose data it touches, how it fails and what bounds it.
func TestEveryRPCHasChecksOfEveryConcern(t *testing.T) {
	_, checks := all(t)
	cells := map[string]int{}
	for _, c := range checks {
		for _, rpc := range c.RPCs {
			cells[c.Rule+" "+string(rpc)]++
		}
	}
	for _, rpc := range agentRPCs() {
		for _, rule := range []string{"AUTH-1", "AUTH-2", "AUTH-3", "AUTH-4", "AUTH-5", "AUTH-7", "ISO-1", "ISO-2", "ISO-3", "ISO-4", "ERR-1", "ERR-2", "ERR-4", "LIMIT-1"} {
			if cells[rule+" "+string(rpc)] == 0 {
				t.Errorf("no check of %s tries %s", rule, rpc)
			}
		}
	}
	for _, rpc := range controlRPCs() {
		for _, rule := range []string{"AUTH-7", "ISO-1", "ISO-4", "ERR-1", "ERR-2"} {
			if cells[rule+" "+string(rpc)] == 0 {
				t.Errorf("no check of %s tries %s", rule, rpc)
			}
		}
	}
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
