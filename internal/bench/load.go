package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
)

// Load is what is put on a server.
type Load struct {
	// Op is the kind of the calls.
	Op Op
	// Workers is how many call at the same time, over Conns in turn, each for attempts
	// of its own.
	Workers int
	Conns   []*grpc.ClientConn
	// Attempts are those that the workers call for, at least one for each.
	Attempts []Attempt
	// For is how long, but that each worker makes a call however late it comes to it; with Op
	// Report it lasts until every attempt has reported twice.
	For time.Duration

	each int // how many calls are made for each attempt; 0: as many as there is time for
}

// Result is what came of a load.
type Result struct {
	Op    Op            `json:"op"`
	Calls int           `json:"calls"`
	Took  time.Duration `json:"took_ns"`
	P50   time.Duration `json:"p50_ns"`
	P99   time.Duration `json:"p99_ns"`
}

// PerSecond is how many calls a second were answered.
func (r Result) PerSecond() float64 { return float64(r.Calls) / r.Took.Seconds() }

// Begin has every attempt read its specification, once: what an agent does before it
// reports anything. So it is no report that its token is looked at for the first time with.
func (l Load) Begin(ctx context.Context) error {
	l.Op, l.each = Spec, 1
	_, err := Run(ctx, l)
	return err
}

// Run puts the load on. A call that fails ends it: load on a server that refuses says
// nothing.
func Run(ctx context.Context, l Load) (Result, error) {
	if l.Workers < 1 || len(l.Conns) == 0 || len(l.Attempts) < l.Workers {
		return Result{}, fmt.Errorf("%d workers on %d connections for %d attempts: give at least one connection, and an attempt for each worker", l.Workers, len(l.Conns), len(l.Attempts))
	}
	if l.Op == Logs {
		return l.logs(ctx)
	}
	if l.Op == Report {
		l.each = 2
	}
	took := make([][]time.Duration, l.Workers)
	errs := make([]error, l.Workers)
	var failed atomic.Bool
	var work sync.WaitGroup
	began := time.Now()
	for w := range l.Workers {
		work.Go(func() {
			more := func(made int) bool {
				return !failed.Load() && ctx.Err() == nil && (l.each > 0 || made == 0 || time.Since(began) < l.For)
			}
			took[w], errs[w] = l.worker(w, more)
			if errs[w] != nil {
				failed.Store(true)
			}
		})
	}
	work.Wait()
	out := Result{Op: l.Op, Took: time.Since(began)}
	out.sum(took)
	return out, errors.Join(append(errs, ctx.Err())...)
}

// worker calls for every Workers-th attempt in turn.
func (l Load) worker(w int, more func(made int) bool) ([]time.Duration, error) {
	client := agentv1.NewAgentServiceClient(l.Conns[w%len(l.Conns)])
	var took []time.Duration
	for n := 0; ; n++ {
		for i := w; i < len(l.Attempts); i += l.Workers {
			if !more(len(took)) {
				return took, nil
			}
			began := time.Now()
			if err := l.Op.call(client, l.Attempts[i], n); err != nil {
				return took, fmt.Errorf("%s: %w", l.Op, err)
			}
			took = append(took, time.Since(began))
		}
		if n+1 == l.each {
			return took, nil
		}
	}
}

// sum has the percentiles of what the workers' calls took.
func (r *Result) sum(took [][]time.Duration) {
	all := slices.Concat(took...)
	r.Calls = len(all)
	if len(all) == 0 {
		return
	}
	slices.Sort(all)
	r.P50, r.P99 = percentiles(all)
}

// percentiles are the 50th and the 99th of what is sorted, and not empty.
func percentiles(sorted []time.Duration) (p50, p99 time.Duration) {
	return sorted[len(sorted)/2], sorted[len(sorted)*99/100]
}
