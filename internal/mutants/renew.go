package mutants

import (
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
)

var renewMutants = []Mutant{
	{
		Name: "whoever is told to terminate is renewed", Rule: "TOKEN-1", Check: "TOKEN-1/finished",
		server: after(func(s *server, c *call, reply *agentv1.HeartbeatResponse) {
			if reply.GetShouldTerminate() {
				reply.RenewedToken = s.good(c.ctx, read(tokenOf(c.md)))
			}
		}),
	},
	{
		Name: "the renewed token is of the next try", Rule: "TOKEN-2", Check: "TOKEN-2/identity",
		server: after(func(s *server, c *call, reply *agentv1.HeartbeatResponse) {
			if reply.GetRenewedToken() != "" {
				who := read(tokenOf(c.md))
				who.Try++
				reply.RenewedToken = s.good(c.ctx, who)
			}
		}),
	},
	{
		Name: "a token that was renewed is refused", Rule: "TOKEN-3", Check: "TOKEN-3/ignored",
		server: func() *server {
			return &server{unary: func(s *server, c *call, pass next) (proto.Message, error) {
				if s.recall("renewed "+tokenOf(c.md)) != nil {
					return nil, status.Error(codes.Unauthenticated, "unauthenticated")
				}
				reply, err := pass(c)
				if got, ok := reply.(*agentv1.HeartbeatResponse); ok && got.GetRenewedToken() != "" {
					s.keep("renewed "+tokenOf(c.md), true)
				}
				return reply, err
			}}
		},
	},
}
