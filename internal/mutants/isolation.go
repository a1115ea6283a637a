package mutants

import (
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"
)

// cached is a server that keeps what was fetched under a key of its own making.
func cached(key func(claims) string) func() *server {
	return func() *server {
		return &server{unary: func(s *server, c *call, pass next) (proto.Message, error) {
			r, ok := c.request.(*agentv1.FetchXComRequest)
			if !ok {
				return pass(c)
			}
			who := read(tokenOf(c.md))
			name := "fetched " + key(who) + "/" + r.GetUpstreamTaskId() + "/" + r.GetKey()
			if kept, ok := s.recall(name).(proto.Message); ok {
				return kept, nil
			}
			reply, err := pass(c)
			if err == nil {
				s.keep(name, reply)
			}
			return reply, err
		}}
	}
}

var isoMutants = []Mutant{
	{
		Name: "values are cached without the tenant", Rule: "ISO-1", Check: "ISO-1/twin/FetchXCom",
		server: cached(func(c claims) string { return c.Subject + "/" + c.Run }),
	},
	{
		Name: "a report settles the task of that name in every tenant", Rule: "ISO-1", Check: "ISO-1/twin/ReportState",
		server: func() *server {
			return &server{unary: func(s *server, c *call, pass next) (proto.Message, error) {
				if r, ok := c.request.(*agentv1.ReportStateRequest); ok {
					who := read(tokenOf(c.md))
					s.keep("settled "+who.Subject, r.GetErrorMessage()+r.GetState().String())
				}
				reply, err := pass(c)
				if got, ok := reply.(*conformancev1.GetAttemptResponse); ok && err == nil {
					if text, ok := s.recall("settled " + c.request.(*conformancev1.GetAttemptRequest).GetAttempt().GetTaskInstanceId()).(string); ok {
						got.ErrorMessage = text
					}
				}
				return reply, err
			}}
		},
	},
	{
		Name: "values are cached without the run", Rule: "ISO-2", Check: "ISO-2/other-run/FetchXCom",
		server: cached(func(c claims) string { return c.Tenant + "/" + c.Dag + "/" + c.Task }),
	},
	{
		Name: "an attempt of another tenant is told from none", Rule: "ISO-3", Check: "ISO-3/foreign/Register",
		server: func() *server {
			return &server{unary: func(s *server, c *call, pass next) (proto.Message, error) {
				reply, err := pass(c)
				who := read(tokenOf(c.md))
				if err == nil {
					s.keep("seen "+who.Subject, true)
				} else if s.recall("seen "+who.Subject) != nil {
					err = status.Error(status.Code(err), "it is another tenant's")
				}
				return reply, err
			}}
		},
	},
	{
		Name: "a refused push is stored", Rule: "ISO-4", Check: "ISO-4/not-live/PushXCom",
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
		Name: "a value is readable one read late", Rule: "ISO-5", Check: "ISO-5/at-once",
		server: func() *server {
			return &server{unary: func(s *server, c *call, pass next) (proto.Message, error) {
				reply, err := pass(c)
				if c.method == "FetchXCom" && err == nil {
					if earlier, ok := s.keep("last of "+tokenOf(c.md), reply).(proto.Message); ok {
						return earlier, nil
					}
				}
				return reply, err
			}}
		},
	},
}
