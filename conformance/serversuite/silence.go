package serversuite

import (
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"

	"github.com/neochaotic/leoflow/conformance/suite"
)

// silenceChecks are of attempts that fall silent (BEAT-5). Each has the server take a
// second of silence for a loss, so none has another check beside it.
func silenceChecks(target *Target) []suite.Check {
	out := []suite.Check{
		single(target, "BEAT-5", "silent", "who is silent is lost, and who beats is not", silentIsLost, heartbeat),
		single(target, "BEAT-5", "most", "silence of most at once ends nobody", silenceOfMost, heartbeat),
		single(target, "BEAT-5", "restart", "a restart is not silence", restartIsNoSilence, heartbeat),
		single(target, "BEAT-5", "outage", "an outage of the store is not silence", outageIsNoSilence, heartbeat),
	}
	for i := range out {
		out[i].Parallel, out[i].Deadline = false, 30*time.Second
	}
	return out
}

// silence has the server take attempts for lost after a window, which is returned.
func (w *world) silence() time.Duration {
	window := max(w.t.Scale(time.Second), time.Second)
	set := func(window time.Duration) error {
		ctx, cancel := w.afterwards()
		defer cancel()
		_, err := w.target.Fixtures.SetSilence(ctx, &conformancev1.SetSilenceRequest{LostAfter: durationpb.New(window)})
		w.t.Note("an attempt is lost after a silence of %v; 0: as the server is configured", window)
		w.reach(ctx)
		return err
	}
	w.t.Cleanup(func() {
		if err := set(0); err != nil && status.Code(err) != codes.Unimplemented { // which could not be set at all
			w.t.Errorf("the window of silence could not be set as it was: %v", err)
		}
	})
	w.fixture("say after how long a silence an attempt is lost", set(window))
	return window
}

// pass waits until a moment.
func (w *world) pass(until time.Time) {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-w.t.Context().Done():
		w.t.Fatalf("the check's time is over")
	}
}

// wantLost waits until an attempt that is silent since a moment at the earliest is lost,
// which must not be before the window is over.
func (a *attempt) wantLost(since time.Time, window time.Duration) {
	for {
		got := a.stored()
		silent := time.Since(since)
		switch {
		case got.GetState() == running:
		case got.GetState() != failed || got.GetCause() != controlv1.Cause_CAUSE_LOST:
			a.w.t.Fatalf("an attempt that is silent ended as {%v}", got)
		case silent < window:
			a.w.t.Fatalf("an attempt that beat %v ago is lost, and a silence of %v is", silent, window)
		default:
			a.w.t.Note("lost after a silence of %v", silent)
			return
		}
		if a.w.t.Context().Err() != nil {
			a.w.t.Fatalf("an attempt that is silent for %v is not lost", silent)
		}
		a.w.pass(time.Now().Add(window / 8))
	}
}

// lone launches an attempt that beats once. It beat between the two moments.
func (w *world) lone() (a *attempt, after, before time.Time) {
	a = w.launch(stranger, running)
	after = time.Now()
	a.control(heartbeat, 1)
	return a, after, time.Now()
}

func silentIsLost(w *world) {
	w.launch(worker, running).control(heartbeat, 1)
	window := w.silence()
	h := w.newHerd(4, window)
	a, since, _ := w.lone()
	a.wantLost(since, window)
	h.wantLive("another one's silence")
}

func silenceOfMost(w *world) {
	w.launch(worker, running).control(heartbeat, 1)
	window := w.silence()
	h := w.newHerd(16, window)
	h.beat(4)
	w.pass(time.Now().Add(window * 8 / 5))
	h.wantAllLive("silence of most at once")
	// And when they are heard again, who is not is lost.
	a, since, _ := w.lone()
	h.beat(len(h.members))
	a.wantLost(since, window)
	h.wantLive("silence of most that is over")
}

func restartIsNoSilence(w *world) {
	w.launch(worker, running).control(heartbeat, 1)
	fault := conformancev1.Fault_FAULT_RESTART
	if !slices.Contains(w.target.Capabilities.GetFaults(), fault) {
		fault = conformancev1.Fault_FAULT_SHUTDOWN
	}
	w.makes(fault)
	interrupted(w, func(h *herd, _ time.Duration) (begun, ended time.Time) {
		h.beat(0) // or their connection would meet a server that is away, and wait before it tries again
		begun = time.Now()
		ctx, cancel := w.afterwards()
		defer cancel()
		_, err := w.target.Fixtures.SetFault(ctx, &conformancev1.SetFaultRequest{Fault: fault, Active: true})
		w.reach(ctx)
		w.fixture("restart the server", err)
		w.t.Note("the server was started anew")
		h.beat(len(h.members))
		return time.Now(), begun // it observes anew from somewhere in between
	})
}

func outageIsNoSilence(w *world) {
	w.launch(worker, running).control(heartbeat, 1)
	fault := conformancev1.Fault_FAULT_STORE_DOWN
	if !slices.Contains(w.target.Capabilities.GetFaults(), fault) {
		fault = conformancev1.Fault_FAULT_STORE_HANGS
	}
	w.makes(fault)
	interrupted(w, func(_ *herd, window time.Duration) (begun, ended time.Time) {
		end := w.fault(fault)
		begun = time.Now()
		w.pass(begun.Add(window * 3 / 4))
		ended = time.Now()
		end()
		return begun, ended
	})
}

// interrupted lets something come between the beat of an attempt and the end of the
// window: it must not be lost though it is silent for longer than that. What comes
// returns by when it had begun, and from when on the server may have observed again.
func interrupted(w *world, come func(h *herd, window time.Duration) (begun, ended time.Time)) {
	window := w.silence()
	h := w.newHerd(4, window)
	for range 3 {
		a, since, by := w.lone()
		w.pass(since.Add(window * 3 / 10))
		begun, ended := come(h, window)
		w.pass(by.Add(window))
		got := a.stored()
		now := time.Now()
		if got.GetState() == running {
			h.wantLive("what is no silence")
			a.wantLost(ended, window) // and silence is again
			h.wantLive("another one's silence")
			return
		}
		// A whole window may have passed without interruption, on a machine that is slow.
		if begun.Sub(since) < window && now.Sub(ended) < window {
			w.t.Fatalf("an attempt that beat %v ago ended as {%v}, and the server could watch it for %v before, and %v after", now.Sub(since), got, begun.Sub(since), now.Sub(ended))
		}
	}
	w.t.Untestable("what is no silence took longer than the window")
}
