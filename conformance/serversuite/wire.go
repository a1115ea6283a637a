package serversuite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"

	"github.com/neochaotic/leoflow/conformance/catalogue"
	"github.com/neochaotic/leoflow/conformance/suite"
)

// agentRPCs are the methods of AgentService, and controlRPCs those of ControlService.
func agentRPCs() []catalogue.RPC {
	return rpcsOf(agentv1.File_leoflow_agent_v1_agent_proto.Services().ByName("AgentService"))
}

func controlRPCs() []catalogue.RPC {
	return rpcsOf(controlv1.File_leoflow_control_v1_control_proto.Services().ByName("ControlService"))
}

func rpcsOf(service protoreflect.ServiceDescriptor) []catalogue.RPC {
	var out []catalogue.RPC
	for _, rpc := range catalogue.RPCs() {
		if method := service.Methods().ByName(protoreflect.Name(rpc.Method())); method != nil && string(rpc) == wireName(method) {
			out = append(out, rpc)
		}
	}
	return out
}

func wireName(method protoreflect.MethodDescriptor) string {
	return fmt.Sprintf("/%s/%s", method.Parent().FullName(), method.Name())
}

// method finds the descriptor of an RPC.
func method(rpc catalogue.RPC) protoreflect.MethodDescriptor {
	for _, file := range []protoreflect.FileDescriptor{agentv1.File_leoflow_agent_v1_agent_proto, controlv1.File_leoflow_control_v1_control_proto} {
		for i := range file.Services().Len() {
			if m := file.Services().Get(i).Methods().ByName(protoreflect.Name(rpc.Method())); m != nil && wireName(m) == string(rpc) {
				return m
			}
		}
	}
	panic("there is no RPC " + string(rpc))
}

// newMessage makes an empty message of a type that is linked in.
func newMessage(d protoreflect.MessageDescriptor) proto.Message {
	t, err := protoregistry.GlobalTypes.FindMessageByName(d.FullName())
	if err != nil {
		panic(err) // a descriptor comes with its type
	}
	return t.New().Interface()
}

// credential is what a call says of its caller.
type credential struct {
	name string      // for the evidence
	md   metadata.MD // what is sent
}

func bearer(name, token string) credential {
	return credential{name, metadata.Pairs("authorization", "Bearer "+token)}
}

var noCredential = credential{name: "nothing"}

// with adds metadata to a credential.
func (c credential) with(key, value string) credential {
	md := c.md.Copy()
	md.Append(key, value)
	return credential{c.name, md}
}

// secrets are what a server may repeat of a credential, and nobody should read.
func (c credential) secrets() []string {
	var out []string
	for _, value := range c.md.Get("authorization") {
		out = append(out, value[strings.LastIndexByte(value, ' ')+1:])
	}
	return out
}

// call makes one call, whatever the kind of the RPC, and records it: of a stream it
// sends the one request, or none if that is nil, half-closes, and returns the last
// message; of one that only the server sends, the first.
func (w *world) call(rpc catalogue.RPC, as credential, request proto.Message) (proto.Message, error) {
	return w.callIn(w.t.Context(), rpc, as, request)
}

// callIn is call for as long as ctx allows.
func (w *world) callIn(ctx context.Context, rpc catalogue.RPC, as credential, request proto.Message) (proto.Message, error) {
	ctx = metadata.NewOutgoingContext(ctx, as.md)
	w.t.Hide(as.secrets()...) // one that was spoilt is nearly the good one
	var response proto.Message
	var err error
	if m := method(rpc); m.IsStreamingClient() || m.IsStreamingServer() {
		response, err = w.stream(ctx, rpc, request)
	} else {
		response = newMessage(m.Output())
		if err = w.target.Conn.Invoke(ctx, string(rpc), request, response); err != nil {
			response = nil
		}
	}
	response = known(response)
	if beat, ok := response.(*agentv1.HeartbeatResponse); ok {
		w.t.Hide(beat.GetRenewedToken()) // a reason may quote the response
	}
	w.t.Record(suite.Step{What: "as " + as.name, RPC: rpc, Sent: request, Received: response, Err: err})
	return response, err
}

// known is a message without the fields that the protos do not know: a newer server may
// say more (ERR-4), and something else each time.
func known(m proto.Message) proto.Message {
	if m == nil {
		return nil
	}
	out := m.ProtoReflect().New().Interface()
	if wire, err := proto.Marshal(m); err != nil || (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(wire, out) != nil {
		return m
	}
	return out
}

// stream calls a stream that takes at most one message from us.
func (w *world) stream(ctx context.Context, rpc catalogue.RPC, request proto.Message) (proto.Message, error) {
	m := method(rpc)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := w.target.Conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: m.IsStreamingClient(), ServerStreams: m.IsStreamingServer()}, string(rpc))
	if err != nil {
		return nil, err
	}
	if request != nil {
		if err := stream.SendMsg(request); err != nil && !errors.Is(err, io.EOF) { // after EOF, receiving tells
			return nil, err
		}
		if err := stream.CloseSend(); err != nil {
			return nil, err
		}
	}
	var last proto.Message
	for {
		message := newMessage(m.Output())
		err := stream.RecvMsg(message)
		if errors.Is(err, io.EOF) {
			return last, nil
		}
		if err != nil {
			return last, err
		}
		if last = message; !m.IsStreamingClient() {
			return last, nil // it may go on for ever
		}
	}
}

// wantCode fails the check unless a call ended with a code.
func (w *world) wantCode(err error, code codes.Code, what string) {
	if got := status.Code(err); got != code {
		w.t.Fatalf("%s was answered %s, not %s", what, name(got, err), code)
	}
}

func name(code codes.Code, err error) string {
	if err == nil {
		return "OK"
	}
	return fmt.Sprintf("%s (%s)", code, status.Convert(err).Message())
}

// typed makes a call as an attempt that must succeed, and returns its response.
func typed[T proto.Message](a *attempt, rpc catalogue.RPC, request proto.Message) T {
	response, err := a.w.call(rpc, a.as(), request)
	a.w.wantCode(err, codes.OK, rpc.Method())
	out, ok := response.(T)
	if !ok {
		a.w.t.Fatalf("%s was answered OK without a message", rpc.Method())
	}
	return out
}
