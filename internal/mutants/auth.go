package mutants

import (
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"
)

// lenient is a server that takes a token which ours refuses, where taken says so, for a
// good one that says the same.
func lenient(taken func(token string, c *claims) bool) func() *server {
	return func() *server {
		return &server{unary: func(s *server, c *call, pass next) (proto.Message, error) {
			reply, err := pass(c)
			if status.Code(err) != codes.Unauthenticated {
				return reply, err
			}
			token := tokenOf(c.md)
			who := read(token)
			if !taken(token, &who) {
				return reply, err
			}
			again := *c
			again.md = withToken(c.md, s.good(c.ctx, who))
			return pass(&again)
		}}
	}
}

// asLast is a server that takes a call which ours refuses, where taken says so, for one of
// whoever of an audience called last and was taken.
func asLast(of string, taken func(*call) bool) func() *server {
	return func() *server {
		return &server{unary: func(s *server, c *call, pass next) (proto.Message, error) {
			reply, err := pass(c)
			who := read(tokenOf(c.md))
			last, _ := s.recall("last").(string)
			switch {
			case err == nil && slices.Contains(who.Audience, of):
				s.keep("last", tokenOf(c.md))
			case status.Code(err) == codes.Unauthenticated && last != "" && taken(c):
				again := *c
				again.md = withToken(c.md, last)
				return pass(&again)
			}
			return reply, err
		}}
	}
}

