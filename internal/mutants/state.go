package mutants

import (
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	policyv1 "github.com/neochaotic/leoflow/gen/leoflow/policy/v1"

	"github.com/neochaotic/leoflow/internal/mutants/matrix"
)

const (
	saySuccess = agentv1.TaskState_TASK_STATE_SUCCESS
	sayFailed  = agentv1.TaskState_TASK_STATE_FAILED
	sayRunning = agentv1.TaskState_TASK_STATE_RUNNING
)

// reports is a server that changes what becomes of reports.
func reports(change func(s *server, c *call, r *agentv1.ReportStateRequest, pass func() (*agentv1.ReportStateResponse, error)) (*agentv1.ReportStateResponse, error)) func() *server {
	return func() *server {
		return &server{unary: func(s *server, c *call, pass next) (proto.Message, error) {
			r, ok := c.request.(*agentv1.ReportStateRequest)
			if !ok {
				return pass(c)
			}
			return change(s, c, r, func() (*agentv1.ReportStateResponse, error) {
				reply, err := pass(c)
				if err != nil {
					return nil, err
				}
				return reply.(*agentv1.ReportStateResponse), nil
			})
		}}
	}
}

var stateMutants = []Mutant{
	{
		Name: "a state that is none means failed", Rule: "STATE-1", Check: "STATE-1/unknown",
		Also: matrix.Because("another number that is no state", "STATE-1/negative", "STATE-1/upstream-failed"),
		server: before(func(_ *server, _ *call, r *agentv1.ReportStateRequest) {
			if agentv1.TaskState_name[int32(r.GetState())] == "" {
				r.State = sayFailed
			}
		}),
	},
	{
		Name: "a report without a state that has an exit code means failed", Rule: "STATE-1", Check: "STATE-1/unspecified",
		server: before(func(_ *server, _ *call, r *agentv1.ReportStateRequest) {
			if r.GetState() == 0 && r.GetExitCode() != 0 {
				r.State = sayFailed
			}
		}),
	},
	{
		Name: "a repeated outcome is told to terminate", Rule: "STATE-3", Check: "STATE-3/success",
		Also: matrix.Because("the same of another outcome", "STATE-3/failed", "STATE-3/skipped"),
		server: reports(func(s *server, c *call, r *agentv1.ReportStateRequest, pass func() (*agentv1.ReportStateResponse, error)) (*agentv1.ReportStateResponse, error) {
			reply, err := pass()
			if reply != nil && r.GetState() != sayRunning && s.keep(fmt.Sprint("reported ", tokenOf(c.md), r.GetState()), true) != nil {
				reply.ShouldTerminate = true
			}
			return reply, err
		}),
	},
	{
		Name: "each RUNNING is the first", Rule: "STATE-3", Check: "STATE-3/running",
		server: func() *server {
			return &server{unary: func(s *server, c *call, pass next) (proto.Message, error) {
				reply, err := pass(c)
				if r, ok := c.request.(*agentv1.ReportStateRequest); ok && r.GetState() == sayRunning && err == nil && !reply.(*agentv1.ReportStateResponse).GetShouldTerminate() {
					s.keep("runs since "+read(tokenOf(c.md)).key(), r.GetOccurredAt())
				}
				if got, ok := reply.(*conformancev1.GetAttemptResponse); ok && err == nil && got.GetStartedAt() != nil {
					if at, ok := s.recall("runs since " + keyOf(c.request.(*conformancev1.GetAttemptRequest).GetAttempt())).(*timestamppb.Timestamp); ok {
						got.StartedAt = at
					}
				}
				return reply, err
			}}
		},
	},
	{
		Name: "a superseded attempt is not told to terminate", Rule: "STATE-4", Check: "STATE-4/superseded",
		server: reports(func(_ *server, _ *call, _ *agentv1.ReportStateRequest, pass func() (*agentv1.ReportStateResponse, error)) (*agentv1.ReportStateResponse, error) {
			reply, err := pass()
			if reply.GetReason() == agentv1.TerminationReason_TERMINATION_REASON_SUPERSEDED {
				reply.ShouldTerminate = false
			}
			return reply, err
		}),
	},
	{
		Name: "a report of nobody's attempt is acknowledged", Rule: "STATE-4", Check: "STATE-4/unknown",
		server: reports(func(_ *server, _ *call, _ *agentv1.ReportStateRequest, pass func() (*agentv1.ReportStateResponse, error)) (*agentv1.ReportStateResponse, error) {
			reply, err := pass()
			if reply.GetReason() == agentv1.TerminationReason_TERMINATION_REASON_UNKNOWN {
				reply.Acknowledged = true
			}
			return reply, err
		}),
	},
	{
		Name: "a late RUNNING reopens", Rule: "STATE-5", Check: "STATE-5/success",
		Also: matrix.Because("after another outcome", "STATE-5/failed", "STATE-5/skipped"),
		server: func() *server {
			return &server{unary: func(s *server, c *call, pass next) (proto.Message, error) {
				reply, err := pass(c)
				if r, ok := c.request.(*agentv1.ReportStateRequest); ok && r.GetState() == sayRunning && err == nil && reply.(*agentv1.ReportStateResponse).GetReason() == agentv1.TerminationReason_TERMINATION_REASON_FINISHED {
					s.keep("reopened "+read(tokenOf(c.md)).key(), true)
				}
				if r, ok := c.request.(*conformancev1.GetAttemptRequest); ok && err == nil && s.recall("reopened "+keyOf(r.GetAttempt())) != nil {
					reply.(*conformancev1.GetAttemptResponse).State = policyv1.TaskState_TASK_STATE_RUNNING
				}
				return reply, err
			}}
		},
	},
	{
		Name: "exit codes are those of a shell", Rule: "STATE-6", Check: "STATE-6/fields",
		server: before(func(_ *server, _ *call, r *agentv1.ReportStateRequest) { r.ExitCode &= 0xff }),
	},
	{
		Name: "a long message is refused", Rule: "STATE-6", Check: "STATE-6/long",
		server: reports(func(_ *server, _ *call, r *agentv1.ReportStateRequest, pass func() (*agentv1.ReportStateResponse, error)) (*agentv1.ReportStateResponse, error) {
			if len(r.GetErrorMessage()) > 16<<10 {
				return nil, status.Error(codes.InvalidArgument, "error_message is too long")
			}
			return pass()
		}),
	},
	{
		Name: "who loses the race is told that it won", Rule: "STATE-7", Check: "STATE-7/race",
		Also: matrix.Because("it reports against an outcome, too", "STATE-4/settled").
			And("one of those who report at once comes too late", "STATE-9/race"),
		server: reports(func(_ *server, _ *call, r *agentv1.ReportStateRequest, pass func() (*agentv1.ReportStateResponse, error)) (*agentv1.ReportStateResponse, error) {
			reply, err := pass()
			if r.GetState() != sayRunning && reply.GetReason() == agentv1.TerminationReason_TERMINATION_REASON_FINISHED {
				reply.ShouldTerminate = false
			}
			return reply, err
		}),
	},
	{
		Name: "a cancelled success is a failure", Rule: "STATE-10", Check: "STATE-10/success",
		server: reports(func(s *server, c *call, r *agentv1.ReportStateRequest, pass func() (*agentv1.ReportStateResponse, error)) (*agentv1.ReportStateResponse, error) {
			if r.GetState() == saySuccess && s.stored(c).GetCancelRequested() {
				r.State = sayFailed
			}
			return pass()
		}),
	},
	{
		Name: "a failure that was asked for is one of its own", Rule: "STATE-10", Check: "STATE-10/failed",
		server: after(func(_ *server, _ *call, reply *conformancev1.GetAttemptResponse) {
			if reply.GetCause() == controlv1.Cause_CAUSE_CANCELLED {
				reply.Cause = controlv1.Cause_CAUSE_EXIT_NONZERO
			}
		}),
	},
	{
		Name: "an attempt that is to stop may begin", Rule: "STATE-10", Check: "STATE-10/running",
		server: reports(func(_ *server, _ *call, r *agentv1.ReportStateRequest, pass func() (*agentv1.ReportStateResponse, error)) (*agentv1.ReportStateResponse, error) {
			reply, err := pass()
			if r.GetState() == sayRunning && reply.GetReason() == agentv1.TerminationReason_TERMINATION_REASON_CANCELLED {
				reply.Acknowledged, reply.ShouldTerminate = true, false
			}
			return reply, err
		}),
	},
	{
		Name: "the launcher's cause is lost, whatever it says", Rule: "STATE-11", Check: "STATE-11/settles",
		server: before(func(_ *server, _ *call, r *controlv1.SettleAttemptRequest) { r.Cause = controlv1.Cause_CAUSE_LOST }),
	},
	{
		Name: "the agent's clock stamps heartbeats", Rule: "BEAT-1", Check: "BEAT-1/stamp",
		Also: matrix.Because("it beats with a clock that is wrong, too", "BEAT-1/cancelled"),
		server: func() *server {
			return &server{unary: func(s *server, c *call, pass next) (proto.Message, error) {
				reply, err := pass(c)
				got, _ := reply.(*agentv1.HeartbeatResponse)
				moves := !got.GetShouldTerminate() || got.GetReason() == agentv1.TerminationReason_TERMINATION_REASON_CANCELLED
				if r, ok := c.request.(*agentv1.HeartbeatRequest); ok && err == nil && moves {
					s.keep("beat "+read(tokenOf(c.md)).key(), r.GetSentAt())
				}
				if r, ok := c.request.(*conformancev1.GetAttemptRequest); ok && err == nil {
					if at, ok := s.recall("beat " + keyOf(r.GetAttempt())).(*timestamppb.Timestamp); ok {
						reply.(*conformancev1.GetAttemptResponse).HeartbeatAt = at
					}
				}
				return reply, err
			}}
		},
	},
	{
		Name: "a cancel comes without its time", Rule: "BEAT-6", Check: "BEAT-6/stop-by",
		server: after(func(_ *server, _ *call, reply *agentv1.HeartbeatResponse) { reply.StopBy = nil }),
	},
	{
		Name: "nobody is told how often to beat", Rule: "BEAT-7", Check: "BEAT-7/interval",
		server: after(func(_ *server, _ *call, reply *agentv1.HeartbeatResponse) { reply.BeatInterval = nil }),
	},
	{
		Name: "whoever comes too late registers all the same", Rule: "REG-3", Check: "REG-3/finished",
		Also: matrix.Because("after another end", "REG-3/superseded", "REG-3/lost", "REG-3/timed-out", "REG-3/cancelled"),
		server: func() *server {
			return &server{unary: func(_ *server, c *call, pass next) (proto.Message, error) {
				reply, err := pass(c)
				if c.method == "Register" && status.Code(err) == codes.FailedPrecondition {
					return &agentv1.RegisterResponse{}, nil
				}
				return reply, err
			}}
		},
	},
}
