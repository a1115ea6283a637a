package mutants

import (
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"

	"github.com/neochaotic/leoflow/internal/mutants/matrix"
)

// overRate is a server that does something else with calls once a push of the attempt was
// refused for its rate, that push included; nil, nil: it does not.
func overRate(instead func(c *call, refusal error) (proto.Message, error)) func() *server {
	return func() *server {
		return &server{unary: func(s *server, c *call, pass next) (proto.Message, error) {
			who := "refused " + read(tokenOf(c.md)).Subject
			if refusal, ok := s.recall(who).(error); ok {
				if reply, err := instead(c, refusal); reply != nil || err != nil {
					return reply, err
				}
			}
			reply, err := pass(c)
			if c.method == "PushXCom" && status.Code(err) == codes.ResourceExhausted {
				s.keep(who, err)
				if instead, wrong := instead(c, err); instead != nil || wrong != nil {
					return instead, wrong
				}
			}
			return reply, err
		}}
	}
}

// refuses is one of them that refuses a method for the rate, too.
func refuses(method string) func() *server {
	return overRate(func(c *call, refusal error) (proto.Message, error) {
		if c.method == method {
			return nil, refusal
		}
		return nil, nil
	})
}

var limitMutants = []Mutant{
	{
		Name: "nobody calls too often", Rule: "LIMIT-2", Check: "LIMIT-2/refused",
		Also: matrix.Because("an attempt that is never over its rate cannot be served over it", "LIMIT-2/served"),
		server: overRate(func(c *call, _ error) (proto.Message, error) {
			if c.method == "PushXCom" {
				return &agentv1.PushXComResponse{Accepted: true}, nil
			}
			return nil, nil
		}),
	},
	{
		Name: "a refusal for rate does not tell for how long", Rule: "LIMIT-2", Check: "LIMIT-2/refused",
		Also: matrix.Because("its control is a whole refusal", "LIMIT-2/served"),
		server: overRate(func(c *call, _ error) (proto.Message, error) {
			if c.method == "PushXCom" {
				return nil, status.Error(codes.ResourceExhausted, "too many")
			}
			return nil, nil
		}),
	},
	{
		Name: "all attempts of a tenant have one rate", Rule: "LIMIT-2", Check: "LIMIT-2/refused",
		server: func() *server {
			return &server{unary: func(s *server, c *call, pass next) (proto.Message, error) {
				who := read(tokenOf(c.md))
				if first, ok := s.recall(who.Tenant).(claims); ok && c.method == "PushXCom" && first.Subject != who.Subject {
					return nil, status.Error(codes.ResourceExhausted, "your tenant makes too many")
				}
				reply, err := pass(c)
				if c.method == "PushXCom" && status.Code(err) == codes.ResourceExhausted {
					s.keep(who.Tenant, who)
				}
				return reply, err
			}}
		},
	},
	{Name: "heartbeats are refused for the rate", Rule: "LIMIT-2", Check: "LIMIT-2/served", server: refuses("Heartbeat")},
	{Name: "reports are refused for the rate", Rule: "LIMIT-2", Check: "LIMIT-2/served", server: refuses("ReportState")},
	{Name: "a start is refused for the rate", Rule: "LIMIT-2", Check: "LIMIT-2/served", server: refuses("GetTaskSpec")},
	{
		Name: "a peer may say nothing for minutes", Rule: "LIMIT-3", Check: "LIMIT-3/silent",
		server: func() *server {
			return &server{options: []grpc.ServerOption{grpc.ConnectionTimeout(10 * time.Minute)}}
		},
	},
	{
		Name: "a connection is ended for its age", Rule: "LIMIT-3", Check: "LIMIT-3/silent",
		Broad: "whatever a check does may be cut off",
		server: func() *server {
			return &server{options: []grpc.ServerOption{grpc.KeepaliveParams(keepalive.ServerParameters{
				MaxConnectionAge: time.Second, MaxConnectionAgeGrace: time.Second,
			})}}
		},
	},
}
