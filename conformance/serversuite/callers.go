package serversuite

import (
	"slices"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"

	"github.com/neochaotic/leoflow/conformance/catalogue"
	"github.com/neochaotic/leoflow/conformance/suite"
)

// callerChecks are of what every RPC says to its caller, whatever it is for, where it is
// one of operators: each check tries all of them. What becomes of data ISO-4 looks at.
func callerChecks(target *Target) []suite.Check {
	var bound []catalogue.RPC // their requests may be invalid
	for _, rpc := range controlRPCs() {
		if _, field := invalidated(newMessage(method(rpc).Input())); field != "" {
			bound = append(bound, rpc)
		}
	}
	out := []suite.Check{
		single(target, "AUTH-1", "none/operators", "no credentials open no RPC of operators", func(w *world) {
			w.strangers(controlRPCs(), asItIs, noCredential)
		}, controlRPCs()...),
		single(target, "AUTH-2", "spoilt/operators", "no token that was spoilt opens an RPC of operators", func(w *world) {
			w.needs("operator")
			w.wantOperator()
			good := w.mint(w.ref(worker), conformancev1.TokenDefect_TOKEN_DEFECT_OPERATOR)
			var made []credential
			for _, s := range spoilt {
				made = append(made, s.make(good))
			}
			w.strangers(controlRPCs(), asItIs, made...)
		}, controlRPCs()...),
		single(target, "AUTH-5", "invalid/operators", "nor with a request that is invalid", func(w *world) {
			w.strangers(bound, func(request proto.Message) proto.Message {
				out, _ := invalidated(request)
				return out
			}, noCredential)
		}, bound...),
		single(target, "ERR-3", "field/operators", "what is invalid is named to operators", fieldNamedToOperators(bound), bound...),
		single(target, "ERR-4", "unknown/operators", "unknown fields and metadata of operators are ignored", futureOfOperators, controlRPCs()...),
		single(target, "LIMIT-1", "large/operators", "a message of an operator that is too large ends its own call alone", tooLargeOfOperators, controlRPCs()...),
	}
	for i := range out {
		out[i].Deadline = 20 * time.Second
	}
	return out
}

func asItIs(request proto.Message) proto.Message { return request }

// strangers makes calls of each RPC as callers whom the server does not know.
func (w *world) strangers(rpcs []catalogue.RPC, spoil func(proto.Message) proto.Message, callers ...credential) {
	for _, as := range callers {
		w.everyOperation(rpcs, as, spoil, func(rpc catalogue.RPC, err error) {
			w.wantCode(err, codes.Unauthenticated, rpc.Method()+" with "+as.name)
		})
	}
}

// everyOperation makes a call of each RPC that was right but for what is made of it, and
// shows that right ones are taken before and after.
func (w *world) everyOperation(rpcs []catalogue.RPC, as credential, spoil func(proto.Message) proto.Message, want func(catalogue.RPC, error)) {
	w.needs("operator")
	for _, rpc := range rpcs {
		w.wantOperator()
		reply, err := w.call(rpc, as, spoil(w.operation(rpc)))
		want(rpc, err)
		if err != nil && reply != nil {
			w.t.Fatalf("%s was refused, and answered {%v} all the same", rpc.Method(), reply)
		}
	}
	w.wantOperator()
}

// invalidated is a request with one field that is invalid, and its name; empty: whatever
// it says is valid.
func invalidated(request proto.Message) (proto.Message, protoreflect.Name) {
	fields := request.ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		wrong := field.Default() // of most, what is empty
		switch field.Kind() {
		case protoreflect.Int32Kind:
			wrong = protoreflect.ValueOfInt32(-1)
		case protoreflect.EnumKind:
			wrong = protoreflect.ValueOfEnum(-1)
		}
		if field.Cardinality() == protoreflect.Repeated || field.Message() != nil {
			continue
		}
		out := proto.Clone(request)
		out.ProtoReflect().Set(field, wrong)
		if v, ok := out.(interface{ ValidateAll() error }); ok && v.ValidateAll() != nil {
			return out, field.Name()
		}
	}
	return request, ""
}

func fieldNamedToOperators(rpcs []catalogue.RPC) func(*world) {
	return func(w *world) {
		w.needs("operator")
		w.everyOperation(rpcs, w.operator(), func(request proto.Message) proto.Message {
			out, _ := invalidated(request)
			return out
		}, func(rpc catalogue.RPC, err error) {
			if !w.travels(rpc) && status.Code(err) == codes.PermissionDenied {
				return // for the channel
			}
			w.wantCode(err, codes.InvalidArgument, "an invalid "+rpc.Method())
			_, field := invalidated(w.operation(rpc))
			violations := detail[*errdetails.BadRequest](err).GetFieldViolations()
			if !slices.ContainsFunc(violations, func(v *errdetails.BadRequest_FieldViolation) bool { return v.GetField() == string(field) }) {
				w.t.Fatalf("google.rpc.BadRequest of %s names %v, not the field %s", rpc.Method(), violations, field)
			}
		})
	}
}

func futureOfOperators(w *world) {
	w.needs("operator")
	w.everyOperation(controlRPCs(), w.operator().with("x-from-the-future", "yes"), func(request proto.Message) proto.Message {
		return swollen(request, len("from the future"))
	}, func(rpc catalogue.RPC, err error) {
		if rpc == getRun {
			w.wantCode(err, codes.OK, rpc.Method()+" with an unknown field and unknown metadata")
		}
		// It may be refused for the state that the calls before have made, or for its channel.
		switch code := status.Code(err); code {
		case codes.OK, codes.NotFound, codes.AlreadyExists, codes.FailedPrecondition, codes.Aborted:
		case codes.PermissionDenied, codes.Unavailable, codes.Unimplemented:
			if w.travels(rpc) && w.target.offers("secrets") {
				w.t.Fatalf("%s with an unknown field and unknown metadata was answered %s", rpc.Method(), name(code, err))
			}
		default:
			w.t.Fatalf("%s with an unknown field and unknown metadata was answered %s", rpc.Method(), name(code, err))
		}
	})
}

func tooLargeOfOperators(w *world) {
	w.needs("operator")
	told := int(w.target.Capabilities.GetMaxMessageBytes())
	size := 2*max(told, 4<<20) + 1
	w.everyOperation(controlRPCs(), w.operator(), func(request proto.Message) proto.Message {
		return swollen(request, size)
	}, func(rpc catalogue.RPC, err error) {
		if err == nil && told == 0 {
			w.t.Untestable("the fixtures do not tell the limit of a message")
		}
		w.wantCode(err, codes.ResourceExhausted, rpc.Method()+" of a message that is too large")
	})
}

// swollen is a request with a field that nobody knows, of so many bytes.
func swollen(request proto.Message, size int) proto.Message {
	tag := protowire.AppendTag(nil, 19999, protowire.BytesType)
	request.ProtoReflect().SetUnknown(protowire.AppendBytes(tag, make([]byte, size)))
	return request
}
