package mutants

import (
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"
	"github.com/neochaotic/leoflow/internal/mutants/matrix"
)

// openForEver is a server that closes no log: what it ends for that, it ends as if all
// were well.
func openForEver() *server {
	return &server{ended: func(err error) error {
		if status.Code(err) == codes.FailedPrecondition {
			return nil
		}
		return err
	}}
}

// clockMutants have keys and clocks of their own.
var clockMutants = []Mutant{
	{
		Name: "a key opens nothing once it signs no more", Rule: "AUTH-9", Check: "AUTH-9/former-key",
		server: func() *server {
			return &server{unary: func(s *server, c *call, pass next) (proto.Message, error) {
				if s.recall("former "+tokenOf(c.md)) != nil {
					return nil, status.Error(codes.Unauthenticated, "unauthenticated")
				}
				reply, err := pass(c)
				if got, ok := reply.(*conformancev1.MintTokenResponse); ok && err == nil {
					if c.request.(*conformancev1.MintTokenRequest).GetDefect() == conformancev1.TokenDefect_TOKEN_DEFECT_FORMER_KEY {
						s.keep("former "+got.GetToken(), true)
					}
				}
				return reply, err
			}}
		},
	},
	{
		Name: "a token that was good once is good for ever", Rule: "AUTH-10", Check: "AUTH-10/expires",
		server: func() *server {
			return &server{unary: func(s *server, c *call, pass next) (proto.Message, error) {
				reply, err := pass(c)
				if c.method != "Heartbeat" {
					return reply, err
				}
				switch {
				case err == nil:
					s.keep("good "+authorizationOf(c.md), true)
				case status.Code(err) == codes.Unauthenticated && s.recall("good "+authorizationOf(c.md)) != nil:
					return &agentv1.HeartbeatResponse{}, nil
				}
				return reply, err
			}}
		},
	},
	{
		Name: "a stream ends with its token", Rule: "AUTH-10", Check: "AUTH-10/expires", server: endsWithToken,
		Also: matrix.Because("its clock is moved, too", "LOG-9/grace"),
	},
	{
		Name: "an open stream is a token for ever", Rule: "AUTH-10", Check: "AUTH-10/expires", server: openForEver,
		Also: matrix.Because("the grace of an attempt is over there, too", "LOG-9/grace"),
	},
	{
		Name: "a log is never closed", Rule: "LOG-9", Check: "LOG-9/grace", server: openForEver,
		Also: matrix.Because("the grace of an attempt is over there, too", "AUTH-10/expires"),
	},
	{
		Name: "a renewed token forgets its ceiling", Rule: "TOKEN-2", Check: "TOKEN-2/ceiling",
		server: func() *server {
			return &server{unary: func(s *server, c *call, pass next) (proto.Message, error) {
				if c.method == "Heartbeat" && s.recall("bounded "+tokenOf(c.md)) != nil {
					far, err := conformancev1.NewFixtureServiceClient(s.fixture).MintToken(c.ctx, &conformancev1.MintTokenRequest{
						Attempt: read(tokenOf(c.md)).ref(), Defect: conformancev1.TokenDefect_TOKEN_DEFECT_DUE,
					})
					if err != nil {
						return nil, err
					}
					c.md = withToken(c.md, far.GetToken())
				}
				reply, err := pass(c)
				if got, ok := reply.(*conformancev1.MintTokenResponse); ok && err == nil && got.GetCeiling() != nil {
					s.keep("bounded "+got.GetToken(), true)
				}
				return reply, err
			}}
		},
	},
}

// endsWithToken is a server that ends a stream with its next line once the clock moved.
func endsWithToken() *server {
	return &server{
		unary: before(func(s *server, _ *call, r *conformancev1.AdvanceClockRequest) {
			s.keep("ahead", r.GetAhead().AsDuration() > 0)
		})().unary,
		newLine: func(s *server) func(*agentv1.LogLine) []*agentv1.LogLine {
			return func(l *agentv1.LogLine) []*agentv1.LogLine {
				if ahead, _ := s.recall("ahead").(bool); ahead {
					l.Message = strings.Repeat("x", 32<<20) // which no transport takes
				}
				return []*agentv1.LogLine{l}
			}
		},
		ended: func(err error) error {
			if status.Code(err) == codes.ResourceExhausted {
				return status.Error(codes.Unauthenticated, "unauthenticated")
			}
			return err
		},
	}
}
