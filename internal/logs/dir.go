package logs

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/neochaotic/leoflow/internal/domain"
)

// Options configure a [Dir]. A size of 0 takes the default.
type Options struct {
	// Root is the directory of all logs. It is created with mode 0700. One Dir at
	// a time may use it, unless it is shared: whoever opens it sees to that.
	Root string
	// Shared lets any number of Dirs that all say so use Root at once, of any number of
	// processes, and of machines whose file system keeps locks and shows each what the
	// others wrote. A log then moves to whoever opens it.
	Shared bool
	// Logger gets what an operator must know; nil: nothing is logged.
	Logger *slog.Logger
	// Now gives the receive time; nil: time.Now.
	Now func() time.Time

	SegmentBytes int64 // a segment file ends with the batch that reaches it; 16 MiB
	QueueLines   int   // lines of a writer that wait for the disk; 8192
	QueueBytes   int   // and their bytes as stored; the last one may go over; 1 MiB
	HoldLines    int   // lines of an attempt that wait above holes; 1024
	HoldBytes    int   // and their bytes; 1 MiB
	MaxStreams   int   // streams of an attempt that are told apart; 256
	OpenFiles    int   // segments that are open to be written at a time, unless Root is shared; 256
}

func (o *Options) complete() error {
	if o.Root == "" {
		return errors.New("logs: no root directory")
	}
	if o.Shared && !canShare {
		return errors.New("logs: directories cannot be shared on this system: it has no locks of open files")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.SegmentBytes == 0 {
		o.SegmentBytes = 16 << 20
	}
	if o.SegmentBytes < 0 {
		return errors.New("logs: a size is negative")
	}
	for _, size := range []struct {
		value *int
		def   int
	}{{&o.QueueLines, 8192}, {&o.QueueBytes, 1 << 20}, {&o.HoldLines, 1024}, {&o.HoldBytes, 1 << 20}, {&o.MaxStreams, 256}, {&o.OpenFiles, 256}} {
		if *size.value == 0 {
			*size.value = size.def
		}
		if *size.value < 0 {
			return errors.New("logs: a size is negative")
		}
	}
	return nil
}

const (
	idleShards  = 64
	maxVerified = 4096
)

// Dir keeps logs in a directory of one machine: for each attempt a directory of
// append-only segment files of JSON lines. It is a plain sink, a [LineSink] and a
// [Reader]; all methods may be called by any number of goroutines.
//
// What arrives while a sync is under way is synced together by the next one, and
// is acknowledged after it (LOG-1). Numbering is read back when a log is opened, unless it
// is still known from when it was written last.
type Dir struct {
	opts     Options
	openFile func(path string, flag int) (file, error)
	seed     maphash.Seed
	files    *files // where Root is not shared

	mu       sync.Mutex
	closed   bool
	logs     map[Ref]*attemptLog
	writers  map[*writer]struct{}
	idle     [idleShards]notifier // wakes who waits for a log that nobody writes; many refs share one
	verified map[Ref]verified     // unloaded logs known to be whole and synced
	suspects map[Ref]int64        // failed logs whose bytes from there on could not be cut off

	patience time.Duration    // with an owner that was asked
	foreign  map[Ref]*foreign // where Root is shared: logs that are followed here
	stop     chan struct{}    // closed to end what looks at others
	alone    chan struct{}    // closed when that has ended

	closing  sync.Once
	closeErr error
}

// verified is how far a log was synced, whether this Dir was who wrote there last, and what
// was known of it then; nil: nothing more.
type verified struct {
	end   int64
	left  bool
	known *recovered
}

// The obligations of a Dir.
var (
	_ LineSink   = (*Dir)(nil)
	_ Reader     = (*Dir)(nil)
	_ LineWriter = (*writer)(nil)
	_ LogWriter  = (*writer)(nil)
)

// NewDir opens a directory of logs. Logs are recovered when they are opened, not here.
func NewDir(opts Options) (*Dir, error) {
	if err := opts.complete(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(opts.Root, 0o700); err != nil {
		return nil, fmt.Errorf("log directory: %w", err)
	}
	if err := syncDir(filepath.Dir(opts.Root)); err != nil {
		return nil, fmt.Errorf("log directory: %w", err)
	}
	d := &Dir{
		opts: opts, openFile: openFile, seed: maphash.MakeSeed(), files: newFiles(opts.OpenFiles, opts.Logger),
		logs: map[Ref]*attemptLog{}, writers: map[*writer]struct{}{},
		verified: map[Ref]verified{}, suspects: map[Ref]int64{},
		patience: defaultPatience, foreign: map[Ref]*foreign{}, stop: make(chan struct{}), alone: make(chan struct{}),
	}
	if opts.Shared {
		go d.neighbours()
	} else {
		close(d.alone)
	}
	return d, nil
}

// Open begins plain writing: lines are stored without numbers, beside those of a
// call of [Dir.OpenLines], which goes on. WriteEvent may return before the line is
// durable and blocks while the disk is behind; Close syncs.
func (d *Dir) Open(ref Ref) (LogWriter, error) {
	w, err := d.open(context.Background(), ref, false)
	if err != nil {
		return nil, err
	}
	return w, nil
}

// OpenLines implements [LineSink]. After [Dir.Close] it fails with ErrUnavailable, wrapped.
func (d *Dir) OpenLines(ctx context.Context, ref Ref) (LineWriter, error) {
	w, err := d.open(ctx, ref, true)
	if err != nil {
		return nil, err
	}
	return w, nil
}

func (d *Dir) open(ctx context.Context, ref Ref, numbers bool) (*writer, error) {
	l, err := d.acquire(ref, true)
	if err != nil {
		return nil, err
	}
	if err := l.life.take(ctx); err != nil {
		d.release(l)
		return nil, fmt.Errorf("open log: %w", err)
	}
	w, err := d.begin(ctx, l, numbers)
	l.life.give()
	if err != nil {
		d.finish(l)
		return nil, fmt.Errorf("open log: %w", err)
	}
	return w, nil
}

// begin opens a writer of l. The caller has the life token.
func (d *Dir) begin(ctx context.Context, l *attemptLog, numbers bool) (*writer, error) {
	for {
		if err := l.prepare(ctx, numbers); err != nil {
			return nil, err
		}
		w := newWriter(l, numbers)
		if ok, err := d.register(w); ok || err != nil {
			return w, err
		}
	}
}

// register has w write; false: its log is going to another process. The caller has the
// life token, and the log is loaded.
func (d *Dir) register(w *writer) (bool, error) {
	l := w.log
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return false, errClosed
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.yielding || errors.Is(l.err, errTakenOver) {
		return false, nil
	}
	d.writers[w] = struct{}{}
	l.writers = append(l.writers, w)
	if w.numbers {
		l.active = w
	}
	l.changed.wake()
	d.shard(l.ref).wake()
	d.wakeForeign(l.ref)
	return true, nil
}

var errClosed = fmt.Errorf("log sink is closed: %w", domain.ErrUnavailable)

func (d *Dir) acquire(ref Ref, write bool) (*attemptLog, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed && write {
		return nil, errClosed
	}
	l, ok := d.logs[ref]
	if !ok {
		l = newAttemptLog(d, ref)
		d.logs[ref] = l
	}
	l.refs++
	return l, nil
}

func (d *Dir) release(l *attemptLog) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if l.refs--; l.refs == 0 {
		delete(d.logs, l.ref)
	}
}

// finish releases l, and unloads it if no writer is left.
func (d *Dir) finish(l *attemptLog) {
	_ = l.life.take(context.Background()) // never fails
	l.mu.Lock()
	unload := l.loaded && len(l.writers) == 0
	l.mu.Unlock()
	if unload {
		l.unload()
	}
	l.life.give()
	d.release(l)
}

// retire forgets a writer that has ended.
func (d *Dir) retire(w *writer) {
	d.finish(w.log)
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.writers, w)
}

