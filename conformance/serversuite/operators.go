package serversuite

import (
	"maps"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	policyv1 "github.com/neochaotic/leoflow/gen/leoflow/policy/v1"

	"github.com/neochaotic/leoflow/conformance/catalogue"
	"github.com/neochaotic/leoflow/conformance/suite"
)

// operatorIsoChecks are of what operators of one tenant get and change of another's.
func operatorIsoChecks(target *Target) []suite.Check {
	var out []suite.Check
	for _, rpc := range controlRPCs() {
		out = append(out, cell("ISO-1", "operator", rpc, "nothing crosses between operators of two tenants", func(t *suite.T) {
			w := newWorld(t, target)
			twin := w.twinWorld()
			w.operators(rpc)
			w.furnish(rpc)
			theirs := twin.furnish(rpc)
			if readsOnly(rpc) {
				seesOwn(w, theirs, rpc)
			} else {
				changesOwn(w, twin, rpc)
			}
		}), cell("ISO-4", "operator", rpc, "a call of an operator that is refused leaves everything", func(t *suite.T) {
			w := newWorld(t, target)
			w.operators(rpc)
			w.furnish(rpc)
			refusedOperators(w, rpc)
		}))
		if len(namesIn(newMessage(method(rpc).Input()))) > 0 {
			out = append(out, cell("ISO-3", "operator", rpc, "what only another tenant has looks like nothing", func(t *suite.T) {
				w := newWorld(t, target)
				w.operators(rpc)
				foreignNames(w, rpc)
			}))
		}
	}
	return out
}

// operators stops the check where operators cannot call an RPC.
func (w *world) operators(rpc catalogue.RPC) {
	w.needs("operator")
	switch about := rpc.Method(); {
	case strings.Contains(about, "SecretScope"):
		w.needs("secrets", "declared_scope")
	case strings.Contains(about, "Variable"), strings.Contains(about, "Connection"), strings.Contains(about, "Audit"):
		w.needs("secrets")
	}
	if !w.travels(rpc) {
		w.t.Untestable("the connection is in plaintext, over which operators give no secrets")
	}
	w.wantOperator()
}

// readsOnly reports whether an RPC of operators changes nothing.
func readsOnly(rpc catalogue.RPC) bool {
	policy, _ := proto.GetExtension(method(rpc).Options(), policyv1.E_Method).(*policyv1.MethodPolicy)
	return policy.GetIdempotency() == policyv1.Idempotency_IDEMPOTENCY_READ_ONLY
}

// begun is in which state each RPC finds the worker that it is about, where that is not
// running.
var begun = map[catalogue.RPC]policyv1.TaskState{
	controlv1.ControlService_LaunchAttempt_FullMethodName: policyv1.TaskState_TASK_STATE_NONE,
	controlv1.ControlService_SettleTask_FullMethodName:    policyv1.TaskState_TASK_STATE_NONE,
	controlv1.ControlService_RetryTask_FullMethodName:     failed,
}

// furnish gives the world what an RPC of operators is about, secrets included, where it
// offers them. It returns the worker's attempt; nil: the RPC is about a task without one.
func (w *world) furnish(rpc catalogue.RPC) *attempt {
	if w.target.offers("secrets") {
		giveSecrets(w)
	}
	state, other := begun[rpc]
	if !other {
		state = running
	}
	if state == policyv1.TaskState_TASK_STATE_NONE {
		w.launch(source, queued) // a run in which nothing happened has nothing to watch
		return nil
	}
	a := w.launch(worker, running)
	a.push("", `"`+w.canary+`"`)
	a.control(streamLogs, 1)
	if state == failed {
		a.accepted(sayFailed)
	}
	return a
}

// furnished is a right request of an operator about what furnish has made.
func (w *world) furnished(rpc catalogue.RPC) proto.Message {
	request := w.operation(rpc)
	switch r := request.(type) {
	case *controlv1.LaunchAttemptRequest:
		r.TaskId = absent // which a file of fixtures leaves as it is
	case *controlv1.SettleTaskRequest:
		r.TaskId = absent
	case *controlv1.GetXComRequest:
		r.Key = "return_value"
	case *controlv1.SetSecretScopeRequest:
		r.Scope = controlv1.SecretScope_SECRET_SCOPE_DECLARED
	case *controlv1.PutVariableRequest:
		r.Key = "HIDDEN"
	case *controlv1.DeleteVariableRequest:
		r.Key = "HIDDEN"
	case *controlv1.PutConnectionRequest:
		r.ConnectionId = "hidden"
	case *controlv1.DeleteConnectionRequest:
		r.ConnectionId = "hidden"
	}
	return request
}

