package mutants

import (
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// restated is a server that changes the statuses that it answers with.
func restated(change func(*status.Status) *status.Status) func() *server {
	return func() *server {
		return &server{unary: func(_ *server, c *call, pass next) (proto.Message, error) {
			reply, err := pass(c)
			if err != nil {
				err = change(status.Convert(err)).Err()
			}
			return reply, err
		}}
	}
}

// without takes the details of one type out of a status.
func without(s *status.Status, of proto.Message) *status.Status {
	p := proto.CloneOf(s.Proto())
	var kept []*anypb.Any
	for _, detail := range p.GetDetails() {
		if !detail.MessageIs(of) {
			kept = append(kept, detail)
		}
	}
	p.Details = kept
	return status.FromProto(p)
}

var errorMutants = []Mutant{
	{
		Name: "what the database says is passed on", Rule: "ERR-1", Check: "ERR-1/absent",
		server: restated(func(s *status.Status) *status.Status {
			p := proto.CloneOf(s.Proto())
			if s.Code() == codes.NotFound {
				p.Message = "sql: no rows in result set"
			}
			return status.FromProto(p)
		}),
	},
	{
		Name: "errors have no correlation id", Rule: "ERR-1", Check: "ERR-1/invalid",
		server: restated(func(s *status.Status) *status.Status { return without(s, (*errdetails.RequestInfo)(nil)) }),
	},
	{
		Name: "errors have no reason", Rule: "ERR-3", Check: "ERR-3/absent",
		server: restated(func(s *status.Status) *status.Status { return without(s, (*errdetails.ErrorInfo)(nil)) }),
	},
	{
		Name: "the field at fault is not named", Rule: "ERR-3", Check: "ERR-3/field/PushXCom",
		server: restated(func(s *status.Status) *status.Status { return without(s, (*errdetails.BadRequest)(nil)) }),
	},
	{
		Name: "unknown fields are refused", Rule: "ERR-4", Check: "ERR-4/unknown/Heartbeat",
		server: func() *server {
			return &server{unary: func(_ *server, c *call, pass next) (proto.Message, error) {
				if fromTheFuture(c) {
					return nil, status.Error(codes.InvalidArgument, "unknown field")
				}
				return pass(c)
			}}
		},
	},
	{
		Name: "messages have no limit", Rule: "LIMIT-1", Check: "LIMIT-1/large/Heartbeat",
		server: func() *server {
			return &server{takes: 64 << 20, unary: func(_ *server, c *call, pass next) (proto.Message, error) {
				c.request.ProtoReflect().SetUnknown(nil)
				return pass(c)
			}}
		},
	},
}
