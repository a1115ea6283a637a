package serversuite

import (
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"

	"github.com/neochaotic/leoflow/conformance/suite"
)

func raceChecks(target *Target) []suite.Check {
	race := single(target, "STATE-9", "race", "whatever races, every history is a path of the state table", everyHistoryIsAPath, reportState)
	race.Deadline = 30 * time.Second
	return []suite.Check{race}
}

// racer is one attempt of several that follow each other, each with all that can happen
// to an attempt happening to it at once.
type racer struct {
	*attempt
	history history
	acting  sync.WaitGroup
}

func everyHistoryIsAPath(w *world) {
	const tries = 6
	w.launch(stranger, queued).control(reportState, 1)
	cancels := w.target.offers("cancel")
	var looking sync.WaitGroup
	over := make(chan struct{})
	enough := sync.OnceFunc(func() { close(over) })
	defer enough()
	var racers []*racer
	for range tries {
		begun := time.Now()
		r := &racer{attempt: w.launch(worker, queued)}
		r.history.saw(begun, queued, "its launch")
		racers = append(racers, r)
		for observer := range 2 {
			looking.Go(func() { r.look(over, fmt.Sprint("a look of observer ", observer+1)) })
		}
		happened := r.happen(cancels)
		for range w.t.Rand().IntN(cap(happened)) { // the next launch falls in the middle of it
			w.await(happened)
		}
	}
	for _, r := range racers {
		r.acting.Wait()
	}
	last := racers[tries-1]
	last.report(sayFailed) // if nothing else has ended it
	for _, r := range racers {
		begun := time.Now()
		r.history.saw(begun, r.stored().GetState(), "the last look")
	}
	enough()
	looking.Wait()
	table := readStateTable()
	for i, r := range racers {
		if wrong := r.history.impossible(table); wrong != "" {
			w.t.Fatalf("of try %d of %s was seen %s", r.ref.GetTryNumber(), r.ref.GetTaskId(), wrong)
		}
		// One that a newer try superseded may stay as it was.
		if state := r.history.seen[len(r.history.seen)-1].state; i == tries-1 && len(table[state]) != 1 {
			w.t.Fatalf("when all is over, try %d of %d is %s", r.ref.GetTryNumber(), tries, state)
		}
		w.t.Note("try %d: %d observations", r.ref.GetTryNumber(), len(r.history.seen))
	}
}

// await takes one thing from a channel, or stops the check when its time is over.
func (w *world) await(c <-chan struct{}) {
	select {
	case <-c:
	case <-w.t.Context().Done():
		w.t.Fatalf("the check's time is over")
	}
}

// look observes the attempt over and over.
func (r *racer) look(over <-chan struct{}, by string) {
	again := time.NewTicker(2 * time.Millisecond)
	defer again.Stop()
	for {
		begun := time.Now()
		got, err := r.w.target.Fixtures.GetAttempt(r.w.t.Context(), &conformancev1.GetAttemptRequest{Attempt: r.ref})
		if err == nil {
			r.history.saw(begun, got.GetState(), by)
		}
		select {
		case <-over:
			return
		case <-again.C:
		}
	}
}

// happen does all that can be done to an attempt at once. The channel has something for
// each thing that was done.
func (r *racer) happen(cancels bool) chan struct{} {
	says := []agentv1.TaskState{sayRunning, sayRunning, saySuccess, sayFailed, saySkipped}
	r.w.t.Rand().Shuffle(len(says), func(i, j int) { says[i], says[j] = says[j], says[i] })
	var acts []func()
	for _, say := range says[:3] {
		acts = append(acts, func() { r.tell(say) })
	}
	acts = append(acts, func() { // who launched it may see its process die; one that ended is refused
		begun := time.Now()
		_, err := r.w.target.Fixtures.SettleAttempt(r.w.t.Context(), &conformancev1.SettleAttemptRequest{Attempt: r.ref, Cause: controlv1.Cause_CAUSE_LOST})
		if err == nil {
			r.history.saw(begun, failed, "its settling")
		}
	})
	if cancels && r.w.t.Rand().IntN(2) == 0 {
		acts = append(acts, func() { // likewise
			_, _ = r.w.target.Fixtures.CancelAttempt(r.w.t.Context(), &conformancev1.CancelAttemptRequest{Attempt: r.ref, Within: durationpb.New(time.Hour)})
		})
	}
	done := make(chan struct{}, len(acts))
	for _, act := range acts {
		r.acting.Go(func() {
			act()
			done <- struct{}{}
		})
	}
	return done
}

// tell reports a state; that it is acknowledged, and not overruled, is an observation.
func (r *racer) tell(say agentv1.TaskState) {
	begun := time.Now()
	reply, err := r.w.call(reportState, r.as(), &agentv1.ReportStateRequest{State: say})
	got, _ := reply.(*agentv1.ReportStateResponse)
	switch {
	case err != nil || got == nil:
		r.w.t.Errorf("a report of %s in a race was answered %s", say, name(status.Code(err), err))
	case got.GetAcknowledged() && !got.GetShouldTerminate():
		state := running
		if say != sayRunning {
			state = outcomes[say]
		}
		r.history.saw(begun, state, "the acknowledged report")
	}
}
