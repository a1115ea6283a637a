package serversuite

import (
	"maps"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"

	"github.com/neochaotic/leoflow/conformance/catalogue"
	"github.com/neochaotic/leoflow/conformance/suite"
)

// secretRPCs return secrets.
var secretRPCs = []catalogue.RPC{getVariables, getConnections}

// secretsOf are the names of what a reply delivers, and their values.
func secretsOf(reply proto.Message) map[string]string {
	switch reply := reply.(type) {
	case *agentv1.GetVariablesResponse:
		return reply.GetVariables()
	case *agentv1.GetConnectionsResponse:
		return reply.GetConnectionUris()
	}
	return nil
}

// delivered asks for secrets, which must come.
func (a *attempt) delivered(rpc catalogue.RPC) map[string]string {
	reply, err := a.w.call(rpc, a.as(), exercises[rpc].request(a.w, 1))
	a.w.wantCode(err, codes.OK, rpc.Method()+" of a live attempt")
	return secretsOf(reply)
}

func secretChecks(target *Target) []suite.Check {
	var out []suite.Check
	for _, rpc := range secretRPCs {
		check := func(rule, word, name string, run func(*world, catalogue.RPC)) {
			out = append(out, cell(rule, word, rpc, name, func(t *suite.T) {
				w := newWorld(t, target)
				w.needs("secrets")
				run(w, rpc)
			}))
		}
		check("SECRET-1", "plaintext", "plaintext is refused", plaintextRefused)
		check("SECRET-2", "exact", "delivered as stored, however often asked", secretsExact)
		check("SECRET-3", "declared", "under the declared scope only what is declared", secretsDeclared)
		for _, end := range ends() {
			check("SECRET-4", end.word, "an attempt that is "+end.word+" gets nothing", func(w *world, rpc catalogue.RPC) {
				noSecretsAfter(w, rpc, end)
			})
		}
		check("SECRET-5", "audit", "each delivery leaves a record", secretsRecorded)
	}
	return out
}

func secretsExact(w *world, rpc catalogue.RPC) {
	a := exercised(w, rpc)
	want := map[catalogue.RPC]map[string]string{
		getVariables:   {"DECLARED": " " + w.canary + "\n\"ü\" ", "HIDDEN": "hidden " + w.canary},
		getConnections: {"declared": "pg://u:p%20w@h/" + w.canary + "?a=%2F", "hidden": "x://" + w.canary},
	}[rpc]
	if w.limited {
		delete(want, "HIDDEN")
		delete(want, "hidden")
	}
	for range 2 {
		if got := a.delivered(rpc); !maps.Equal(got, want) {
			w.t.Fatalf("%s returned %v, or values that are not as stored; stored are %v", rpc.Method(), sortedNames(got), sortedNames(want))
		}
	}
}

func secretsDeclared(w *world, rpc catalogue.RPC) {
	w.needs("declared_scope")
	a := exercised(w, rpc)
	if got := a.delivered(rpc); len(got) != 2 && !w.limited {
		w.t.Fatalf("under the scope of the tenant %s returned %v", rpc.Method(), sortedNames(got))
	}
	w.secrets(conformancev1.FixtureScope_FIXTURE_SCOPE_DECLARED)
	if got := a.delivered(rpc); len(got) != 1 || got["DECLARED"]+got["declared"] == "" {
		w.t.Fatalf("under the declared scope %s returned %v", rpc.Method(), sortedNames(got))
	}
	if got := w.launch(stranger, running).delivered(rpc); len(got) != 0 {
		w.t.Fatalf("a task that declared nothing got %v", sortedNames(got))
	}
}

func noSecretsAfter(w *world, rpc catalogue.RPC, end end) {
	a := exercised(w, rpc)
	a.control(rpc, 1)
	end.come(a)
	deliveries := w.deliveries()
	reply, err := w.call(rpc, a.as(), exercises[rpc].request(w, 1))
	w.wantCode(err, codes.PermissionDenied, rpc.Method()+" of an attempt that is "+end.word)
	if len(secretsOf(reply)) > 0 || len(w.deliveries()) != len(deliveries) {
		w.t.Fatalf("%s was refused, and delivered %v", rpc.Method(), sortedNames(secretsOf(reply)))
	}
}

func secretsRecorded(w *world, rpc catalogue.RPC) {
	a := exercised(w, rpc)
	for turn := range 2 {
		names := sortedNames(a.delivered(rpc))
		got := w.deliveries()
		if len(names) == 0 || len(got) != turn+1 {
			w.t.Fatalf("%s delivered %v for the %d. time, and %d records are there", rpc.Method(), names, turn+1, len(got))
		}
		last := got[turn]
		recorded := slices.Sorted(slices.Values(last.GetNames()))
		if !proto.Equal(last.GetAttempt(), a.ref) || !slices.Equal(recorded, names) {
			w.t.Fatalf("%s delivered %v, and the record says that {%v} got %v", rpc.Method(), names, last.GetAttempt(), recorded)
		}
	}
}

func sortedNames(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }

func (w *world) deliveries() []*conformancev1.Delivery {
	got, err := w.target.Fixtures.ListDeliveries(w.t.Context(), &conformancev1.ListDeliveriesRequest{TenantId: w.tenant})
	w.fixture("list audit records", err)
	return got.GetDeliveries()
}

// plaintextRefused can be judged over plaintext only.
func plaintextRefused(w *world, rpc catalogue.RPC) {
	switch {
	case w.target.Confidential:
		w.t.Untestable("the connection is confidential: judge the server once more over plaintext")
	case w.target.Capabilities.GetPlaintextSecrets():
		w.t.Skip("the server's operator allowed secrets over plaintext")
	}
	giveSecrets(w)
	a := w.launch(worker, running)
	a.control(getTaskSpec, 1)
	reply, err := w.call(rpc, a.as(), exercises[rpc].request(w, 1))
	w.wantCode(err, codes.PermissionDenied, rpc.Method()+" over plaintext")
	if len(secretsOf(reply)) > 0 || len(w.deliveries()) > 0 {
		w.t.Fatalf("%s over plaintext was refused, and delivered", rpc.Method())
	}
}
