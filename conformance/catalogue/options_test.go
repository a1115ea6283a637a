package catalogue

import (
	"os"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	policyv1 "github.com/neochaotic/leoflow/gen/leoflow/policy/v1"
)

func TestEveryOptionOfTheProtosIsARule(t *testing.T) {
	said := map[string]bool{}
	for _, r := range load(t).Rules(Filter{}) {
		for _, option := range r.Options {
			said[option] = true
		}
	}
	for _, option := range options() {
		if !said[option] {
			t.Errorf("no rule says what the option %s says", option)
		}
	}
	for _, option := range []string{"MethodPolicy.scope", "MethodPolicy.role", "StatePolicy.terminal", "sensitive"} {
		if !slices.Contains(options(), option) {
			t.Errorf("the option %s was not found: %v", option, options())
		}
	}
}

// TestWhatAnRPCRequiresIsARuleAboutIt holds that each requirement in an agent RPC's
// policy stands in a rule that names the RPC, so that a new RPC has its rules; and, of
// the RPCs of operators, those that say who may call, and over what.
func TestWhatAnRPCRequiresIsARuleAboutIt(t *testing.T) {
	c := load(t)
	for _, service := range services() {
		for i := range service.Methods().Len() {
			method := service.Methods().Get(i)
			rpc := rpcsOf(service)[i]
			for _, option := range required(t, method) {
				about := func(r Rule) bool { return r.Concerns(rpc) && slices.Contains(r.Options, option) }
				if !slices.ContainsFunc(c.Rules(Filter{Side: Server}), about) {
					t.Errorf("%s: no rule with the option %s names it", rpc, option)
				}
			}
		}
	}
}

// required are the options by which a method requires something of its caller.
func required(t *testing.T, method protoreflect.MethodDescriptor) []string {
	t.Helper()
	policy, ok := proto.GetExtension(method.Options(), policyv1.E_Method).(*policyv1.MethodPolicy)
	if !ok || policy.GetScope() == policyv1.Scope_SCOPE_UNSPECIFIED {
		t.Fatalf("%s has no policy", method.FullName())
	}
	var out []string
	policy.ProtoReflect().Range(func(field protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		out = append(out, "MethodPolicy."+string(field.Name()))
		return true
	})
	everywhere := []string{"MethodPolicy.scope", "MethodPolicy.role", "MethodPolicy.confidentiality"}
	return slices.DeleteFunc(out, func(option string) bool {
		switch {
		case option == "MethodPolicy.confidentiality" && policy.GetConfidentiality() == policyv1.Confidentiality_CONFIDENTIALITY_ANY:
			return true
		case policy.GetScope() == policyv1.Scope_SCOPE_OPERATOR:
			return !slices.Contains(everywhere, option)
		}
		return false
	})
}

// TestSecret1TheRuleNamesTheConfidentialRPCsAndNoOthers holds the rule's list and the protos equal.
func TestSecret1TheRuleNamesTheConfidentialRPCsAndNoOthers(t *testing.T) {
	rule, err := load(t).Rule("SECRET-1")
	if err != nil {
		t.Fatal(err)
	}
	for _, service := range services() {
		for i := range service.Methods().Len() {
			confidential := slices.Contains(required(t, service.Methods().Get(i)), "MethodPolicy.confidentiality")
			if rpc := rpcsOf(service)[i]; rule.Concerns(rpc) != confidential {
				t.Errorf("%s: named by %s: %v; confidential: %v", rpc, rule.ID, !confidential, confidential)
			}
		}
	}
}

// TestEveryRPCHasRulesOfEveryConcern holds that a new RPC is one of which the rules say
// who calls, whose data it touches, how it fails, and what bounds it.
func TestEveryRPCHasRulesOfEveryConcern(t *testing.T) {
	c := load(t)
	for _, rpc := range RPCs() {
		for _, family := range []string{"AUTH", "ISO", "ERR", "LIMIT"} {
			if len(c.Rules(Filter{Family: family, RPC: rpc, Level: Must})) == 0 {
				t.Errorf("no rule of %s that must be kept names %s", family, rpc)
			}
		}
	}
	agent := rpcsOf(services()[0])
	for _, rpc := range agent {
		own := slices.DeleteFunc(c.Rules(Filter{Side: Server, RPC: rpc}), func(r Rule) bool { return len(r.RPCs) >= len(agent) })
		if len(own) == 0 {
			t.Errorf("no rule of a server is about %s in particular", rpc)
		}
		if len(c.Rules(Filter{Side: Agent, RPC: rpc})) == 0 {
			t.Errorf("no rule of an agent names %s", rpc)
		}
	}
}

func TestTheRulesPageIsNotStale(t *testing.T) {
	page, err := os.ReadFile(root + "/docs/rules.md")
	if err != nil {
		t.Fatal(err)
	}
	if string(page) != load(t).Markdown() {
		t.Error("docs/rules.md is not what the catalogue says: run make generate")
	}
}
