package agentsuite

import (
	"strconv"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
)

// The intervals of heartbeats.
const (
	askedBeat   = time.Second // what a scene asks for, to be judged
	quickBeat   = 200 * time.Millisecond
	defaultBeat = 15 * time.Second
	beatSlack   = 2500 * time.Millisecond // for a machine that is busy
)

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

func beatTrials() []trial {
	rpcs := []string{heartbeat}
	return []trial{
		{"A-BEAT-1", "default", "beats every 15 s when no interval is asked for", 2*defaultBeat + firstBeat, rpcs, func(s *scene) {
			s.beats(2, 2*defaultBeat/3, defaultBeat)
		}},
		{"A-BEAT-1", "asked", "beats at the interval that is asked for", 3*defaultBeat + firstBeat, rpcs, func(s *scene) {
			s.beatEvery(askedBeat, nil)
			s.beats(4, askedBeat/2, askedBeat)
		}},
		{"A-BEAT-1", "goes-on", "goes on when heartbeats fail", 5 * defaultBeat, rpcs, func(s *scene) {
			s.beatEvery(quickBeat, func(c *call) error {
				switch c.n {
				case 2:
					return status.Error(codes.Unavailable, "not now")
				case 3:
					return status.Error(codes.Internal, "not now")
				}
				return nil
			})
			s.beatsOn(5)
		}},
		{"A-BEAT-1", "hanging", "goes on when a heartbeat is not answered", 5 * defaultBeat, rpcs, func(s *scene) {
			s.beatEvery(quickBeat, func(c *call) error {
				if c.n == 2 {
					<-c.ctx.Done()
					return status.FromContextError(c.ctx.Err()).Err()
				}
				return nil
			})
			s.beatsOn(4)
		}},
	}
}

// beats wants so many heartbeats while a task runs, with these times between them.
func (s *scene) beats(n int, shortest, longest time.Duration) {
	s.launch("gate\n")
	s.until("the task's start", started)
	beating := func(ms moments) moments { return ms.since("started").calls(heartbeat) }
	ms := s.until(itoa(int64(n))+" heartbeats of a task that runs", func(ms moments) bool { return len(beating(ms)) >= n })
	s.letGo()
	s.wantSuccess()
	beats := beating(ms)
	for i := 1; i < n; i++ {
		gap := beats[i].at.Sub(beats[i-1].at)
		s.Note("%v between heartbeats %d and %d", gap, i, i+1)
		if gap < shortest || gap > longest+s.Scale(beatSlack) {
			s.Errorf("%v between heartbeats %d and %d, want %v", gap, i, i+1, longest)
		}
	}
}

// beatsOn wants so many heartbeats while a task runs, then its success.
func (s *scene) beatsOn(n int) {
	s.launch("gate\n")
	s.until("the task's start", started)
	s.until(itoa(int64(n))+" heartbeats", called(heartbeat, n))
	if gone(s.now()) {
		s.Errorf("the task ended, and it was not time")
	}
	s.letGo()
	s.wantSuccess()
}

func terminateTrials() []trial {
	rpcs := []string{heartbeat, reportState}
	const within = firstBeat + 45*time.Second
	return []trial{
		{"A-BEAT-2", "polite", "a task that is told to end is asked to stop, and may finish", within, rpcs, func(s *scene) {
			s.terminateOnBeat(0, said("ready"))
			s.launch(polite, waiting)
			s.until("a polite stop", said("asked"))
			s.until("the task's own end", said("finished"))
			s.wantStopped()
		}},
		{"A-BEAT-2", "kill", "a task that heeds nothing is killed, with its children", within, rpcs, func(s *scene) {
			s.terminateOnBeat(time.Second, func(ms moments) bool { return said("ready")(ms) && said("child")(ms) })
			s.launch(deaf, deafKid, waiting)
			s.until("the child", said("child"))
			s.until("a polite stop", said("asked"))
			s.wantStopped()
		}},
		{"A-BEAT-2", "no-start", "no task is started after the answer to RUNNING said to end", within, []string{reportState}, func(s *scene) {
			s.control()
			s.on(reportState, func(c *call) error {
				c.reply().ShouldTerminate = true
				c.reply().Reason = agentv1.TerminationReason_TERMINATION_REASON_CANCELLED
				return nil
			})
			s.launch()
			s.until("the report of RUNNING", func(ms moments) bool {
				return len(ms.those(func(m moment) bool { return m.state() == stateRunning })) > 0
			})
			s.until("the end of the agent's process", ended)
			s.wantNoTask("the answer said to end")
		}},
	}
}