// operate makes a call of an operator that must be taken.
func (w *world) operate(rpc catalogue.RPC) proto.Message {
	reply, err := w.call(rpc, w.operator(), w.furnished(rpc))
	w.wantCode(err, codes.OK, rpc.Method()+" of an operator of "+w.tenant)
	if reply == nil {
		w.t.Fatalf("%s of an operator of %s was answered without a message", rpc.Method(), w.tenant)
	}
	return reply
}

// image is all that the operators of a tenant see of it: what each RPC that only reads
// answers, streams aside, which tell of what others list. It is no evidence until
// something in it has changed.
type image map[catalogue.RPC]proto.Message

func (w *world) image() image {
	ctx := metadata.NewOutgoingContext(w.t.Context(), w.operator().md)
	out := image{}
	for _, rpc := range controlRPCs() {
		if m := method(rpc); readsOnly(rpc) && !m.IsStreamingServer() {
			reply := newMessage(m.Output())
			if err := w.target.Conn.Invoke(ctx, string(rpc), w.furnished(rpc), reply); err != nil {
				reply = status.Convert(masked(err).Err()).Proto()
			}
			out[rpc] = reply
		}
	}
	return out
}

// changed is an RPC whose answers differ in two images; empty: none.
func (i image) changed(after image) catalogue.RPC {
	for _, rpc := range slices.Sorted(maps.Keys(i)) {
		if !proto.Equal(i[rpc], after[rpc]) {
			return rpc
		}
	}
	return ""
}

// wantImage fails the check if operators of the tenant see anything else than before; nil:
// before what only reads, no image was made.
func (w *world) wantImage(before image, by string) {
	if before == nil {
		return
	}
	after := w.image()
	if rpc := before.changed(after); rpc != "" {
		w.t.Fatalf("%s changed what %s tells operators of %s from {%v} to {%v}", by, rpc.Method(), w.tenant, before[rpc], after[rpc])
	}
}

