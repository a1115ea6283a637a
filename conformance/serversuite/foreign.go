package serversuite

import (
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"

	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"

	"github.com/neochaotic/leoflow/conformance/catalogue"
)

// foreignNames asks, as an operator, for what only another tenant has, and for what
// nobody has, and wants the same answers but for the names.
func foreignNames(w *world, rpc catalogue.RPC) {
	owner := namedWorld(w.t, w.target, w.ids+"-theirs", "owner")
	owner.dag = "dag-" + owner.ids
	owner.prepare(0, owner)
	if !strings.Contains(owner.dag+owner.run, "theirs") {
		w.t.Untestable("the fixtures choose the names of runs themselves")
	}
	owner.furnish(rpc)
	if w.target.offers("secrets") {
		_, err := w.target.Fixtures.PutSecrets(w.t.Context(), &conformancev1.PutSecretsRequest{
			TenantId: owner.tenant, Variables: map[string]string{"theirs": owner.canary}, Connections: map[string]string{"theirs": "x://" + owner.canary},
		})
		w.fixture("store secrets", err)
	}
	request := func(of string) proto.Message {
		r := owner.furnished(rpc)
		for _, field := range namesIn(r) {
			name := owner.nameOf(field)
			r.ProtoReflect().Set(field, protoreflect.ValueOfString(strings.ReplaceAll(name, "theirs", of)))
		}
		return r
	}
	var before image
	if !readsOnly(rpc) {
		before = owner.image()
	}
	snapshots := owner.snapshots()
	var answers []string
	for _, of := range []string{"theirs", "nobody"} {
		reply, err := w.call(rpc, w.operator(), request(of))
		if code := status.Code(err); code == codes.Unauthenticated || code == codes.PermissionDenied || code == codes.InvalidArgument {
			w.t.Fatalf("%s of an operator who may do all was answered %s", rpc.Method(), name(code, err))
		}
		if reply != nil {
			w.wantNoneOf(owner, reply, rpc)
		}
		answers = append(answers, strings.ReplaceAll(answer(reply, err), "nobody", "theirs"))
	}
	if answers[0] != answers[1] {
		w.t.Fatalf("of what only another tenant has %s says %s, and of what nobody has %s", rpc.Method(), answers[0], answers[1])
	}
	owner.wantImage(before, rpc.Method()+" of an operator of "+w.tenant)
	owner.wantSnapshots(snapshots, rpc.Method()+" of an operator of "+w.tenant)
	// It was there to be found.
	if reply, err := owner.call(rpc, owner.operator(), request("theirs")); err != nil && answer(reply, err) == answers[0] {
		w.t.Fatalf("%s of an operator of the tenant that has it was answered %s", rpc.Method(), name(status.Code(err), err))
	}
}

// nameOf is the name that the owner has for a field of a request.
func (w *world) nameOf(field protoreflect.FieldDescriptor) string {
	return map[protoreflect.Name]string{"dag_id": w.dag, "run_id": w.run, "key": "theirs", "connection_id": "theirs"}[field.Name()]
}

// answer is how a call was answered, without times and correlation ids.
func answer(reply proto.Message, err error) string {
	if err != nil {
		return masked(err).String() + " " + protojson.Format(masked(err).Proto())
	}
	if reply == nil {
		return "OK"
	}
	out := proto.Clone(reply)
	undated(out.ProtoReflect())
	return "OK " + said(out)
}

// undated takes the times out of a message.
func undated(m protoreflect.Message) {
	m.Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case field.Message() == nil || field.IsMap():
		case field.IsList():
			for i := range v.List().Len() {
				undated(v.List().Get(i).Message())
			}
		case field.Message().FullName() == (*timestamppb.Timestamp)(nil).ProtoReflect().Descriptor().FullName():
			m.Clear(field)
		default:
			undated(v.Message())
		}
		return true
	})
}