// terminateOnBeat has each heartbeat say to end once the task is ready for it, within this
// time; 0: none is named.
func (s *scene) terminateOnBeat(left time.Duration, ready func(moments) bool) {
	var waited atomic.Bool
	s.beatEvery(quickBeat, func(c *call) error {
		if started(s.now()) && waited.CompareAndSwap(false, true) {
			s.wait(c.ctx, ready) // so that an agent that beats rarely need not beat again
		}
		if !ready(s.now()) {
			return nil
		}
		out := c.beat()
		out.ShouldTerminate, out.Reason = true, agentv1.TerminationReason_TERMINATION_REASON_CANCELLED
		if left > 0 {
			out.StopBy = timestamppb.New(time.Now().Add(left))
		}
		return nil
	})
}

// wantStopped wants the agent to end, with nothing of the task left and nothing begun.
func (s *scene) wantStopped() {
	s.until("the end of the agent's process", ended)
	s.wantGone()
	ms := s.now()
	if n := len(ms.words("started")); n != 1 {
		s.Errorf("%d tasks were started, want 1", n)
	}
	for _, m := range ms.terminals() {
		if m.state() != stateFailed {
			s.Errorf("a task that was stopped was reported %v", m.state())
		}
	}
}

func renewTrials() []trial {
	return []trial{
		{"A-BEAT-3", "calls", "a renewed token is used on new calls", 3 * defaultBeat, []string{heartbeat, pushXCom, reportState}, func(s *scene) {
			s.needs(renewal)
			renewed := s.renew()
			s.launch("gate\n", returnValue)
			s.until("a heartbeat with the renewed token", bearing(heartbeat, renewed))
			s.letGo()
			s.wantSuccess()
			ms := s.until("a push", called(pushXCom, 1))
			for _, m := range append(ms.calls(pushXCom), ms.terminals()...) {
				if m.token != "Bearer "+renewed {
					s.Errorf("%s did not come with the renewed token", m.method)
				}
			}
		}},
		{"A-BEAT-3", "stream", "a renewed token is used when the log stream is opened again", 3 * defaultBeat, []string{heartbeat, streamLogs}, func(s *scene) {
			s.needs(renewal)
			s.needs(resume)
			renewed := s.renew()
			s.on(streamLogs, func(c *call) error {
				if c.n > 1 || c.lines == 0 {
					return nil
				}
				s.wait(c.ctx, bearing(heartbeat, renewed))
				return status.Error(codes.Unavailable, "the server is restarted")
			})
			s.launch("echo a line\ngate\n")
			s.until("a heartbeat with the renewed token", bearing(heartbeat, renewed))
			s.until("a log stream with the renewed token", bearing(streamLogs, renewed))
			s.letGo()
			s.wantSuccess()
		}},
	}
}

// renew has the first heartbeat bring a token, and returns it.
func (s *scene) renew() string {
	renewed := s.token + ".renewed"
	s.Hide(renewed)
	s.beatEvery(quickBeat, func(c *call) error {
		if c.n == 1 {
			c.beat().RenewedToken = renewed
		}
		return nil
	})
	return renewed
}

func bearing(method, token string) func(moments) bool {
	return func(ms moments) bool {
		return len(ms.those(func(m moment) bool { return m.method == method && m.token == "Bearer "+token })) > 0
	}
}
