package mutants

import (
	"errors"
	"io"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"

	"github.com/neochaotic/leoflow/internal/mutants/matrix"
)

// restated is a server that changes the statuses that it answers with. That a stream has no
// message is none.
func restated(change func(*status.Status) *status.Status) func() *server {
	return func() *server {
		return &server{unary: func(_ *server, c *call, pass next) (proto.Message, error) {
			reply, err := pass(c)
			if err != nil && !errors.Is(err, io.EOF) {
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
		Also: matrix.Because("of another refusal", "ERR-1/absent", "ERR-1/not-live", "ERR-1/unauthenticated", "ERR-1/undeclared"),
		server: restated(func(s *status.Status) *status.Status {
			if s.Code() == codes.Internal { // what is answered without a store is another matter
				return s
			}
			return without(s, (*errdetails.RequestInfo)(nil))
		}),
	},
	{
		Name: "errors have no reason", Rule: "ERR-3", Check: "ERR-3/absent",
		Also:   matrix.Because("of another refusal", "ERR-3/invalid", "ERR-3/not-live", "ERR-3/unauthenticated", "ERR-3/undeclared"),
		server: restated(func(s *status.Status) *status.Status { return without(s, (*errdetails.ErrorInfo)(nil)) }),
	},
	{
		Name: "the field at fault is not named", Rule: "ERR-3", Check: "ERR-3/field/PushXCom",
		Also:   matrix.Because("of another call", "ERR-3/field/FetchXCom", "ERR-3/field/ReportState", "ERR-3/field/operators"),
		server: restated(func(s *status.Status) *status.Status { return without(s, (*errdetails.BadRequest)(nil)) }),
	},
	{
		Name: "messages have no limit", Rule: "LIMIT-1", Check: "LIMIT-1/large/Heartbeat",
		Also:  matrix.Because("of another call", "LIMIT-1/large/Register"),
		Broad: "it breaks the transport, which every call goes over",
		server: func() *server {
			return &server{takes: 64 << 20, unary: func(_ *server, c *call, pass next) (proto.Message, error) {
				c.request.ProtoReflect().SetUnknown(nil)
				return pass(c)
			}, newLine: func(*server) func(*agentv1.LogLine) []*agentv1.LogLine {
				return func(l *agentv1.LogLine) []*agentv1.LogLine {
					l.ProtoReflect().SetUnknown(nil)
					return []*agentv1.LogLine{l}
				}
			}}
		},
	},
}
