package mutants

import (
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"

	"github.com/neochaotic/leoflow/internal/mutants/matrix"
)

// cached is a server that keeps what was fetched under a key of its own making, and gives
// it to others than those who fetched it.
func cached(key, owner func(claims) string) func() *server {
	type kept struct {
		owner string
		reply proto.Message
	}
	return func() *server {
		return &server{unary: func(s *server, c *call, pass next) (proto.Message, error) {
			reply, err := pass(c)
			r, ok := c.request.(*agentv1.FetchXComRequest)
			if !ok || err != nil {
				return reply, err
			}
			who := read(tokenOf(c.md))
			name := "fetched " + key(who) + "/" + r.GetUpstreamTaskId() + "/" + r.GetKey()
			if first, ok := s.recall(name).(kept); ok && first.owner != owner(who) {
				return first.reply, nil
			}
			s.keep(name, kept{owner(who), reply})
			return reply, nil
		}}
	}
}

var isoMutants = []Mutant{
	{
		Name: "values are cached without the tenant", Rule: "ISO-1", Check: "ISO-1/twin/FetchXCom",
		server: cached(func(c claims) string { return c.Subject + "/" + c.Run }, func(c claims) string { return c.Tenant }),
	},
	{
		Name: "values are cached without the run", Rule: "ISO-2", Check: "ISO-2/other-run/FetchXCom",
		server: cached(func(c claims) string { return c.Tenant + "/" + c.Dag + "/" + c.Task }, func(c claims) string { return c.Run }),
	},
	{
		Name: "a refused push is stored", Rule: "ISO-4", Check: "ISO-4/not-live/PushXCom",
		Also: matrix.Because("it pushes after an end", "XCOM-6/finished", "XCOM-6/superseded", "XCOM-6/lost", "XCOM-6/timed-out"),
		server: func() *server {
			return &server{unary: func(s *server, c *call, pass next) (proto.Message, error) {
				reply, err := pass(c)
				if r, ok := c.request.(*agentv1.PushXComRequest); ok && status.Code(err) == codes.FailedPrecondition {
					who := read(tokenOf(c.md))
					s.keep("forced "+who.Tenant+"/"+who.Run+"/"+who.Task, r.GetValue())
				}
				if r, ok := c.request.(*conformancev1.GetValueRequest); ok {
					ref := r.GetTask()
					if value, ok := s.recall("forced " + ref.GetTenantId() + "/" + ref.GetRunId() + "/" + ref.GetTaskId()).([]byte); ok {
						return &conformancev1.GetValueResponse{Value: value}, nil
					}
				}
				return reply, err
			}}
		},
	},
	{
		Name: "from a third value on, each is readable one read late", Rule: "ISO-5", Check: "ISO-5/at-once",
		Also: matrix.Because("it reads a value as soon as that is pushed, too", "ISO-5/readers"),
		server: func() *server {
			return &server{unary: func(s *server, c *call, pass next) (proto.Message, error) {
				reply, err := pass(c)
				of := tokenOf(c.md)
				switch r := c.request.(type) {
				case *agentv1.PushXComRequest:
					who := read(of)
					key := "pushes " + who.Tenant + who.Run + who.Task + "/" + r.GetKey()
					n, _ := s.recall(key).(int)
					s.keep(key, n+1)
				case *agentv1.FetchXComRequest:
					who := read(of)
					n, _ := s.recall("pushes " + who.Tenant + who.Run + r.GetUpstreamTaskId() + "/").(int)
					earlier, ok := s.recall("last of " + of).(proto.Message)
					if err == nil {
						s.keep("last of "+of, reply)
					}
					if err == nil && ok && n > 2 && r.GetKey() == "" {
						return earlier, nil
					}
				}
				return reply, err
			}}
		},
	},
}
