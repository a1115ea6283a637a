package suite

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/neochaotic/leoflow/conformance/catalogue"
)

// T is what a check has of the run that it is part of. Its methods may be called from
// any goroutine, save those that stop the check (Fatalf, Untestable, Skip) and Rand,
// which are for the check's own.
type T struct {
	ctx   context.Context
	rand  *rand.Rand
	scale float64
	began time.Time
	watch func(Event) // told of each step

	mu       sync.Mutex
	over     bool // the check was given up, or has ended: nothing counts any more
	status   Status
	reasons  []string
	events   []Event
	recorded map[catalogue.RPC]bool
	hidden   []string
	cleanups []func()
	stopped  bool // it ended by a method of T
}

func newT(ctx context.Context, c Check, seed uint64, repetition int, scale float64) *T {
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%s %d", c.ID, repetition) // a hash takes everything
	return &T{
		ctx: ctx, scale: scale, began: time.Now(), status: Passed, recorded: map[catalogue.RPC]bool{},
		rand: rand.New(rand.NewPCG(seed, h.Sum64())), //nolint:gosec // choices of a test, to be made again by the seed
	}
}

// Context ends at the check's deadline, and when the run is interrupted.
func (t *T) Context() context.Context { return t.ctx }

// Scale stretches a wait as the user of the suite asked for.
func (t *T) Scale(d time.Duration) time.Duration { return scaled(d, t.scale) }

func scaled(d time.Duration, scale float64) time.Duration {
	return time.Duration(float64(d) * scale)
}

// Rand makes the check's choices: the same ones for the same seed, check and repetition,
// whatever runs beside it.
func (t *T) Rand() *rand.Rand { return t.rand }

// Errorf fails the check with a reason, and lets it go on.
func (t *T) Errorf(format string, args ...any) {
	t.set(Failed, fmt.Sprintf(format, args...))
}

// Fatalf fails the check with a reason, and stops it.
func (t *T) Fatalf(format string, args ...any) {
	t.set(Failed, fmt.Sprintf(format, args...))
	t.stop()
}

// Untestable stops the check: what the system offers does not let its rule be judged. A
// check that has failed stays failed.
func (t *T) Untestable(reason string) {
	t.set(Untestable, reason)
	t.stop()
}

// Skip stops the check: its rule does not bind this system. A check that has failed
// stays failed.
func (t *T) Skip(reason string) {
	t.set(Skipped, reason)
	t.stop()
}

// Broken stops the check by a fault of the suite itself, or of what helps it. It is
// never counted against the system.
func (t *T) Broken(format string, args ...any) {
	t.set(Broken, fmt.Sprintf(format, args...))
	t.stop()
}

// Failed reports whether the check has failed so far.
func (t *T) Failed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.status == Failed
}

// Note adds a line to the evidence.
func (t *T) Note(format string, args ...any) {
	t.Record(Step{What: fmt.Sprintf(format, args...)})
}

// Record adds what was sent and what came back to the evidence, redacted.
func (t *T) Record(s Step) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over {
		return
	}
	if s.RPC != "" {
		t.recorded[s.RPC] = true
	}
	e := s.event(time.Since(t.began), t.hide)
	t.events = append(t.events, e)
	t.watch(e)
}

// Hide keeps a token or a secret out of all evidence and reasons from now on.
func (t *T) Hide(secrets ...string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range secrets {
		if s != "" && !slices.Contains(t.hidden, s) {
			t.hidden = append(t.hidden, s)
		}
	}
}

// Cleanup has a function called once the check has ended, the newest first. It may fail
// the check, and must not stop it.
func (t *T) Cleanup(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cleanups = append(t.cleanups, f)
}

// signedToken is a JWT, whoever made it: what helps a check may err with that of another.
var signedToken = regexp.MustCompile(`eyJ[0-9A-Za-z_-]+\.[0-9A-Za-z_-]+\.[0-9A-Za-z_-]*`)

// hide wants t.mu.
func (t *T) hide(text string) string {
	for _, secret := range t.hidden {
		text = strings.ReplaceAll(text, secret, redacted)
	}
	return signedToken.ReplaceAllString(text, redacted)
}

// set keeps the worst status and every reason for it, unless the run is interrupted:
// what a check finds from then on may come of that.
func (t *T) set(status Status, reason string) {
	if !t.interrupted() {
		t.setAnyway(status, reason)
	}
}

// interrupted reports whether the run was interrupted while the check ran.
func (t *T) interrupted() bool { return errors.Is(t.ctx.Err(), context.Canceled) }

func (t *T) setAnyway(status Status, reason string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over || status.badness() < t.status.badness() {
		return
	}
	if status != t.status {
		t.status, t.reasons = status, nil
	}
	t.reasons = append(t.reasons, cut(t.hide(reason)))
}

func (t *T) stop() {
	t.mu.Lock()
	t.stopped = true
	t.mu.Unlock()
	runtime.Goexit()
}

// run does the check's work and closes done when it has ended, however it did.
func (t *T) run(work func(*T), done chan<- struct{}) {
	defer close(done)
	returned := false
	defer func() {
		t.guard(recover())
		t.mu.Lock()
		silent := !returned && !t.stopped && t.status != Broken
		t.mu.Unlock()
		if silent {
			t.set(Broken, "the check's goroutine ended without a word")
		}
		t.clean()
	}()
	work(t)
	returned = true
}

// clean calls the cleanups; each may panic on its own account.
func (t *T) clean() {
	for {
		t.mu.Lock()
		last := len(t.cleanups) - 1
		if last < 0 {
			t.mu.Unlock()
			return
		}
		f := t.cleanups[last]
		t.cleanups = t.cleanups[:last]
		t.mu.Unlock()
		func() {
			defer func() { t.guard(recover()) }()
			f()
		}()
	}
}

// guard turns a panic into a fault of the suite.
func (t *T) guard(panicked any) {
	if panicked != nil {
		t.Note("the check panicked: %s", debug.Stack())
		t.setAnyway(Broken, fmt.Sprintf("the check panicked: %v", panicked))
	}
}
