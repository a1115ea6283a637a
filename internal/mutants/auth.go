package mutants

import (
	"context"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"
	policyv1 "github.com/neochaotic/leoflow/gen/leoflow/policy/v1"
	"github.com/neochaotic/leoflow/internal/mutants/matrix"
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
		}, stream: func(s *server, md metadata.MD) metadata.MD {
			token := tokenOf(md)
			if who := read(token); taken(token, &who) {
				return withToken(md, s.good(context.Background(), who))
			}
			return md
		}}
	}
}

// broadAuth is why any number of checks find a mutant of who calls.
const broadAuth = "it breaks who calls, which every call of every check asks"

// open is a server that answers a call which ours refuses for who calls, where taken says
// so: OK, and nothing in it.
func open(taken func(method string, md metadata.MD) bool) func() *server {
	return func() *server {
		return &server{
			unary: func(_ *server, c *call, pass next) (proto.Message, error) {
				reply, err := pass(c)
				if status.Code(err) == codes.Unauthenticated && taken(c.method, c.md) {
					return answerOf(c.request), nil
				}
				return reply, err
			},
			opened: func(_ *server, md metadata.MD) (bool, error) { return taken("StreamLogs", md), nil },
		}
	}
}

// answerOf is an empty answer to a request.
func answerOf(request proto.Message) proto.Message {
	file := request.ProtoReflect().Descriptor().ParentFile()
	for i := range file.Services().Len() {
		methods := file.Services().Get(i).Methods()
		for j := range methods.Len() {
			if m := methods.Get(j); m.Input() == request.ProtoReflect().Descriptor() {
				return message(m.Output())
			}
		}
	}
	panic("there is no call with a request such as " + string(request.ProtoReflect().Descriptor().FullName()))
}

// bare is what follows the scheme in metadata, whatever the scheme.
func bare(md metadata.MD) string {
	values := md.Get("authorization")
	if len(values) == 0 {
		return ""
	}
	_, token, found := strings.Cut(values[0], " ")
	if !found {
		return values[0]
	}
	return token
}

// ofAgents reports whether a method is of AgentService.
func ofAgents(method string) bool {
	methods := agentv1.File_leoflow_agent_v1_agent_proto.Services().Get(0).Methods()
	return methods.ByName(protoreflect.Name(method)) != nil
}

// viewers is a server that answers operators who may only read otherwise.
func viewers(instead func(*call, proto.Message, error) (proto.Message, error)) func() *server {
	return func() *server {
		return &server{unary: func(s *server, c *call, pass next) (proto.Message, error) {
			reply, err := pass(c)
			if r, ok := c.request.(*conformancev1.MintTokenRequest); ok && r.GetDefect() == conformancev1.TokenDefect_TOKEN_DEFECT_VIEWER && err == nil {
				s.keep("viewer "+reply.(*conformancev1.MintTokenResponse).GetToken(), true)
			}
			if s.recall("viewer "+tokenOf(c.md)) != nil {
				return instead(c, reply, err)
			}
			return reply, err
		}}
	}
}

