package mutants

import (
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"
)

// ended is a server that remembers that a fault ended it, and may do wrong from then on.
func ended(fault conformancev1.Fault, m *server) *server {
	inner := m.unary
	m.unary = func(s *server, c *call, pass next) (proto.Message, error) {
		if r, ok := c.request.(*conformancev1.SetFaultRequest); ok && r.GetFault() == fault && r.GetActive() {
			s.keep("ended", true)
		}
		if inner != nil {
			return inner(s, c, pass)
		}
		return pass(c)
	}
	return m
}

// forgetful is a server that has only so many lines of a log on disk when a fault ends it.
func forgetful(fault conformancev1.Fault, kept int) func() *server {
	return func() *server {
		return ended(fault, after(func(s *server, _ *call, reply *conformancev1.GetLogResponse) {
			if s.recall("ended") != nil {
				reply.Records = reply.GetRecords()[:min(kept, len(reply.GetRecords()))]
			}
		})())
	}
}

const (
	killed = conformancev1.Fault_FAULT_RESTART
	shut   = conformancev1.Fault_FAULT_SHUTDOWN
)

var shipMutants = []Mutant{
	{Name: "what came last is lost with a server that is killed", Rule: "LOG-1", Check: "LOG-1/killed", server: forgetful(killed, 150)},
	{Name: "what came last is lost by a shutdown", Rule: "LOG-10", Check: "LOG-10/shutdown", server: forgetful(shut, 59)},
	{
		Name: "a shutdown leaves lines without their acknowledgement", Rule: "LOG-10", Check: "LOG-10/shutdown",
		server: func() *server {
			m := new(server)
			m.ack = func(a *agentv1.LogAck) *agentv1.LogAck {
				<-time.After(200 * time.Millisecond) // so that a shutdown finds one on its way
				if m.recall("ended") != nil {
					return nil
				}
				return a
			}
			return ended(shut, m)
		},
	},
	{
		Name: "a shutdown ends streams as if all were well", Rule: "LOG-10", Check: "LOG-10/shutdown",
		server: func() *server {
			return &server{ended: func(err error) error {
				if status.Code(err) == codes.Unavailable {
					return nil
				}
				return err
			}}
		},
	},
	{
		Name: "who follows looks every four seconds", Rule: "LOG-11", Check: "LOG-11/live",
		server: after(func(*server, *call, *conformancev1.AwaitLineResponse) { <-time.After(4 * time.Second) }),
	},
	{
		Name: "who follows and takes nothing holds up the task", Rule: "LOG-11", Check: "LOG-11/stalled",
		server: func() *server {
			return &server{
				unary: after(func(s *server, _ *call, _ *conformancev1.StallFollowerResponse) { s.keep("stalled", true) })().unary,
				newLine: func(s *server) func(*agentv1.LogLine) []*agentv1.LogLine {
					left := 100 // which somebody has room for
					return func(l *agentv1.LogLine) []*agentv1.LogLine {
						if s.recall("stalled") != nil {
							left--
						}
						if left < 0 {
							return nil
						}
						return []*agentv1.LogLine{l}
					}
				},
			}
		},
	},
	{
		Name: "an acknowledgement goes out for each line that is received", Rule: "LOG-12", Check: "LOG-12/no-reader",
		server: func() *server { return &server{perLine: true} },
	},
}
