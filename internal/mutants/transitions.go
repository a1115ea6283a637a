package mutants

import (
	"strings"

	"google.golang.org/protobuf/proto"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"
	policyv1 "github.com/neochaotic/leoflow/gen/leoflow/policy/v1"
	"github.com/neochaotic/leoflow/internal/mutants/matrix"
)

// transitionMutants lose one transition each, where its report is the first call of all
// that the agent makes, says nothing else, and of a running attempt comes after a look at it:
// so other checks can begin by others.
func transitionMutants() []Mutant {
	says := map[string]agentv1.TaskState{"success": saySuccess, "failed": sayFailed, "skipped": agentv1.TaskState_TASK_STATE_SKIPPED}
	var out []Mutant
	for _, word := range []string{"success", "failed", "skipped"} {
		out = append(out,
			loses("a queued attempt that begins by "+word+" is not", "STATE-2/queued-"+word, says[word], policyv1.TaskState_TASK_STATE_QUEUED),
			loses("a running attempt that begins by "+word+" is not", "STATE-2/running-"+word, says[word], policyv1.TaskState_TASK_STATE_RUNNING),
		)
	}
	out[1].Also = matrix.Because("it is looked at before its success, too", "STATE-4/superseded")
	begins := loses("a queued attempt does not run", "STATE-2/queued-running", sayRunning, policyv1.TaskState_TASK_STATE_QUEUED)
	begins.Broad = "RUNNING is the control of every check of ReportState, and nothing tells it from theirs"
	begins.Also = matrix.Because("it is its control", "ISO-4/not-live/ReportState")
	return append(out, begins)
}

func loses(name, check string, say agentv1.TaskState, from policyv1.TaskState) Mutant {
	return Mutant{
		Name: name, Rule: "STATE-2", Check: check,
		server: func() *server {
			return &server{unary: func(s *server, c *call, pass next) (proto.Message, error) {
				if !ofAgents(c.method) || !s.gave(c.md) {
					if r, ok := c.request.(*conformancev1.GetAttemptRequest); ok {
						s.keep("looked at "+keyOf(r.GetAttempt()), true)
					}
					return pass(c)
				}
				first := s.keep("called "+tokenOf(c.md), true) == nil
				r, ok := c.request.(*agentv1.ReportStateRequest)
				alone := ok && first && r.GetOccurredAt().IsValid() && r.GetExitCode() == 0 && r.GetErrorMessage() == ""
				seen := from == policyv1.TaskState_TASK_STATE_QUEUED || s.recall("looked at "+read(tokenOf(c.md)).key()) != nil
				if !alone || !seen || r.GetState() != say || s.stored(c).GetState() != from {
					return pass(c)
				}
				return &agentv1.ReportStateResponse{Acknowledged: true}, nil
			}}
		},
	}
}

// endMutants break what one end of an attempt is told, or leaves.
func endMutants() []Mutant {
	var out []Mutant
	for _, word := range []string{"finished", "superseded", "lost", "timed-out", "cancelled", "unknown"} {
		reason := reasonOf(word)
		other := agentv1.TerminationReason_TERMINATION_REASON_FINISHED
		if reason == other {
			other = agentv1.TerminationReason_TERMINATION_REASON_LOST
		}
		tells := Mutant{
			Name: "an attempt that is " + word + " is told of another end", Rule: "BEAT-3", Check: "BEAT-3/" + word,
			server: after(func(_ *server, _ *call, reply *agentv1.HeartbeatResponse) {
				if reply.GetReason() == reason {
					reply.Reason = other
				}
			}),
		}
		if word != "unknown" && word != "cancelled" {
			out = append(out, bringsBack(word, reason))
		}
		out = append(out, tells)
	}
	return out
}

func reasonOf(word string) agentv1.TerminationReason {
	name := "TERMINATION_REASON_" + strings.ToUpper(strings.ReplaceAll(word, "-", "_"))
	return agentv1.TerminationReason(agentv1.TerminationReason_value[name])
}

// bringsBack has a heartbeat bring back an attempt that ended.
func bringsBack(word string, reason agentv1.TerminationReason) Mutant {
	return Mutant{
		Name: "a heartbeat of an attempt that is " + word + " brings it back", Rule: "BEAT-4", Check: "BEAT-4/" + word,
		server: func() *server {
			return &server{unary: func(s *server, c *call, pass next) (proto.Message, error) {
				reply, err := pass(c)
				if got, ok := reply.(*agentv1.HeartbeatResponse); ok && got.GetReason() == reason {
					s.keep("back "+read(tokenOf(c.md)).key(), true)
				}
				if r, ok := c.request.(*conformancev1.GetAttemptRequest); ok && err == nil && s.recall("back "+keyOf(r.GetAttempt())) != nil {
					reply.(*conformancev1.GetAttemptResponse).State = policyv1.TaskState_TASK_STATE_RUNNING
				}
				return reply, err
			}}
		},
	}
}
