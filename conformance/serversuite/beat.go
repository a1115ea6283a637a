package serversuite

import (
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"

	"github.com/neochaotic/leoflow/conformance/suite"
)

func beatChecks(target *Target) []suite.Check {
	var out []suite.Check
	add := func(rule, word, name string, run func(*world)) {
		out = append(out, single(target, rule, word, name, run, heartbeat))
	}
	add("BEAT-1", "stamp", "moves the stamp by the server's clock, and nothing else", func(w *world) {
		beatMoves(w, w.launch(worker, running))
	})
	add("BEAT-1", "cancelled", "moves the stamp while a cancel is pending", func(w *world) {
		w.needs("cancel")
		a := w.launch(worker, running)
		a.control(heartbeat, 1)
		a.cancel()
		beatMoves(w, a)
	})
	for _, end := range ends() {
		add("BEAT-3", end.word, "an attempt that is "+end.word+" is told so", func(w *world) {
			a := w.launch(worker, running)
			a.control(heartbeat, 1)
			end.come(a)
			a.wantTold(a.beat(), end.reasons...)
		})
		if end.settled {
			add("BEAT-4", end.word, "an attempt that is "+end.word+" stays as it is", func(w *world) {
				a := w.launch(worker, running)
				a.control(heartbeat, 1)
				end.come(a)
				before := a.snapshot()
				for range 2 {
					a.beat() // what it is told is BEAT-3's
				}
				a.wantUnchanged(before, "a heartbeat after the end")
			})
		}
	}
	add("BEAT-3", "unknown", "nobody's attempt is told so", func(w *world) {
		w.launch(worker, running).control(heartbeat, 1)
		nobody := w.unknown()
		nobody.wantTold(nobody.beat(), agentv1.TerminationReason_TERMINATION_REASON_UNKNOWN)
	})
	add("BEAT-6", "stop-by", "a cancel comes with the time that is left", func(w *world) {
		w.needs("cancel")
		a := w.launch(worker, running)
		a.control(heartbeat, 1)
		a.cancel()
		got := a.beat()
		if !got.GetShouldTerminate() { // why, BEAT-3 wants to know
			w.t.Fatalf("after a cancel Heartbeat was answered {%v}", got)
		}
		left := got.GetStopBy().AsTime().Sub(got.GetServerTime().AsTime())
		if got.GetStopBy() == nil || left <= 0 || left > time.Hour {
			w.t.Fatalf("a cancel within an hour came with stop_by %v, at %v", got.GetStopBy().AsTime(), got.GetServerTime().AsTime())
		}
	})
	add("BEAT-7", "interval", "the reply tells how often to beat", func(w *world) {
		a := w.launch(worker, running)
		a.control(heartbeat, 1)
		if every := a.beat().GetBeatInterval(); every == nil || every.AsDuration() <= 0 {
			w.t.Fatalf("the reply says to beat every %v", every.AsDuration())
		}
	})
	return out
}

// beatMoves wants the stamp of an attempt to move by the server's clock alone, whatever
// the agent's says.
func beatMoves(w *world, a *attempt) {
	var last time.Time
	for _, wrong := range []time.Duration{0, -100 * 24 * time.Hour, 100 * 24 * time.Hour} {
		before := a.stored()
		got := typed[*agentv1.HeartbeatResponse](a, heartbeat, &agentv1.HeartbeatRequest{SentAt: timestamppb.New(time.Now().Add(wrong))})
		after := a.stored()
		stamp := after.GetHeartbeatAt()
		if !stamp.IsValid() || !stamp.AsTime().After(last) {
			w.t.Fatalf("a heartbeat moved the stamp from %v to %v", last, stamp.AsTime())
		}
		if apart := got.GetServerTime().AsTime().Sub(stamp.AsTime()).Abs(); apart > time.Minute {
			w.t.Fatalf("the stamp %v is %v off the server's clock, when the agent's is wrong by %v", stamp.AsTime(), apart, wrong)
		}
		before.HeartbeatAt, after.HeartbeatAt = nil, nil
		if !proto.Equal(before, after) {
			w.t.Fatalf("a heartbeat changed the attempt from {%v} to {%v}", before, after)
		}
		last = stamp.AsTime()
	}
}
