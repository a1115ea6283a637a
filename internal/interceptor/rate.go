package interceptor

import (
	"context"
	"log/slog"
	"time"

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

// admit holds a call that began at now against the rates of its caller.
func (r *Rates) admit(ctx context.Context, class policy.RateClass, call *Call, now time.Time, logger *slog.Logger) error {
	own := r.ownOf(call, now)
	if class == policy.Paced {
		return paced(ctx, own, now)
	}
	tenant, most := r.tenants.of(call.Agent.TenantID, now), time.Duration(0)
	if class == policy.Waits {
		most = patienceOf(ctx, now)
	}
	wait, ok := own.take(now, most)
	if !ok { // and it costs the tenant nothing
		return refused(ctx, own, call.Agent, now, wait, logger)
	}
	longer, ok := tenant.take(now, most)
	if !ok {
		own.giveBack()
		return refused(ctx, tenant, call.Agent, now, longer, logger)
	}
	if err := sleep(ctx, max(wait, longer)); err != nil {
		own.giveBack()
		tenant.giveBack()
		return err
	}
	return nil
}

// ownOf is the bucket of the attempt that calls. It is noted with the attempt's token, so that
// it need not be looked for with every call; another token of the attempt finds the same.
func (r *Rates) ownOf(call *Call, now time.Time) *bucket {
	if call.bearer != nil {
		noted, ok := call.bearer.Note.Load().(*bucket)
		if ok && noted.pace == &r.attempts.pace && noted.spent.Load() != gone {
			return noted
		}
	}
	own := r.attempts.of(attemptKey{call.Agent.TenantID, call.Agent.TaskInstanceID, call.Agent.TryNumber}, now)
	if call.bearer != nil {
		call.bearer.Note.Store(own)
	}
	return own
}

// refused is the answer to a call over the rate of a bucket, which has a turn after wait.
func refused(ctx context.Context, over *bucket, id *auth.AgentIdentity, now time.Time, wait time.Duration, logger *slog.Logger) error {
	if over.tells(now) {
		logSafely(ctx, logger, slog.LevelWarn, "calls are over their rate, and refused for it",
			"tenant", id.TenantID, "task_instance_id", id.TaskInstanceID, "try", id.TryNumber, "calls_per_second", over.pace.perSecond)
	}
	return rpcstatus.OverRate(wait)
}

// paced holds a call up for a moment where its attempt is over its rate.
func paced(ctx context.Context, own *bucket, now time.Time) error {
	wait, _ := own.take(now, pause) // those that wait do not wait for what is not taken
	return sleep(ctx, min(wait, pause))
}

// patienceOf is how long a call may wait: there is no use in an answer after its deadline.
func patienceOf(ctx context.Context, now time.Time) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		return min(patience, max(0, deadline.Sub(now)))
	}
	return patience
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