// said is all that a message says, in one way.
func said(m proto.Message) string {
	text, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// seesOwn wants an RPC that reads to show what changes in its own tenant, and nothing of
// what changes in another that is the same in every name.
func seesOwn(w *world, theirs *attempt, rpc catalogue.RPC) {
	twin := theirs.w
	own := said(w.operate(rpc))
	first := twin.operate(rpc)
	others := said(first)
	twin.wantNoneOf(w, first, rpc)
	theirs.disturb()
	if said(twin.operate(rpc)) == others {
		w.t.Fatalf("%s does not show an operator of %s what has changed there", rpc.Method(), twin.tenant)
	}
	again := w.operate(rpc)
	if said(again) != own {
		w.t.Fatalf("%s shows an operator of %s what has changed in %s", rpc.Method(), w.tenant, twin.tenant)
	}
	w.wantNoneOf(twin, again, rpc)
}

// disturb changes something that each RPC of operators shows.
func (a *attempt) disturb() {
	w := a.w
	a.control(streamLogs, 2)
	a.push("", `"changed `+w.canary+`"`)
	if w.target.offers("secrets") {
		if w.travels(getVariables) {
			a.control(getVariables, 1) // which is recorded
		}
		_, err := w.target.Fixtures.PutSecrets(w.t.Context(), &conformancev1.PutSecretsRequest{
			TenantId: w.tenant, Variables: map[string]string{"NEW": w.canary}, Connections: map[string]string{"new": "x://" + w.canary},
			Scope: conformancev1.FixtureScope_FIXTURE_SCOPE_DECLARED,
		})
		w.fixture("store secrets", err)
	}
	a.accepted(sayFailed)
}

// changesOwn wants an RPC that writes to change its own tenant, and nothing of another
// that is the same in every name.
func changesOwn(w, twin *world, rpc catalogue.RPC) {
	own, others := w.image(), twin.image()
	snapshots := twin.snapshots()
	w.wantNoneOf(twin, w.operate(rpc), rpc)
	if own.changed(w.image()) == "" {
		w.t.Fatalf("%s was answered OK, and an operator of %s sees nothing of it", rpc.Method(), w.tenant)
	}
	twin.wantImage(others, rpc.Method()+" of an operator of "+w.tenant)
	twin.wantSnapshots(snapshots, rpc.Method()+" of an operator of "+w.tenant)
	if w.target.offers("secrets") && w.travels(getVariables) { // and their values are as they were
		a := twin.launch(worker, running)
		for _, rpc := range secretRPCs {
			a.control(rpc, 1)
		}
	}
}

// snapshots are those of the newest tries that furnish has made.
func (w *world) snapshots() map[*attempt]snapshot {
	out := map[*attempt]snapshot{}
	for _, ref := range w.live {
		a := &attempt{w: w, ref: ref}
		out[a] = a.snapshot()
	}
	return out
}

func (w *world) wantSnapshots(before map[*attempt]snapshot, by string) {
	for a, s := range before {
		a.wantUnchanged(s, by)
	}
}

// refusedOperators makes calls that are refused, for who calls or for what is asked.
func refusedOperators(w *world, rpc catalogue.RPC) {
	var before image
	if !readsOnly(rpc) {
		before = w.image()
	}
	snapshots := w.snapshots()
	agent := w.mint(w.ref(worker), conformancev1.TokenDefect_TOKEN_DEFECT_EXPIRED)
	callers := []credential{noCredential, bearer("an expired token", agent)}
	policy, _ := proto.GetExtension(method(rpc).Options(), policyv1.E_Method).(*policyv1.MethodPolicy)
	if policy.GetRole() != policyv1.Role_ROLE_VIEWER {
		callers = append(callers, w.viewer())
	}
	for _, as := range callers {
		if _, err := w.call(rpc, as, w.furnished(rpc)); err == nil {
			w.t.Fatalf("%s with %s was answered OK", rpc.Method(), as.name)
		}
	}
	what := "the refused " + rpc.Method()
	if spoilt := w.furnished(rpc); spoil(spoilt) {
		_, err := w.call(rpc, w.operator(), spoilt)
		w.wantCode(err, codes.InvalidArgument, rpc.Method()+" with a name that is empty")
	}
	w.wantImage(before, what)
	w.wantSnapshots(snapshots, what)
	if w.operate(rpc); !readsOnly(rpc) && before.changed(w.image()) == "" {
		w.t.Fatalf("%s was answered OK, and an operator sees nothing of it", rpc.Method())
	}
}

// namesIn are the fields of a request that name a run, or a secret, of the tenant's.
func namesIn(request proto.Message) []protoreflect.FieldDescriptor {
	var out []protoreflect.FieldDescriptor
	fields := request.ProtoReflect().Descriptor().Fields()
	for _, names := range [][]protoreflect.Name{{"dag_id", "run_id"}, {"key", "connection_id"}} {
		for _, name := range names {
			if field := fields.ByName(name); field != nil {
				out = append(out, field)
			}
		}
		if len(out) > 0 {
			break // what else is named is of the run
		}
	}
	return out
}

// spoil empties a name that a request must have; false: it has none.
func spoil(request proto.Message) bool {
	for _, field := range namesIn(request) {
		request.ProtoReflect().Clear(field)
		if v, ok := request.(interface{ ValidateAll() error }); ok && v.ValidateAll() != nil {
			return true
		}
	}
	return false
}

// wantNoneOf fails the check if a reply has anything of another tenant's.
func (w *world) wantNoneOf(other *world, reply proto.Message, rpc catalogue.RPC) {
	text, err := protojson.Marshal(reply)
	if err != nil {
		w.t.Broken("a reply of %s is no JSON: %v", rpc.Method(), err)
	}
	for _, said := range []string{string(text), said(reply)} { // bytes are in base64 in the one
		if other.canary != w.canary && (strings.Contains(said, other.canary) || strings.Contains(said, other.tenant)) {
			w.t.Fatalf("%s of an operator of %s returned what is of %s: %s", rpc.Method(), w.tenant, other.tenant, text)
		}
	}
}