var authMutants = []Mutant{
	{
		Name: "whoever says nothing of himself is let in", Rule: "AUTH-1", Check: "AUTH-1/none/Heartbeat", Broad: broadAuth,
		server: open(func(_ string, md metadata.MD) bool { return md.Get("authorization") == nil }),
	},
	{
		Name: "an expired token is good", Rule: "AUTH-2", Check: "AUTH-2/expired/ReportState", Broad: broadAuth,
		server: lenient(func(_ string, c *claims) bool { return c.Expires > 0 && c.Expires < time.Now().Unix() }),
	},
	{
		Name: "a token without an end is good", Rule: "AUTH-2", Check: "AUTH-2/no-expiry/GetTaskSpec", Broad: broadAuth,
		server: lenient(func(_ string, c *claims) bool { return c.Algorithm == "HS256" && c.Expires == 0 }),
	},
	{
		Name: "a token that is not valid yet is good", Rule: "AUTH-2", Check: "AUTH-2/not-yet-valid/Register", Broad: broadAuth,
		server: lenient(func(_ string, c *claims) bool { return c.NotBefore > time.Now().Unix() }),
	},
	{
		Name: "an unsigned token is good", Rule: "AUTH-2", Check: "AUTH-2/algorithm-none/PushXCom", Broad: broadAuth,
		server: lenient(func(_ string, c *claims) bool { return c.Algorithm == "none" }),
	},
	{
		Name: "signatures are not looked at", Rule: "AUTH-2", Check: "AUTH-2/wrong-key/FetchXCom", Broad: broadAuth,
		Also: matrix.Because("a part of a signature is no signature", "AUTH-2/cut/GetTaskSpec"),
		server: lenient(func(_ string, c *claims) bool {
			return c.Algorithm == "HS256" && c.Expires > time.Now().Unix() && c.NotBefore == 0 && c.Issuer == "leoflow" && slices.Contains(c.Audience, "leoflow-agent") && c.Try > 0
		}),
	},
	{
		Name: "the scheme is not looked at", Rule: "AUTH-2", Check: "AUTH-2/other-scheme/Heartbeat", Broad: broadAuth,
		server: open(func(_ string, md metadata.MD) bool {
			return bare(md) != "" && !strings.HasPrefix(md.Get("authorization")[0], "Bearer ")
		}),
	},
	{
		Name: "what is no token is good", Rule: "AUTH-2", Check: "AUTH-2/no-token/ReportState", Broad: broadAuth,
		server: open(func(_ string, md metadata.MD) bool {
			return md.Get("authorization") != nil && strings.Count(bare(md), ".") != 2
		}),
	},
	{
		Name: "a token of another algorithm is good", Rule: "AUTH-2", Check: "AUTH-2/other-algorithm/FetchXCom", Broad: broadAuth,
		server: lenient(func(_ string, c *claims) bool {
			return c.Algorithm != "" && c.Algorithm != "HS256" && c.Algorithm != "none"
		}),
	},
	{
		Name: "the issuer is not looked at", Rule: "AUTH-2", Check: "AUTH-2/other-issuer/GetVariables", Broad: broadAuth,
		server: lenient(func(_ string, c *claims) bool { return c.Issuer != "" && c.Issuer != "leoflow" }),
	},
	{
		Name: "the audience is not looked at", Rule: "AUTH-2", Check: "AUTH-2/other-audience/GetConnections", Broad: broadAuth,
		server: lenient(func(_ string, c *claims) bool { return slices.Contains(c.Audience, "somebody-else") }),
	},
	{
		Name: "a token that lacks something is good", Rule: "AUTH-3", Check: "AUTH-3/no-try/Heartbeat", Broad: broadAuth,
		Also: matrix.Because("something else is lacking", "AUTH-3/no-tenant/Register"),
		server: open(func(_ string, md metadata.MD) bool {
			c := read(tokenOf(md))
			return slices.Contains(c.Audience, "leoflow-agent") && (c.Subject == "" || c.Tenant == "" || c.Dag == "" || c.Run == "" || c.Task == "" || c.Try == 0)
		}),
	},
	{
		Name: "a missing token is told from a bad one", Rule: "AUTH-4", Check: "AUTH-4/alike/Heartbeat", Broad: broadAuth,
		server: func() *server {
			tells := func(md metadata.MD, err error) error {
				if status.Code(err) == codes.Unauthenticated && md.Get("authorization") == nil {
					return says(err, ": give a token")
				}
				return err
			}
			return &server{
				unary: func(_ *server, c *call, pass next) (proto.Message, error) {
					reply, err := pass(c)
					return reply, tells(c.md, err)
				},
				closed: func(_ *server, md metadata.MD, err error) error { return tells(md, err) },
			}
		},
	},
	{
		Name: "requests are validated before callers are known", Rule: "AUTH-5", Check: "AUTH-5/invalid/ReportState", Broad: broadAuth,
		server: func() *server {
			return &server{unary: func(_ *server, c *call, pass next) (proto.Message, error) {
				reply, err := pass(c)
				if r, ok := c.request.(interface{ ValidateAll() error }); ok && r.ValidateAll() != nil && status.Code(err) == codes.Unauthenticated {
					return nil, status.Error(codes.InvalidArgument, "a field is invalid")
				}
				return reply, err
			}}
		},
	},
	{
		Name: "attempts are looked for before callers are known", Rule: "AUTH-5", Check: "AUTH-5/unknown/Heartbeat", Broad: broadAuth,
		server: func() *server {
			missing := func(s *server, md metadata.MD, err error) error {
				c := read(tokenOf(md))
				expired := c.Expires > 0 && c.Expires < time.Now().Unix()
				if status.Code(err) == codes.Unauthenticated && expired && s.recall("prepared "+c.key()) == nil {
					return status.Error(codes.NotFound, "no such attempt")
				}
				return err
			}
			return &server{
				unary: func(s *server, c *call, pass next) (proto.Message, error) {
					reply, err := pass(c)
					if got, ok := reply.(*conformancev1.PrepareAttemptResponse); ok && err == nil {
						s.keep("prepared "+keyOf(got.GetAttempt()), true)
					}
					return reply, missing(s, c.md, err)
				},
				closed: missing,
			}
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
		Name: "an operator's token opens what agents call", Rule: "AUTH-7", Check: "AUTH-7/operator-token/Heartbeat", Broad: broadAuth,
		Also: matrix.Because("of another call", "AUTH-7/operator-token/PushXCom"),
		server: open(func(_ string, md metadata.MD) bool {
			return slices.Contains(read(tokenOf(md)).Audience, "leoflow-operator")
		}),
	},
	{
		Name: "an agent's token opens what operators call", Rule: "AUTH-7", Check: "AUTH-7/agent-token/ListRuns", Broad: broadAuth,
		server: open(func(method string, md metadata.MD) bool {
			c := read(tokenOf(md))
			return !ofAgents(method) && slices.Contains(c.Audience, "leoflow-agent")
		}),
	},
	{
		Name: "whoever may read may do all", Rule: "AUTH-11", Check: "AUTH-11/viewer-may-not/CancelRun", Broad: broadAuth,
		server: viewers(func(c *call, reply proto.Message, err error) (proto.Message, error) {
			if status.Code(err) == codes.PermissionDenied {
				return answerOf(c.request), nil
			}
			return reply, err
		}),
	},
	{
		Name: "whoever may only read may nothing", Rule: "AUTH-11", Check: "AUTH-11/viewer-may/ListRuns", Broad: broadAuth,
		Also: matrix.Because("of another call", "AUTH-11/viewer-may/GetRun"),
		server: viewers(func(*call, proto.Message, error) (proto.Message, error) {
			return nil, status.Error(codes.PermissionDenied, "you may not")
		}),
	},
	{
		Name: "all tasks of a run have the session of the first", Rule: "REG-1", Check: "REG-1/session",
		server: after(func(s *server, c *call, reply *agentv1.RegisterResponse) {
			who := read(tokenOf(c.md))
			of := "session " + who.Tenant + "/" + who.Run
			if first, ok := s.recall(of).(string); ok {
				reply.SessionId = first
			} else {
				s.keep(of, reply.GetSessionId())
			}
		}),
	},
	{
		Name: "registering again begins again", Rule: "REG-2", Check: "REG-2/again",
		server: func() *server {
			return &server{unary: func(s *server, c *call, pass next) (proto.Message, error) {
				reply, err := pass(c)
				who := read(tokenOf(c.md))
				if _, ok := reply.(*agentv1.RegisterResponse); ok && err == nil && s.keep("registered "+who.key(), true) != nil {
					s.keep("again "+who.key(), timestamppb.Now())
				}
				if got, ok := reply.(*conformancev1.GetAttemptResponse); ok && err == nil && got.GetStartedAt() != nil {
					key := keyOf(c.request.(*conformancev1.GetAttemptRequest).GetAttempt())
					if at, ok := s.recall("again " + key).(*timestamppb.Timestamp); ok {
						got.StartedAt = at
					}
				}
				return reply, err
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
		Name: "the specification changes as the attempt runs", Rule: "SPEC-2", Check: "SPEC-2/again",
		server: after(func(s *server, c *call, reply *agentv1.TaskSpec) {
			if s.stored(c).GetState() == policyv1.TaskState_TASK_STATE_RUNNING {
				reply.Environment["STATE"] = "running"
			}
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