var authMutants = []Mutant{
	{
		Name: "no credentials are those of who called last", Rule: "AUTH-1", Check: "AUTH-1/none/Heartbeat",
		server: asLast("leoflow-agent", func(c *call) bool { return c.md.Get("authorization") == nil }),
	},
	{
		Name: "an expired token is good", Rule: "AUTH-2", Check: "AUTH-2/expired/ReportState",
		server: lenient(func(_ string, c *claims) bool { return c.Expires > 0 && c.Expires < time.Now().Unix() }),
	},
	{
		Name: "a token without an end is good", Rule: "AUTH-2", Check: "AUTH-2/no-expiry/GetTaskSpec",
		server: lenient(func(_ string, c *claims) bool { return c.Algorithm == "HS256" && c.Expires == 0 }),
	},
	{
		Name: "a token that is not valid yet is good", Rule: "AUTH-2", Check: "AUTH-2/not-yet-valid/Register",
		server: lenient(func(_ string, c *claims) bool { return c.NotBefore > time.Now().Unix() }),
	},
	{
		Name: "an unsigned token is good", Rule: "AUTH-2", Check: "AUTH-2/algorithm-none/PushXCom",
		server: lenient(func(_ string, c *claims) bool { return c.Algorithm == "none" }),
	},
	{
		Name: "signatures are not looked at", Rule: "AUTH-2", Check: "AUTH-2/wrong-key/FetchXCom",
		server: lenient(func(_ string, c *claims) bool {
			return c.Algorithm == "HS256" && c.Expires > time.Now().Unix() && c.NotBefore == 0 && c.Issuer == "leoflow" && slices.Contains(c.Audience, "leoflow-agent") && c.Try > 0
		}),
	},
	{
		Name: "the scheme is not looked at", Rule: "AUTH-2", Check: "AUTH-2/other-scheme/Heartbeat",
		server: func() *server {
			return &server{unary: func(_ *server, c *call, pass next) (proto.Message, error) {
				for _, value := range c.md.Get("authorization") {
					if token, basic := strings.CutPrefix(value, "Basic "); basic {
						c.md = withToken(c.md, token)
					}
				}
				return pass(c)
			}}
		},
	},
	{
		Name: "the issuer is not looked at", Rule: "AUTH-2", Check: "AUTH-2/other-issuer/GetVariables",
		server: lenient(func(_ string, c *claims) bool { return c.Issuer != "" && c.Issuer != "leoflow" }),
	},
	{
		Name: "the audience is not looked at", Rule: "AUTH-2", Check: "AUTH-2/other-audience/GetConnections",
		server: lenient(func(_ string, c *claims) bool { return slices.Contains(c.Audience, "somebody-else") }),
	},
	{
		Name: "a missing try is the first", Rule: "AUTH-3", Check: "AUTH-3/no-try/Heartbeat",
		server: lenient(func(_ string, c *claims) bool {
			missing := c.Try == 0
			c.Try = max(c.Try, 1)
			return missing && c.Subject != "" && c.Task != ""
		}),
	},
	{
		Name: "a missing token is told from a bad one", Rule: "AUTH-4", Check: "AUTH-4/alike/Heartbeat",
		server: func() *server {
			return &server{unary: func(_ *server, c *call, pass next) (proto.Message, error) {
				reply, err := pass(c)
				if status.Code(err) == codes.Unauthenticated && c.md.Get("authorization") == nil {
					err = status.Error(codes.Unauthenticated, "give a token")
				}
				return reply, err
			}}
		},
	},
	{
		Name: "requests are validated before callers are known", Rule: "AUTH-5", Check: "AUTH-5/invalid/ReportState",
		server: func() *server {
			return &server{unary: func(_ *server, c *call, pass next) (proto.Message, error) {
				if r, ok := c.request.(*agentv1.ReportStateRequest); ok && r.ValidateAll() != nil {
					return nil, status.Error(codes.InvalidArgument, "state")
				}
				return pass(c)
			}}
		},
	},
	{
		Name: "a header says who calls", Rule: "AUTH-6", Check: "AUTH-6/headers/GetTaskSpec",
		server: func() *server {
			return &server{unary: func(_ *server, c *call, pass next) (proto.Message, error) {
				reply, err := pass(c)
				if r, ok := reply.(*agentv1.RegisterResponse); ok && len(c.md.Get("x-task-instance-id")) > 0 {
					r.SessionId = c.md.Get("x-task-instance-id")[0]
				}
				return reply, err
			}}
		},
	},
	{
		Name: "an operator's token opens what agents call", Rule: "AUTH-7", Check: "AUTH-7/operator-token/Heartbeat",
		server: asLast("leoflow-agent", func(c *call) bool {
			who := read(tokenOf(c.md))
			return slices.Contains(who.Audience, "leoflow-operator")
		}),
	},
	{
		Name: "an agent's token opens what operators call", Rule: "AUTH-7", Check: "AUTH-7/agent-token/ListRuns",
		server: asLast("leoflow-operator", func(c *call) bool {
			who := read(tokenOf(c.md))
			return c.method == "ListRuns" && slices.Contains(who.Audience, "leoflow-agent")
		}),
	},
	{
		Name: "whoever may read may cancel", Rule: "AUTH-11", Check: "AUTH-11/viewer-may-not/CancelRun",
		server: func() *server {
			return &server{unary: func(s *server, c *call, pass next) (proto.Message, error) {
				reply, err := pass(c)
				if c.method == "CancelRun" && status.Code(err) == codes.PermissionDenied {
					got, err := conformancev1.NewFixtureServiceClient(s.fixture).MintToken(c.ctx, &conformancev1.MintTokenRequest{
						Attempt: read(tokenOf(c.md)).ref(), Defect: conformancev1.TokenDefect_TOKEN_DEFECT_OPERATOR,
					})
					if err != nil {
						return nil, err
					}
					c.md = withToken(c.md, got.GetToken())
					return pass(c)
				}
				return reply, err
			}}
		},
	},
	{
		Name: "the session is the run", Rule: "REG-1", Check: "REG-1/session",
		server: after(func(_ *server, c *call, reply *agentv1.RegisterResponse) {
			who := read(tokenOf(c.md))
			reply.SessionId = who.Run
		}),
	},
	{
		Name: "registering again is refused", Rule: "REG-2", Check: "REG-2/again",
		server: func() *server {
			return &server{unary: func(s *server, c *call, pass next) (proto.Message, error) {
				if c.method == "Register" && s.keep("registered "+tokenOf(c.md), true) != nil {
					return nil, status.Error(codes.AlreadyExists, "registered already")
				}
				return pass(c)
			}}
		},
	},
	{
		Name: "the sources of a fan-in are sorted", Rule: "SPEC-1", Check: "SPEC-1/every-field",
		server: after(func(_ *server, _ *call, reply *agentv1.TaskSpec) {
			for _, sources := range reply.GetXcomInputMapping() {
				slices.Sort(sources.GetTaskIds())
			}
		}),
	},
	{
		Name: "the specification changes with each call", Rule: "SPEC-2", Check: "SPEC-2/again",
		server: after(func(_ *server, _ *call, reply *agentv1.TaskSpec) {
			reply.Environment["NOW"] = time.Now().Format(time.RFC3339Nano)
		}),
	},
}

// after is a server that changes the replies of one type.
func after[T proto.Message](change func(*server, *call, T)) func() *server {
	return func() *server {
		return &server{unary: func(s *server, c *call, pass next) (proto.Message, error) {
			reply, err := pass(c)
			if of, ok := reply.(T); ok && err == nil {
				change(s, c, of)
			}
			return reply, err
		}}
	}
}

// before is a server that changes the requests of one type.
func before[T proto.Message](change func(*server, *call, T)) func() *server {
	return func() *server {
		return &server{unary: func(s *server, c *call, pass next) (proto.Message, error) {
			if of, ok := c.request.(T); ok {
				change(s, c, of)
			}
			return pass(c)
		}}
	}
}
