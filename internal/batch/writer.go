package batch

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

// What a [Writer] answers by itself.
var (
	// ErrFull says that as many items wait as may, and that this one was not taken.
	ErrFull = errors.New("batch: too many items are waiting")
	// ErrClosed says that the writer was closed, and that the item was not taken.
	ErrClosed = errors.New("batch: the writer is closed")
	// ErrPanicked says that writing the item panicked.
	ErrPanicked = errors.New("batch: writing panicked")
)

// Verdict is what an error of a write means for its items.
type Verdict int

const (
	// Fail says that it is nobody's fault, such as a store that is away. Every item gets the error.
	Fail Verdict = iota
	// Again says that the same items may go well at once, such as after a deadlock, or after a
	// commit of which nobody knows whether it was made.
	Again
	// Split says that one of the items may be at fault. Each half is written by itself, down to
	// the items that fail alone.
	Split
)

// Defaults of a [Config].
const (
	DefaultMaxBatch = 512
	DefaultMaxQueue = 8192
	DefaultTimeout  = 10 * time.Second
	// retries is how often the same items are written again.
	retries = 3
)

// Config says how items are written.
type Config[I, R any] struct {
	// Write writes the items in one transaction, and returns the answer to each, in
	// order. After an error nothing of them was written, or nobody knows: it must be
	// able to write the same items again. It is called by one goroutine at a time, and
	// not on any caller's context; required.
	Write func(context.Context, []I) ([]R, error)
	// Key names what an item is about. Two items of one key are never in the same batch,
	// and are written in the order in which they came. Batches are sorted by it. nil: items
	// have nothing to do with each other.
	Key func(I) string
	// Judge says what an error of Write means; nil: Fail.
	Judge func(error) Verdict
	// MaxBatch is how many items a write takes at most; 0: DefaultMaxBatch.
	MaxBatch int
	// MaxQueue is how many items may wait; 0: DefaultMaxQueue.
	MaxQueue int
	// Timeout bounds one write; 0: DefaultTimeout.
	Timeout time.Duration
	// Linger is how long a write waits for as many items as the last one had, once they
	// come in numbers; 0: not at all. A lone caller never waits for it.
	Linger time.Duration
	// Observe, if set, is told of each write: how many items, how long, and its error.
	Observe func(items int, took time.Duration, err error)
}

// Writer gathers items and writes them. It is safe for concurrent use. [New] makes one.
type Writer[I, R any] struct {
	cfg   Config[I, R]
	ended chan struct{} // closed once the last item is written

	mu     sync.Mutex
	queue  []*entry[I, R]
	want   int // how many items the writer waits for, while it lingers
	closed bool
	wake   chan struct{} // there is something to write, or the end
	room   chan struct{} // closed, and made anew, when items leave a full queue

	yield func() // lets other goroutines go first
}

// entry is an item that waits or is being written.
type entry[I, R any] struct {
	item   I
	key    string
	answer chan answer[R] // of one
}

type answer[R any] struct {
	result R
	err    error
}

// New makes a writer, which [Writer.Close] ends.
func New[I, R any](cfg Config[I, R]) *Writer[I, R] {
	w := newWriter(cfg)
	go w.run()
	return w
}

// newWriter makes a writer that does not run yet.
func newWriter[I, R any](cfg Config[I, R]) *Writer[I, R] {
	return &Writer[I, R]{
		cfg: cfg.complete(), ended: make(chan struct{}), wake: make(chan struct{}, 1), room: make(chan struct{}),
		yield: runtime.Gosched,
	}
}

// complete is the config with the defaults of what it leaves out.
func (cfg Config[I, R]) complete() Config[I, R] {
	if cfg.MaxBatch == 0 {
		cfg.MaxBatch = DefaultMaxBatch
	}
	if cfg.MaxQueue == 0 {
		cfg.MaxQueue = DefaultMaxQueue
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultTimeout
	}
	if cfg.Judge == nil {
		cfg.Judge = func(error) Verdict { return Fail }
	}
	return cfg
}

// TryDo writes an item and returns the answer to it, or ErrFull at once. When ctx ends
// before the item is taken it is not written; afterwards it may be, and nobody is told.
func (w *Writer[I, R]) TryDo(ctx context.Context, item I) (R, error) {
	var none R
	if err := ctx.Err(); err != nil {
		return none, err
	}
	e, _, err := w.put(item)
	if err != nil {
		return none, err
	}
	return w.wait(ctx, e)
}

// Do is TryDo for an item that waits for its turn when the queue is full.
func (w *Writer[I, R]) Do(ctx context.Context, item I) (R, error) {
	var none R
	for ctx.Err() == nil {
		e, room, err := w.put(item)
		if err == nil {
			return w.wait(ctx, e)
		}
		if !errors.Is(err, ErrFull) {
			return none, err
		}
		select {
		case <-room:
		case <-ctx.Done():
		}
	}
	return none, ctx.Err()
}

// put takes an item into the queue. Of a full one it returns what is closed when there is
// room.
func (w *Writer[I, R]) put(item I) (_ *entry[I, R], room <-chan struct{}, _ error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.closed:
		return nil, nil, ErrClosed
	case len(w.queue) >= w.cfg.MaxQueue:
		return nil, w.room, ErrFull
	}
	e := &entry[I, R]{item: item, answer: make(chan answer[R], 1)}
	if w.cfg.Key != nil {
		e.key = w.cfg.Key(item)
	}
	w.queue = append(w.queue, e)
	if len(w.queue) >= w.want {
		w.rouse()
	}
	return e, nil, nil
}

