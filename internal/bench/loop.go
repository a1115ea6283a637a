package bench

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// ErrUsedUp ends a loop whose calls use something up: there is no more of it.
var ErrUsedUp = errors.New("nothing is left to call for")

// Loop makes calls in a closed loop: each of the workers makes its next call when the last
// one was answered, for a time, or until there is nothing left; it makes its first one however
// late it comes to it. The calls are numbered from first on. A call that fails ends it.
func Loop(ctx context.Context, workers, first int, during time.Duration, call func(ctx context.Context, n int) error) (Result, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	took := make([][]time.Duration, workers)
	var next atomic.Int64
	next.Store(int64(first) - 1)
	var work sync.WaitGroup
	began := time.Now()
	for w := range workers {
		work.Go(func() {
			for ctx.Err() == nil && (len(took[w]) == 0 || time.Since(began) < during) {
				at := time.Now()
				switch err := call(ctx, int(next.Add(1))); {
				case errors.Is(err, ErrUsedUp):
					return
				case err != nil:
					cancel(err)
					return
				}
				took[w] = append(took[w], time.Since(at))
			}
		})
	}
	work.Wait()
	out := Result{Took: time.Since(began)}
	out.sum(took)
	return out, context.Cause(ctx)
}
