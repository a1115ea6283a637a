package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
)

// Fleet is many live attempts whose agents beat, each at its own moment of an interval,
// as the agents of as many machines would. It is an open loop: a beat is sent when it is
// due, whatever became of those before. What it costs is one array of moments and some
// workers, however many attempts there are.
type Fleet struct {
	Conns    []*grpc.ClientConn
	Attempts []Attempt
	// Every is the interval of each attempt, and For how long they beat.
	Every, For time.Duration
	// Workers bounds the calls under way: where all are, beats are sent late.
	Workers int
	// Late is how long after it was due a beat must be answered, not to be late.
	Late time.Duration
}

// FleetResult is what came of a fleet. The percentiles are of the time from when a beat
// was due to its answer.
type FleetResult struct {
	Beats int           `json:"beats"` // answered OK
	Late  int           `json:"late"`  // of them
	Took  time.Duration `json:"took_ns"`
	P50   time.Duration `json:"p50_ns"`
	P99   time.Duration `json:"p99_ns"`
	Most  time.Duration `json:"max_ns"`
	// Behind is how long after it was due a beat was sent at most: of an agent that is late
	// itself, nobody can say that it was lost falsely.
	Behind time.Duration `json:"behind_ns"`
	// Failed is how many were not answered OK, and FirstFailure how the first was not.
	Failed       int    `json:"failed"`
	FirstFailure string `json:"first_failure,omitempty"`
	// Ended is how many were answered that their attempt is to end, by reason.
	Ended map[string]int `json:"ended,omitempty"`
}

// PerSecond is how many beats a second were answered OK.
func (r FleetResult) PerSecond() float64 { return float64(r.Beats) / r.Took.Seconds() }

// answerWithin is how long an agent waits for the answer to a beat.
const answerWithin = 10 * time.Second

// beat is one that is due.
type beat struct {
	attempt int
	due     time.Time
}

// Run has the fleet beat.
func (f Fleet) Run(ctx context.Context) (FleetResult, error) {
	if f.Workers < 1 || len(f.Conns) == 0 || len(f.Attempts) == 0 || f.Every <= 0 {
		return FleetResult{}, errors.New("a fleet takes workers, connections, attempts and an interval: give at least one of each")
	}
	due := make(chan beat, f.Workers)
	reports := make([]fleetReport, f.Workers)
	var work sync.WaitGroup
	for w := range f.Workers {
		work.Go(func() {
			client := agentv1.NewAgentServiceClient(f.Conns[w%len(f.Conns)])
			for b := range due {
				reports[w].behind = max(reports[w].behind, time.Since(b.due))
				reports[w].add(f.beat(ctx, client, b))
			}
		})
	}
	began := time.Now()
	err := f.schedule(ctx, began, due)
	close(due)
	work.Wait()
	return f.sum(reports, time.Since(began)), err
}

// schedule sends each beat to the workers when it is due.
func (f Fleet) schedule(ctx context.Context, began time.Time, to chan<- beat) error {
	moments := make([]time.Duration, len(f.Attempts))
	for i := range moments {
		moments[i] = rand.N(f.Every) //nolint:gosec // spreads load
	}
	slices.Sort(moments) // attempts are alike: that of the nth moment is the nth
	timer := time.NewTimer(0)
	defer timer.Stop()
	for cycle := time.Duration(0); ; cycle += f.Every {
		for i, moment := range moments {
			if cycle+moment >= f.For {
				return nil
			}
			b := beat{i, began.Add(cycle + moment)}
			if wait := time.Until(b.due); wait > 0 {
				timer.Reset(wait)
				select {
				case <-timer.C:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			select {
			case to <- b:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
}

// beat sends one, and returns how it was answered, and how long after it was due.
func (f Fleet) beat(ctx context.Context, client agentv1.AgentServiceClient, b beat) (*agentv1.HeartbeatResponse, time.Duration, error) {
	within, cancel := context.WithTimeout(f.Attempts[b.attempt].ctx, answerWithin)
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	got, err := client.Heartbeat(within, &agentv1.HeartbeatRequest{})
	return got, time.Since(b.due), err
}

// fleetReport is what one worker saw.
type fleetReport struct {
	took   []time.Duration
	behind time.Duration
	failed int
	first  error
	ended  map[string]int
}

func (r *fleetReport) add(got *agentv1.HeartbeatResponse, took time.Duration, err error) {
	if err != nil {
		if r.failed++; r.first == nil {
			r.first = err
		}
		return
	}
	r.took = append(r.took, took)
	if got.GetShouldTerminate() {
		if r.ended == nil {
			r.ended = map[string]int{}
		}
		r.ended[got.GetReason().String()]++
	}
}

func (f Fleet) sum(reports []fleetReport, took time.Duration) FleetResult {
	out := FleetResult{Took: took, Ended: map[string]int{}}
	var all []time.Duration
	for _, r := range reports {
		all = append(all, r.took...)
		out.Failed += r.failed
		out.Behind = max(out.Behind, r.behind)
		if r.first != nil && out.FirstFailure == "" {
			out.FirstFailure = fmt.Sprint(r.first)
		}
		for reason, n := range r.ended {
			out.Ended[reason] += n
		}
	}
	out.Beats = len(all)
	if len(all) == 0 {
		return out
	}
	slices.Sort(all)
	out.P50, out.P99 = percentiles(all)
	out.Most = all[len(all)-1]
	first, _ := slices.BinarySearch(all, f.Late+1)
	out.Late = len(all) - first
	return out
}
