package batch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// item is what tests write: the nth of a key.
type item struct {
	key string
	n   int
}

// ledger is a store that keeps what it was given, in order.
type ledger struct {
	mu      sync.Mutex
	batches [][]item
	hold    chan struct{} // each write takes one, where it is set
	began   chan int      // each write tells how many it has, where it is set
	fail    func([]item) error
}

func (l *ledger) write(_ context.Context, items []item) ([]string, error) {
	if l.began != nil {
		l.began <- len(items)
	}
	if l.hold != nil {
		<-l.hold
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fail != nil {
		if err := l.fail(items); err != nil {
			return nil, err
		}
	}
	l.batches = append(l.batches, slices.Clone(items))
	out := make([]string, len(items))
	for i, one := range items {
		out[i] = fmt.Sprint(one.key, one.n)
	}
	return out, nil
}

func (l *ledger) written() []item { return slices.Concat(l.batches...) }

func (l *ledger) writer(t *testing.T, change func(*Config[item, string])) *Writer[item, string] {
	t.Helper()
	cfg := Config[item, string]{Write: l.write, Key: func(i item) string { return i.key }}
	if change != nil {
		change(&cfg)
	}
	w := New(cfg)
	t.Cleanup(func() {
		if err := w.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return w
}

// queued waits until so many items wait.
func queued(t *testing.T, w *Writer[item, string], n int) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		w.mu.Lock()
		got := len(w.queue)
		w.mu.Unlock()
		if got == n {
			return
		}
		select {
		case <-time.After(time.Millisecond):
		case <-t.Context().Done():
		}
	}
	t.Fatalf("never did %d items wait", n)
}

// together writes items at the same time, each put in its turn, and returns what came.
func together(t *testing.T, w *Writer[item, string], before int, items ...item) func() ([]string, []error) {
	t.Helper()
	results, errs := make([]string, len(items)), make([]error, len(items))
	var calls sync.WaitGroup
	for i, one := range items {
		calls.Go(func() { results[i], errs[i] = w.TryDo(context.Background(), one) })
		queued(t, w, before+i+1)
	}
	return func() ([]string, []error) { calls.Wait(); return results, errs }
}

func TestWhatComesDuringAWriteIsTheNextOne(t *testing.T) {
	l := &ledger{hold: make(chan struct{}), began: make(chan int)}
	w := l.writer(t, nil)
	first := make(chan error, 1)
	go func() { _, err := w.TryDo(context.Background(), item{"a", 0}); first <- err }()
	if n := <-l.began; n != 1 {
		t.Fatalf("a lone item was written with %d", n)
	}
	wait := together(t, w, 0, item{"c", 1}, item{"b", 1}, item{"a", 1}, item{"b", 2}, item{"b", 3})
	l.hold <- struct{}{}
	var sizes []int
	for range 3 {
		sizes = append(sizes, <-l.began)
		l.hold <- struct{}{}
	}
	results, errs := wait()
	if err := errors.Join(append(errs, <-first)...); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(results, []string{"c1", "b1", "a1", "b2", "b3"}) {
		t.Errorf("the callers got %v", results)
	}
	// One of each key, sorted; what is left, in the order in which it came.
	want := []item{{"a", 0}, {"a", 1}, {"b", 1}, {"c", 1}, {"b", 2}, {"b", 3}}
	if !slices.Equal(sizes, []int{3, 1, 1}) || !slices.Equal(l.written(), want) {
		t.Errorf("batches of %v: %v", sizes, l.written())
	}
}

// TestEveryCallerGetsItsOwnAnswer has many callers of many keys, each of which must be
// written once and in order.
func TestEveryCallerGetsItsOwnAnswer(t *testing.T) {
	const callers, each = 50, 40
	l := &ledger{}
	w := l.writer(t, func(c *Config[item, string]) { c.MaxQueue, c.MaxBatch, c.Linger = 16, 8, 50*time.Microsecond })
	var calls sync.WaitGroup
	for c := range callers {
		calls.Go(func() {
			for n := range each {
				one := item{fmt.Sprintf("key-%d-", c), n}
				if got, err := w.Do(context.Background(), one); err != nil || got != fmt.Sprint(one.key, n) {
					t.Errorf("%v was answered %q, %v", one, got, err)
				}
			}
		})
	}
	calls.Wait()
	next := map[string]int{}
	for _, one := range l.written() {
		if next[one.key] != one.n {
			t.Fatalf("%v was written when %d was due", one, next[one.key])
		}
		next[one.key]++
	}
	for _, b := range l.batches {
		if len(b) > 8 {
			t.Errorf("a batch has %d items", len(b))
		}
	}
	if len(l.written()) != callers*each {
		t.Errorf("%d items were written", len(l.written()))
	}
}

func TestAPoisonedItemFailsAlone(t *testing.T) {
	poison := errors.New("poison")
	for name, fail := range map[string]func(){"an error": func() {}, "a panic": func() { panic("poison") }} {
		t.Run(name, func(t *testing.T) {
			l := &ledger{hold: make(chan struct{}), began: make(chan int, 100)}
			l.fail = func(items []item) error {
				if slices.Contains(items, item{"c", 1}) {
					fail()
					return poison
				}
				return nil
			}
			w := l.writer(t, func(c *Config[item, string]) {
				c.Judge = func(err error) Verdict { return map[bool]Verdict{true: Split}[errors.Is(err, poison)] }
			})
			go func() { _, _ = w.TryDo(context.Background(), item{"z", 0}) }()
			<-l.began
			wait := together(t, w, 0, item{"a", 1}, item{"b", 1}, item{"c", 1}, item{"d", 1}, item{"e", 1})
			close(l.hold)
			results, errs := wait()
			for i, want := range []string{"a1", "b1", "", "d1", "e1"} {
				if (errs[i] != nil) != (want == "") || results[i] != want {
					t.Errorf("item %d was answered %q, %v", i, results[i], errs[i])
				}
			}
			if !errors.Is(errs[2], poison) && !errors.Is(errs[2], ErrPanicked) {
				t.Errorf("the poisoned item got %v", errs[2])
			}
		})
	}
}

func TestTheSameItemsAreWrittenAgainWhenTheyMay(t *testing.T) {
	unknown := errors.New("nobody knows")
	for failures, want := range map[int]bool{1: true, retries: true, retries + 1: false} {
		l := &ledger{}
		times := 0
		l.fail = func([]item) error {
			if times++; times <= failures {
				return unknown
			}
			return nil
		}
		w := l.writer(t, func(c *Config[item, string]) { c.Judge = func(error) Verdict { return Again } })
		_, err := w.TryDo(context.Background(), item{"a", 1})
		if (err == nil) != want || err != nil && !errors.Is(err, unknown) {
			t.Errorf("after %d failures: %v", failures, err)
		}
	}
}

func TestAStoreThatIsAwayFailsEveryItemAtOnce(t *testing.T) {
	away := errors.New("away")
	l := &ledger{hold: make(chan struct{}), began: make(chan int, 100), fail: func([]item) error { return away }}
	w := l.writer(t, nil)
	go func() { _, _ = w.TryDo(context.Background(), item{"z", 0}) }()
	<-l.began
	wait := together(t, w, 0, item{"a", 1}, item{"b", 1}, item{"c", 1})
	close(l.hold)
	if _, errs := wait(); !errors.Is(errs[0], away) || !errors.Is(errs[1], away) || !errors.Is(errs[2], away) {
		t.Errorf("the callers got %v", errs)
	}
	if n := len(l.began); n != 1 {
		t.Errorf("the three items were tried %d times", n)
	}
}

func TestAFullQueueRefusesOrMakesWait(t *testing.T) {
	l := &ledger{hold: make(chan struct{}), began: make(chan int, 100)}
	w := l.writer(t, func(c *Config[item, string]) { c.MaxQueue = 2 })
	go func() { _, _ = w.TryDo(context.Background(), item{"z", 0}) }()
	<-l.began
	wait := together(t, w, 0, item{"a", 1}, item{"b", 1})
	if _, err := w.TryDo(context.Background(), item{"c", 1}); !errors.Is(err, ErrFull) {
		t.Errorf("a third item was answered %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancelled := make(chan error, 1)
	go func() { _, err := w.Do(ctx, item{"d", 1}); cancelled <- err }()
	patient := make(chan error, 1)
	go func() { _, err := w.Do(context.Background(), item{"e", 1}); patient <- err }()
	cancel()
	if err := <-cancelled; !errors.Is(err, context.Canceled) {
		t.Errorf("who gave up got %v", err)
	}
	close(l.hold)
	_, errs := wait()
	if err := errors.Join(append(errs, <-patient)...); err != nil {
		t.Error(err)
	}
	if slices.Contains(l.written(), item{"d", 1}) || !slices.Contains(l.written(), item{"e", 1}) {
		t.Errorf("written: %v", l.written())
	}
}

// TestACancelledItemIsDroppedOnlyBeforeItIsTaken has one caller give up while its item is
// being written, and one while it waits.
func TestACancelledItemIsDroppedOnlyBeforeItIsTaken(t *testing.T) {
	l := &ledger{hold: make(chan struct{}), began: make(chan int, 100)}
	w := l.writer(t, nil)
	ctx, cancel := context.WithCancel(context.Background())
	gaveUp := make(chan error, 2)
	go func() { _, err := w.TryDo(ctx, item{"taken", 0}); gaveUp <- err }()
	<-l.began
	go func() { _, err := w.TryDo(ctx, item{"waits", 0}); gaveUp <- err }()
	queued(t, w, 1)
	cancel()
	for range 2 {
		if err := <-gaveUp; !errors.Is(err, context.Canceled) {
			t.Errorf("who gave up got %v", err)
		}
	}
	close(l.hold)
	if _, err := w.TryDo(context.Background(), item{"last", 0}); err != nil {
		t.Fatal(err)
	}
	if want := []item{{"taken", 0}, {"last", 0}}; !slices.Equal(l.written(), want) {
		t.Errorf("written: %v, want %v", l.written(), want)
	}
	if _, err := w.TryDo(ctx, item{"after", 0}); !errors.Is(err, context.Canceled) {
		t.Errorf("a call of who had given up got %v", err)
	}
}

func TestCloseWritesWhatWaits(t *testing.T) {
	l := &ledger{hold: make(chan struct{}), began: make(chan int, 100)}
	w := l.writer(t, nil)
	go func() { _, _ = w.TryDo(context.Background(), item{"z", 0}) }()
	<-l.began
	wait := together(t, w, 0, item{"a", 1}, item{"b", 1})
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if err := w.Close(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("closing while a write hangs: %v", err)
	}
	if _, err := w.Do(context.Background(), item{"late", 1}); !errors.Is(err, ErrClosed) {
		t.Errorf("an item after the close got %v", err)
	}
	close(l.hold)
	if _, errs := wait(); errors.Join(errs...) != nil {
		t.Error(errs)
	}
	if err := w.Close(context.Background()); err != nil || len(l.written()) != 3 {
		t.Errorf("closed: %v, with %v written", err, l.written())
	}
}

// TestALoneCallerNeverLingers would take an hour for each call if it did.
func TestALoneCallerNeverLingers(t *testing.T) {
	l := &ledger{}
	w := l.writer(t, func(c *Config[item, string]) { c.Linger = time.Hour })
	for n := range 3 {
		if _, err := w.TryDo(t.Context(), item{"a", n}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAWriteLingersForThoseWhoWereJustAnswered has two callers who come back one by one.
func TestAWriteLingersForThoseWhoWereJustAnswered(t *testing.T) {
	l := &ledger{hold: make(chan struct{}, 100), began: make(chan int)}
	w := l.writer(t, func(c *Config[item, string]) { c.Linger = time.Hour })
	go func() { _, _ = w.TryDo(context.Background(), item{"z", 0}) }()
	<-l.began
	wait := together(t, w, 0, item{"a", 1}, item{"b", 1})
	l.hold <- struct{}{}
	if n := <-l.began; n != 2 {
		t.Fatalf("the second batch has %d items", n)
	}
	l.hold <- struct{}{}
	wait()
	again := together(t, w, 0, item{"a", 2})
	second := make(chan error, 1)
	go func() { _, err := w.TryDo(context.Background(), item{"b", 2}); second <- err }()
	if n := <-l.began; n != 2 {
		t.Errorf("the third batch has %d items: it did not wait for the second caller", n)
	}
	l.hold <- struct{}{}
	again()
	if err := <-second; err != nil {
		t.Error(err)
	}
}

// TestAWriteTakesAlongWhoIsAboutToCome has one more caller come whenever the writer lets
// others go first, up to some number.
func TestAWriteTakesAlongWhoIsAboutToCome(t *testing.T) {
	for _, c := range []struct{ callers, most, want int }{{1, 512, 1}, {4, 512, 4}, {4, 3, 3}} {
		l := &ledger{began: make(chan int, c.callers)}
		w := newWriter(Config[item, string]{Write: l.write, Key: func(i item) string { return i.key }, MaxBatch: c.most})
		var calls sync.WaitGroup
		come := func() {
			n := w.waiting()
			calls.Go(func() {
				if _, err := w.TryDo(context.Background(), item{fmt.Sprint(n), 0}); err != nil {
					t.Error(err)
				}
			})
			queued(t, w, n+1)
		}
		come()
		w.yield = func() {
			if w.waiting() < c.callers {
				come()
			}
		}
		go w.run()
		if n := <-l.began; n != c.want {
			t.Errorf("of %d callers, %d at most, %d were written together", c.callers, c.most, n)
		}
		calls.Wait()
		if err := w.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}
}

func TestAnswersThatAreNotOneForEachItemAreAnError(t *testing.T) {
	w := New(Config[item, string]{
		Write: func(context.Context, []item) ([]string, error) { return nil, nil },
		Key:   func(i item) string { return i.key },
	})
	if _, err := w.TryDo(t.Context(), item{"a", 1}); err == nil {
		t.Error("an item without an answer was answered well")
	}
	if err := w.Close(context.Background()); err != nil {
		t.Error(err)
	}
}
