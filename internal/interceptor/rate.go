package interceptor

import (
	"context"
	"log/slog"
	"time"

	"golang.org/x/time/rate"

	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/policy"
	"github.com/neochaotic/leoflow/internal/rpcstatus"
)

// Rates are what bounds the calls of agents, so that no attempt and no tenant starves
// the others (LIMIT-2). What becomes of a call over its rate is in the policy of its
// method. It is made by [NewRates].
type Rates struct {
	attempts *buckets[attemptKey]
	tenants  *buckets[string]
}

// attemptKey names an attempt among all tenants.
type attemptKey struct {
	tenant, instance string
	try              int
}

const (
	// burstOf is the time whose calls may be saved up and made at once.
	burstOf = 10 * time.Second
	// patience is how long a call of the start waits for its turn at most. Agents make
	// these one after the other, so it takes a tenant with as many of them at once as
	// it may make calls in that time; and so many calls wait in memory at most.
	patience = 10 * time.Second
	// pause is how long a call that is never refused is held up: too short for any
	// deadline, and long enough to make a loop of such calls a slow one.
	pause = 100 * time.Millisecond
)

// NewRates returns the rates of an attempt, and of all attempts of a tenant together, in
// calls per second. Each may make the calls of ten seconds at once.
func NewRates(attempt, tenant int) *Rates {
	return &Rates{attempts: newBuckets[attemptKey](attempt), tenants: newBuckets[string](tenant)}
}

// admit holds a call against the rates of its caller.
func (r *Rates) admit(ctx context.Context, class policy.RateClass, id *auth.AgentIdentity, logger *slog.Logger) error {
	now := time.Now()
	own := r.attempts.of(attemptKey{id.TenantID, id.TaskInstanceID, id.TryNumber}, now)
	if class == policy.Paced {
		return paced(ctx, own, now)
	}
	most := time.Duration(0)
	if class == policy.Waits {
		most = patienceOf(ctx, now)
	}
	turns := turns{}
	for _, b := range []*bucket{own, r.tenants.of(id.TenantID, now)} { // a refused attempt costs its tenant nothing
		if wait, ok := turns.take(b, now, most); !ok {
			turns.giveBack(time.Now())
			b.report.Do(func() {
				logSafely(ctx, logger, slog.LevelWarn, "calls are over their rate, and refused for it",
					"tenant", id.TenantID, "task_instance_id", id.TaskInstanceID, "try", id.TryNumber, "calls_per_second", float64(b.limiter.Limit()))
			})
			return rpcstatus.OverRate(wait)
		}
	}
	if err := sleep(ctx, turns.wait); err != nil {
		turns.giveBack(time.Now())
		return err
	}
	return nil
}

// paced holds a call up for a moment where its attempt is over its rate.
func paced(ctx context.Context, own *bucket, now time.Time) error {
	_, wait, _ := own.take(now, pause) // those that wait do not wait for what is not taken
	return sleep(ctx, min(wait, pause))
}

// patienceOf is how long a call may wait: there is no use in an answer after its deadline.
func patienceOf(ctx context.Context, now time.Time) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		return min(patience, max(0, deadline.Sub(now)))
	}
	return patience
}

// turns are what a call has taken of several buckets.
type turns struct {
	taken []turn
	wait  time.Duration // until all have come
}

type turn struct {
	of *bucket
	*rate.Reservation
}

// take takes the next turn of a bucket unless it is farther off than most. It returns how
// far off it is.
func (t *turns) take(b *bucket, now time.Time, most time.Duration) (wait time.Duration, ok bool) {
	reserved, wait, ok := b.take(now, most)
	if ok {
		t.taken = append(t.taken, turn{b, reserved})
		t.wait = max(t.wait, wait)
	}
	return wait, ok
}

// giveBack returns the turns that have not come by now.
func (t *turns) giveBack(now time.Time) {
	for _, turn := range t.taken {
		turn.of.giveBack(turn.Reservation, now)
	}
}

// sleep waits, or returns the error of a context that ends before.
func sleep(ctx context.Context, wait time.Duration) error {
	if wait <= 0 {
		return nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
