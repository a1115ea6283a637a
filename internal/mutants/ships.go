package mutants

import (
	"fmt"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"
)

// forgetful is a server that has only so many lines of each log on disk when a fault ends
// it.
func forgetful(fault conformancev1.Fault, kept int) func() *server {
	name := func(ref *conformancev1.AttemptRef) string {
		return fmt.Sprint("ends before ", ref.GetTenantId(), ref.GetRunId(), ref.GetTaskId(), ref.GetTryNumber())
	}
	return func() *server {
		var ends atomic.Int64
		return &server{unary: func(s *server, c *call, pass next) (proto.Message, error) {
			reply, err := pass(c)
			if r, ok := c.request.(*conformancev1.SetFaultRequest); ok && r.GetFault() == fault && r.GetActive() {
				ends.Add(1)
			}
			switch reply := reply.(type) {
			case *conformancev1.PrepareAttemptResponse:
				s.keep(name(reply.GetAttempt()), ends.Load())
			case *conformancev1.GetLogResponse:
				r, _ := c.request.(*conformancev1.GetLogRequest)
				if before, ok := s.recall(name(r.GetAttempt())).(int64); ok && before < ends.Load() {
					reply.Records = reply.GetRecords()[:min(kept, len(reply.GetRecords()))]
				}
			}
			return reply, err
		}}
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
			var down atomic.Bool
			return &server{
				unary: before(func(_ *server, _ *call, r *conformancev1.SetFaultRequest) {
					if r.GetFault() == shut && r.GetActive() {
						down.Store(true)
					}
				})().unary,
				ack: func(a *agentv1.LogAck) *agentv1.LogAck {
					if n := a.GetAcknowledgedThroughLine(); n <= 50 || n > 60 {
						return a
					}
					<-time.After(200 * time.Millisecond) // so that the shutdown finds it on its way
					if down.Load() {
						return nil
					}
					return a
				},
			}
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
						if s.recall("stalled") != nil && len(l.GetMessage()) > 1000 { // which only that task's are
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