// rouse has the writer look at the queue.
func (w *Writer[I, R]) rouse() {
	select {
	case w.wake <- struct{}{}:
	default: // it will look
	}
}

func (w *Writer[I, R]) wait(ctx context.Context, e *entry[I, R]) (R, error) {
	select {
	case a := <-e.answer:
		return a.result, a.err
	case <-ctx.Done():
		w.drop(e)
		var none R
		return none, ctx.Err()
	}
}

// drop takes an item out that nobody waits for, unless it was taken.
func (w *Writer[I, R]) drop(e *entry[I, R]) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if i := slices.Index(w.queue, e); i >= 0 {
		w.queue = slices.Delete(w.queue, i, i+1)
		w.makeRoom()
	}
}

// makeRoom wakes those who wait for room. It wants w.mu.
func (w *Writer[I, R]) makeRoom() {
	close(w.room)
	w.room = make(chan struct{})
}

// Close writes what waits, and ends the writer. Items that come later are ErrClosed. It
// returns the error of ctx when that ends first; the writing goes on then.
func (w *Writer[I, R]) Close(ctx context.Context) error {
	w.mu.Lock()
	w.closed = true
	w.makeRoom()
	w.rouse()
	w.mu.Unlock()
	select {
	case <-w.ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run writes until the writer is closed and nothing waits.
func (w *Writer[I, R]) run() {
	defer close(w.ended)
	last := 0
	for {
		w.linger(last)
		w.settle()
		batch, closed := w.take()
		if len(batch) == 0 {
			if closed {
				return
			}
			<-w.wake
			last = 0 // it was idle: nobody is delayed for others who may come
			continue
		}
		last = len(batch)
		w.write(batch)
	}
}

// linger waits for company, if the last batch had some: those whose answers have just
// gone out are about to come again.
func (w *Writer[I, R]) linger(last int) {
	if last < 2 || w.cfg.Linger == 0 {
		return
	}
	timer := time.NewTimer(w.cfg.Linger)
	defer timer.Stop()
	defer w.await(0)
	for !w.await(last) {
		select {
		case <-w.wake:
		case <-timer.C:
			return
		}
	}
}

// settle lets those go first who are about to come, for as long as some do: what is ready to
// run when a write is to begin would else wait for the whole of it, and many small writes
// cost more than a large one. Nobody waits for it but for the processor.
func (w *Writer[I, R]) settle() {
	for before, now := 0, w.waiting(); now > before && now < w.cfg.MaxBatch; before, now = now, w.waiting() {
		w.yield()
	}
}

func (w *Writer[I, R]) waiting() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.queue)
}

// await has the writer roused when so many items wait, and reports whether they do.
func (w *Writer[I, R]) await(items int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.want = items
	return w.closed || len(w.queue) >= items
}

// take takes the oldest items out of the queue, of each key the first, sorted by key.
func (w *Writer[I, R]) take() (batch []*entry[I, R], closed bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	full := len(w.queue) >= w.cfg.MaxQueue
	taken := make(map[string]bool, len(w.queue))
	batch = make([]*entry[I, R], 0, min(len(w.queue), w.cfg.MaxBatch))
	left := w.queue[:0]
	for _, e := range w.queue {
		if len(batch) == w.cfg.MaxBatch || w.cfg.Key != nil && taken[e.key] {
			left = append(left, e)
			continue
		}
		taken[e.key] = true
		batch = append(batch, e)
	}
	clear(w.queue[len(left):])
	w.queue = left
	if full && len(batch) > 0 {
		w.makeRoom()
	}
	slices.SortFunc(batch, func(a, b *entry[I, R]) int { return strings.Compare(a.key, b.key) })
	return batch, w.closed
}

// write writes a batch, and answers each of its items.
func (w *Writer[I, R]) write(batch []*entry[I, R]) {
	items := make([]I, len(batch))
	for i, e := range batch {
		items[i] = e.item
	}
	var results []R
	err := errors.New("batch: it was not written")
	verdict := Again
	for n := 0; err != nil && verdict == Again && n <= retries; n++ {
		if results, err = w.once(items); err != nil {
			verdict = w.judge(err)
		}
	}
	if err != nil && verdict == Split && len(batch) > 1 {
		half := len(batch) / 2
		w.write(batch[:half])
		w.write(batch[half:])
		return
	}
	for i, e := range batch {
		a := answer[R]{err: err}
		if err == nil {
			a.result = results[i]
		}
		e.answer <- a
	}
}

// judge says what an error means. What panics for one item may go well for the others.
func (w *Writer[I, R]) judge(err error) Verdict {
	if errors.Is(err, ErrPanicked) {
		return Split
	}
	return w.cfg.Judge(err)
}

// once calls Write. A panic of it, or answers that are not one for each item, are errors.
func (w *Writer[I, R]) once(items []I) (results []R, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), w.cfg.Timeout)
	defer cancel()
	began := time.Now()
	defer func() {
		if r := recover(); r != nil {
			results, err = nil, fmt.Errorf("%w: %v", ErrPanicked, r)
		}
		if w.cfg.Observe != nil {
			w.cfg.Observe(len(items), time.Since(began), err)
		}
	}()
	results, err = w.cfg.Write(ctx, items)
	if err == nil && len(results) != len(items) {
		err = fmt.Errorf("batch: %d items were written, and %d answered", len(items), len(results))
	}
	return results, err
}
