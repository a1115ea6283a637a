package mutants

import (
	"time"

	"google.golang.org/protobuf/proto"

	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	policyv1 "github.com/neochaotic/leoflow/gen/leoflow/policy/v1"
	"github.com/neochaotic/leoflow/internal/mutants/matrix"
)

// looked is a server that changes what is seen of attempts, while it is told after how
// long a silence they are lost; 0: it is not.
func looked(change func(s *server, window time.Duration, got *conformancev1.GetAttemptResponse)) func() *server {
	return func() *server {
		return &server{unary: func(s *server, c *call, pass next) (proto.Message, error) {
			if r, ok := c.request.(*conformancev1.SetSilenceRequest); ok {
				s.keep("window", r.GetLostAfter().AsDuration())
			}
			reply, err := pass(c)
			if got, ok := reply.(*conformancev1.GetAttemptResponse); ok && err == nil {
				window, _ := s.recall("window").(time.Duration)
				change(s, window, got)
			}
			return reply, err
		}}
	}
}

func lose(got *conformancev1.GetAttemptResponse) {
	if got.GetState() == policyv1.TaskState_TASK_STATE_RUNNING {
		got.State, got.Cause = policyv1.TaskState_TASK_STATE_FAILED, controlv1.Cause_CAUSE_LOST
	}
}

// oldStamps is a server that takes for lost whose stamp is old, whatever the reason.
var oldStamps = looked(func(_ *server, window time.Duration, got *conformancev1.GetAttemptResponse) {
	if window > 0 && time.Since(got.GetHeartbeatAt().AsTime()) >= window {
		lose(got)
	}
})

const sameStamps = "a stamp is as old there, for another reason"

var silenceMutants = []Mutant{
	{
		Name: "who is silent is said to have timed out", Rule: "BEAT-5", Check: "BEAT-5/silent",
		server: looked(func(_ *server, window time.Duration, got *conformancev1.GetAttemptResponse) {
			if window > 0 && got.GetCause() == controlv1.Cause_CAUSE_LOST {
				got.Cause = controlv1.Cause_CAUSE_TIMED_OUT
			}
		}),
		Also: matrix.Because("its control is an attempt that is lost", "BEAT-5/most", "BEAT-5/restart", "BEAT-5/outage"),
	},
	{
		Name: "with one attempt all are lost", Rule: "BEAT-5", Check: "BEAT-5/silent",
		server: looked(func(s *server, window time.Duration, got *conformancev1.GetAttemptResponse) {
			if window == 0 {
				return
			}
			if got.GetCause() == controlv1.Cause_CAUSE_LOST {
				s.keep("lost", true)
			}
			if s.recall("lost") != nil {
				lose(got)
			}
		}),
		Also: matrix.Because("its control is an attempt that is lost", "BEAT-5/most", "BEAT-5/restart", "BEAT-5/outage"),
	},
	{
		Name: "silence of most is silence", Rule: "BEAT-5", Check: "BEAT-5/most", server: oldStamps,
		Also: matrix.Because(sameStamps, "BEAT-5/restart", "BEAT-5/outage"),
	},
	{
		Name: "a restart is silence", Rule: "BEAT-5", Check: "BEAT-5/restart", server: oldStamps,
		Also: matrix.Because(sameStamps, "BEAT-5/most", "BEAT-5/outage"),
	},
	{
		Name: "an outage of the store is silence", Rule: "BEAT-5", Check: "BEAT-5/outage", server: oldStamps,
		Also: matrix.Because(sameStamps, "BEAT-5/most", "BEAT-5/restart"),
	},
	{
		Name: "looks at an attempt come from a copy that lags behind, now and then", Rule: "STATE-9", Check: "STATE-9/race",
		server: func() *server {
			return &server{unary: after(func(s *server, c *call, got *conformancev1.GetAttemptResponse) {
				name := "looks " + c.request.(*conformancev1.GetAttemptRequest).GetAttempt().String()
				n, _ := s.recall(name).(int)
				s.keep(name, n+1)
				// No other check looks so often at one.
				if n > 20 && n%2 == 1 && got.GetState() > policyv1.TaskState_TASK_STATE_RUNNING {
					got.State = policyv1.TaskState_TASK_STATE_RUNNING
				}
			})().unary}
		},
	},
}