// Close ends every open writer, after making durable what it took (LOG-10), and
// refuses new ones. Reading goes on. An error means that lines may be lost.
func (d *Dir) Close() error {
	d.closing.Do(func() { d.closeErr = d.close() })
	return d.closeErr
}

func (d *Dir) close() error {
	d.mu.Lock()
	d.closed = true
	writers := make([]*writer, 0, len(d.writers))
	for w := range d.writers {
		writers = append(writers, w)
	}
	d.mu.Unlock()
	errs := make([]error, len(writers))
	slots := make(chan struct{}, 16) // syncs at once
	var wg sync.WaitGroup
	for i, w := range writers {
		slots <- struct{}{}
		wg.Go(func() {
			errs[i] = w.Close()
			<-slots
		})
	}
	wg.Wait()
	close(d.stop)
	<-d.alone
	return errors.Join(errs...)
}

func (d *Dir) shard(ref Ref) *notifier {
	return &d.idle[maphash.Comparable(d.seed, ref)%idleShards]
}

// isVerified reports whether a log is known to be synced up to its end. Where the root
// is shared, others may write on.
func (d *Dir) isVerified(ref Ref, end int64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	v, ok := d.verified[ref]
	return ok && (!d.opts.Shared || v.end == end)
}

// wasLeft reports whether this Dir wrote a log last, and up to this end.
func (d *Dir) wasLeft(ref Ref, end int64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.verified[ref].leftAt(end)
}

func (v verified) leftAt(end int64) bool { return v.left && v.end == end }

// recall returns what is known of an unloaded log that nobody else writes, and whether that
// is whole and synced; nil: nothing more than that.
func (d *Dir) recall(ref Ref) (known *recovered, is bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	v, is := d.verified[ref]
	return v.known, is
}

func (d *Dir) verify(ref Ref, v verified) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.verified) >= maxVerified {
		clear(d.verified)
	}
	v.left = v.left || d.verified[ref].leftAt(v.end)
	d.verified[ref] = v
}

func (d *Dir) forgetVerified(ref Ref) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.verified, ref)
}

// suspect notes that what l holds from position durable on is not to be trusted.
func (d *Dir) suspect(l *attemptLog, durable int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.suspects[l.ref] = durable
}

// mend has what suspect noted cut off.
func (d *Dir) mend(l *attemptLog, cut func(keep int64) error) error {
	d.mu.Lock()
	keep, ok := d.suspects[l.ref]
	d.mu.Unlock()
	if !ok {
		return nil
	}
	if err := cut(keep); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.suspects, l.ref)
	return nil
}
