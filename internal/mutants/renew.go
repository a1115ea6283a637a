package mutants

import (
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"

	"github.com/neochaotic/leoflow/internal/mutants/matrix"
)

var renewMutants = []Mutant{
	{
		Name: "whoever is told to terminate is renewed", Rule: "TOKEN-1", Check: "TOKEN-1/finished",
		Also: matrix.Because("after another end", "TOKEN-1/superseded", "TOKEN-1/lost", "TOKEN-1/timed-out", "TOKEN-1/cancelled"),
		server: after(func(s *server, c *call, reply *agentv1.HeartbeatResponse) {
			if reply.GetShouldTerminate() && reply.GetReason() != agentv1.TerminationReason_TERMINATION_REASON_UNKNOWN {
				reply.RenewedToken = s.good(c.ctx, read(tokenOf(c.md)))
			}
		}),
	},
	{
		Name: "nobody's attempt is renewed", Rule: "TOKEN-1", Check: "TOKEN-1/unknown",
		server: after(func(_ *server, _ *call, reply *agentv1.HeartbeatResponse) {
			if reply.GetReason() == agentv1.TerminationReason_TERMINATION_REASON_UNKNOWN {
				reply.RenewedToken = "a.renewed.token"
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
		Name: "a token that was renewed twice is refused", Rule: "TOKEN-3", Check: "TOKEN-3/ignored",
		server: func() *server {
			return &server{unary: func(s *server, c *call, pass next) (proto.Message, error) {
				if n, _ := s.recall("renewed " + tokenOf(c.md)).(int); n > 1 {
					return nil, status.Error(codes.Unauthenticated, "unauthenticated")
				}
				reply, err := pass(c)
				if got, ok := reply.(*agentv1.HeartbeatResponse); ok && got.GetRenewedToken() != "" {
					n, _ := s.recall("renewed " + tokenOf(c.md)).(int)
					s.keep("renewed "+tokenOf(c.md), n+1)
				}
				return reply, err
			}}
		},
	},
}
