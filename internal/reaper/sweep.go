package reaper

import (
	"context"
	"time"
)

const (
	// sweepBatch is how many values one statement deletes: others write in between.
	sweepBatch = 200
	// sweepBatches bounds one sweep.
	sweepBatches = 50
	// sweepWithin bounds one statement.
	sweepWithin = 30 * time.Second
)

// sweep deletes values whose life is over.
func (r *Reaper) sweep(ctx context.Context) {
	for range sweepBatches {
		n, err := r.sweepOnce(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			r.cfg.Logger.WarnContext(ctx, "expired values were not deleted; the next sweep tries again", "error", err)
			return
		}
		r.metrics.swept.Add(float64(n))
		if n < sweepBatch {
			return
		}
	}
}

func (r *Reaper) sweepOnce(ctx context.Context) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, sweepWithin)
	defer cancel()
	return r.store.DeleteExpiredXCom(ctx, r.cfg.Wall(), sweepBatch)
}
