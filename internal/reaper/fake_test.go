package reaper

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/neochaotic/leoflow/internal/domain"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// entry is an attempt in the fake.
type entry struct {
	domain.Attempt
	registered bool
	settled    int // times
}

// fake is a store in memory that keeps the contract of [Store], and that fails on
// demand. Its wall clock is the bubble's, and can be set.
type fake struct {
	mu       sync.Mutex
	step     time.Duration // of the wall clock
	attempts []*entry
	reads    error                      // what looks fail with
	writes   error                      // what probes and settlings fail with
	onRead   func()                     // comes while a look reads
	onReap   func(domain.Attempt) error // comes just before a settling
	expired  int
	sweeps   []int    // the limit of each deletion
	held     *entry   // another transaction has it: nothing of it can be written
	hangs    []*entry // the probes of them last as long as they may
	mute     *entry   // does not beat
}

func (f *fake) now() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.time()
}

func (f *fake) time() time.Time { return time.Now().Round(0).Add(f.step) }

// do changes the fake.
func (f *fake) do(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// launch adds a queued attempt of a tenant.
func (f *fake) launch(tenant string) *entry {
	e := &entry{Attempt: domain.Attempt{State: domain.TaskStateQueued}}
	f.do(func() {
		e.Ref = domain.AttemptRef{TenantID: tenant, TaskInstanceID: fmt.Sprint(len(f.attempts)), TryNumber: 1}
		e.QueuedAt = f.time()
		f.attempts = append(f.attempts, e)
	})
	return e
}

// start adds a running attempt with a time-out.
func (f *fake) start(timeout time.Duration) *entry {
	e := f.launch("t")
	f.do(func() { e.State, e.StartedAt, e.Timeout = domain.TaskStateRunning, f.time(), timeout })
	return e
}

func (f *fake) beat(e *entry) {
	f.do(func() {
		if e != f.held && e != f.mute {
			e.HeartbeatAt = f.time()
		}
	})
}

// beats lets an attempt beat until ctx ends.
func (f *fake) beats(ctx context.Context, e *entry, every time.Duration) {
	go repeat(ctx, every, func(context.Context) { f.beat(e) })
}

func (f *fake) cancel(e *entry, within time.Duration) {
	f.do(func() {
		if e.CancelRequestedAt.IsZero() {
			e.CancelRequestedAt = f.time()
		}
		e.StopBy = f.time().Add(within)
	})
}

// cause returns why an attempt ended; empty: it is live.
func (f *fake) cause(e *entry) (c domain.Cause) {
	f.do(func() { c = e.Cause })
	return c
}

// left returns how many expired values are stored.
func (f *fake) left() (n int) {
	f.do(func() { n = f.expired })
	return n
}

func (f *fake) LiveAttempts(ctx context.Context, from int64, visit func(domain.Attempt, bool)) (int64, error) {
	var onRead func()
	f.do(func() { onRead = f.onRead })
	if onRead != nil {
		onRead()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := cmp.Or(f.reads, ctx.Err()); err != nil {
		return from, err
	}
	next := int64(len(f.attempts))
	for i := len(f.attempts) - 1; i >= int(from); i-- {
		if e := f.attempts[i]; e.State.Live() {
			visit(e.Attempt, e.registered)
			next = int64(i)
		}
	}
	return next, nil
}

func (f *fake) find(ctx context.Context, ref domain.AttemptRef) (*entry, error) {
	if tenant, ok := domain.TenantFrom(ctx); !ok || tenant != ref.TenantID {
		return nil, domain.ErrNoTenant
	}
	for _, e := range f.attempts {
		if e.Ref == ref {
			return e, nil
		}
	}
	return nil, domain.ErrUnknown
}

func (f *fake) ProbeWrite(ctx context.Context, ref domain.AttemptRef) error {
	hangs, err := f.probe(ctx, ref)
	if hangs {
		<-ctx.Done()
		return ctx.Err()
	}
	return err
}

func (f *fake) probe(ctx context.Context, ref domain.AttemptRef) (hangs bool, _ error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.writes != nil {
		return false, f.writes
	}
	e, err := f.find(ctx, ref)
	if err == nil && e == f.held {
		return false, domain.ErrUnavailable
	}
	return slices.Contains(f.hangs, e), err
}

func (f *fake) ReapAttempt(ctx context.Context, seen domain.Attempt, cause domain.Cause, message string) (bool, error) {
	var onReap func(domain.Attempt) error
	f.do(func() { onReap = f.onReap })
	if onReap != nil {
		if err := onReap(seen); err != nil {
			return false, err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	e, err := f.find(ctx, seen.Ref)
	if err != nil {
		return false, err
	}
	silent := e.State == seen.State && e.HeartbeatAt.Equal(seen.HeartbeatAt)
	still := map[domain.Cause]bool{
		domain.CauseLost:         silent,
		domain.CauseLaunchFailed: silent && !e.registered,
		domain.CauseTimedOut:     e.State == seen.State,
		domain.CauseCancelled:    !e.StopBy.IsZero() && e.StopBy.Equal(seen.StopBy) && (silent || seen.HeartbeatAt.IsZero()),
	}
	if e == f.held || !e.State.Live() || !still[cause] {
		return false, nil
	}
	e.State, e.Cause, e.Message = domain.TaskStateFailed, cause, message
	e.settled++
	return true, nil
}

func (f *fake) DeleteExpiredXCom(_ context.Context, _ time.Time, limit int) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sweeps = append(f.sweeps, limit)
	if f.writes != nil {
		return 0, f.writes
	}
	n := min(limit, f.expired)
	f.expired -= n
	return n, nil
}

// rig is a store with a reaper, in a bubble of time.
type rig struct {
	*fake
	t        *testing.T
	ctx      context.Context //nolint:containedctx // of the agents: it ends with the test
	begun    time.Time
	log      bytes.Buffer
	logger   *slog.Logger
	registry *prometheus.Registry
	reaper   *Reaper
	hearsay  Hearsay // [Config.Hearsay] of what runs next
	unheard  bool    // [Config.AlarmIgnoresUnheard] of what runs next
	stop     func()  // the reaper, and waits
}

// inBubble runs a test; the reaper starts with [rig.run].
func inBubble(t *testing.T, test func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		r := &rig{fake: &fake{}, t: t, ctx: ctx, begun: time.Now(), stop: func() {}}
		r.logger = slog.New(slog.NewTextHandler(&r.log, nil))
		defer cancel()
		defer func() { r.stop() }()
		test(r)
	})
}

// run starts a reaper; one that ran before keeps running unless it was stopped.
func (r *rig) run() {
	r.t.Helper()
	r.registry = prometheus.NewRegistry()
	reaper, err := New(r.fake, Config{
		Wall: r.now, Logger: r.logger, Registerer: r.registry, AlarmIgnoresUnheard: r.unheard, Hearsay: r.hearsay,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { reaper.Run(ctx) })
	before := r.stop
	r.reaper = reaper
	r.stop = func() {
		before()
		cancel()
		running.Wait()
		r.stop = func() {}
	}
}

// at lets time go by until d after the test's begin, looks at that time included.
func (r *rig) at(d time.Duration) {
	r.t.Helper()
	if wait := time.Until(r.begun.Add(d)); wait > 0 {
		<-time.After(wait)
	}
	synctest.Wait()
}

func (r *rig) want(e *entry, want domain.Cause) {
	r.t.Helper()
	if got := r.cause(e); got != want {
		r.t.Fatalf("after %v: attempt %s ended as %q, want %q", time.Since(r.begun), e.Ref.TaskInstanceID, got, want)
	}
}

// metric returns the sum of a metric over its labels; of a histogram, how many values it has.
func (r *rig) metric(name string) (sum float64) {
	r.t.Helper()
	families, err := r.registry.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return sum
}
