package reaper

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/neochaotic/leoflow/internal/domain"
)

// Store is what a reaper needs of a store.
type Store interface {
	// LiveAttempts calls visit for each attempt of any tenant that awaits its outcome,
	// with its tenant, task instance id, try, state, times and time-out, and whether its
	// agent has registered. It returns what the next call may take as from, at first 0.
	LiveAttempts(ctx context.Context, from int64, visit func(a domain.Attempt, registered bool)) (next int64, err error)
	// ProbeWrite returns nil only when it has written something durably.
	ProbeWrite(ctx context.Context, ref domain.AttemptRef) error
	// ReapAttempt settles an attempt of the context's tenant as failed, in one
	// conditional write: false where it is no more as it was seen. One that is cancelled
	// may have beaten since, where seen has no heartbeat.
	ReapAttempt(ctx context.Context, seen domain.Attempt, cause domain.Cause, message string) (bool, error)
	// DeleteExpiredXCom deletes at most limit values that expired by now, of any tenant.
	DeleteExpiredXCom(ctx context.Context, now time.Time, limit int) (int, error)
}

// Hearsay tells of beats that were heard and not stored.
type Hearsay interface {
	// All returns the attempts that were heard so, by their tenants, task instance ids and
	// tries, and of each a number that is another after each beat.
	All() (map[domain.AttemptRef]uint64, error)
}

// Defaults of a [Config].
const (
	DefaultSilence    = 2 * time.Minute
	DefaultQueue      = 24 * time.Hour
	DefaultGrace      = 5 * time.Minute
	DefaultSweepEvery = time.Minute
)

// looksPerWindow is how many looks make a window of silence.
const looksPerWindow = 8

// Config says how patient a reaper is. A duration of 0 is its default.
type Config struct {
	// Silence is for how long an attempt that should beat must be silent to be lost; one
	// whose agent came and whose task does not run yet, ten times as long. It
	// should span several beats ([domain.BeatInterval]).
	Silence time.Duration
	// Queue is how long an attempt may wait for its agent.
	Queue time.Duration
	// Grace is how far an attempt may outlive its time-out, or its cancel's deadline.
	Grace time.Duration
	// SweepEvery is how often expired values are deleted.
	SweepEvery time.Duration
	// AlarmIgnoresUnheard leaves attempts that gave no sign of life since this reaper's
	// first look out of the alarm. It is for benches, where most are left over from tests
	// that are over: a server for use may have begun while nobody reached it.
	AlarmIgnoresUnheard bool
	// Hearsay; nil: what is heard is stored, or nobody else would say so.
	Hearsay Hearsay
	// Wall tells the time of day, as the store's clock does; nil: time.Now.
	Wall func() time.Time
	// Logger; nil: slog.Default().
	Logger *slog.Logger
	// Registerer takes the metrics; nil: they are kept and shown to nobody.
	Registerer prometheus.Registerer
}

func (c Config) complete() (Config, error) {
	for _, d := range []struct {
		name  string
		value *time.Duration
		usual time.Duration
	}{
		{"window of silence", &c.Silence, DefaultSilence},
		{"queue window", &c.Queue, DefaultQueue},
		{"grace", &c.Grace, DefaultGrace},
		{"interval of sweeps", &c.SweepEvery, DefaultSweepEvery},
	} {
		if *d.value == 0 {
			*d.value = d.usual
		}
		if *d.value < time.Millisecond {
			return c, fmt.Errorf("%s %v: it must be at least a millisecond", d.name, *d.value)
		}
	}
	if c.Wall == nil {
		c.Wall = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c, nil
}

// Reaper is made by [New] and run by [Reaper.Run], once.
type Reaper struct {
	cfg     Config
	store   Store
	every   time.Duration // between looks
	metrics *metrics
	origin  time.Time // of the monotonic clock
	watch   watch
}

// New returns a reaper that does nothing yet.
func New(store Store, cfg Config) (*Reaper, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	m, err := newMetrics(cfg.Registerer)
	if err != nil {
		return nil, err
	}
	r := &Reaper{cfg: cfg, store: store, every: cfg.Silence / looksPerWindow, metrics: m, origin: time.Now()}
	r.watch.pulses = map[name]*pulse{}
	return r, nil
}

// Run looks and sweeps until ctx ends, and returns when both have stopped.
func (r *Reaper) Run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { repeat(ctx, r.cfg.SweepEvery, r.sweep) })
	repeat(ctx, r.every, r.look)
}

// repeat calls do at once and then at every interval, until ctx ends.
func repeat(ctx context.Context, interval time.Duration, do func(context.Context)) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for ctx.Err() == nil {
		do(ctx)
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
}

// mono returns the time by the monotonic clock.
func (r *Reaper) mono() time.Duration { return time.Since(r.origin) }
