package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Servers of one PostgreSQL database wake each other's watchers by notifications. What
// they say is which runs changed, in digests that tell nobody a name.
//
// They are sent after the commit, and not within the transaction: PostgreSQL lets those
// which notify commit one at a time in the whole cluster, each with its wait for the
// disk, and the writes of all servers would queue there. What a server does not say
// because it died between the two, or because nothing gets through, watchers find by
// looking now and then.

const (
	channel = "leoflow_runs"
	// keysAtOnce fit into a notification, which takes 8,000 bytes.
	keysAtOnce = 300
	// keysWaiting is how many runs wait to be announced, before it is said instead that any may have changed.
	keysWaiting = 30_000
	// announceGap is the least time between two announcements: what changes meanwhile goes together.
	announceGap = 20 * time.Millisecond
	// farewell bounds the last announcement.
	farewell = time.Second
	// quiet is how long nothing may come before the connection is asked whether it is there.
	quiet = 30 * time.Second
	// retryFirst and retryLast bound the waits after a failure.
	retryFirst, retryLast = 100 * time.Millisecond, 5 * time.Second
)

// wakeKey names a run of any tenant, and tells neither.
type wakeKey [16]byte

func (k watchKey) digest() wakeKey {
	h := sha256.New()
	for _, part := range []string{k.tenant, k.DagID, k.RunID} {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		h.Write([]byte(part))
	}
	return wakeKey(h.Sum(nil))
}

var (
	keyText    = base64.RawURLEncoding
	keyTextLen = keyText.EncodedLen(len(wakeKey{}))
)

// anyRun stands for keys where any run may have changed.
const anyRun = "*"

// wakes tells other servers of what this one changed, and is told by them.
type wakes struct {
	watches *watches
	logger  *slog.Logger
	cfg     *pgx.ConnConfig
	db      *sql.DB // what this server says goes over it
	self    string  // tells its own notifications from those of others

	mu      sync.Mutex
	changed map[wakeKey]struct{}
	any     bool
	news    chan struct{} // holds one value

	stop context.CancelFunc
	done sync.WaitGroup
}

// openWakes begins to tell and to listen, before it returns unless that fails: a server
// whose watchers look by themselves still serves.
func openWakes(ctx context.Context, watches *watches, cfg *pgx.ConnConfig, logger *slog.Logger) *wakes {
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	w := &wakes{
		watches: watches, logger: logger, cfg: cfg.Copy(), db: single(cfg, hasty), self: uuid.NewString(),
		changed: map[wakeKey]struct{}{}, news: make(chan struct{}, 1), stop: stop,
	}
	watches.tell = w.add
	conn, err := w.connect(ctx)
	w.done.Go(func() { w.announce(running) })
	w.done.Go(func() { w.listen(running, conn, err) })
	return w
}

// close says what is still to be said, within bounds, and ends.
func (w *wakes) close() error {
	w.stop()
	w.done.Wait()
	return w.db.Close()
}

// add has a run announced.
func (w *wakes) add(key wakeKey) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.changed[key] = struct{}{}; len(w.changed) > keysWaiting {
		w.any = true
		clear(w.changed)
	}
	select {
	case w.news <- struct{}{}:
	default:
	}
}

// take empties what is to be announced, as texts of notifications.
func (w *wakes) take() (texts []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.any {
		texts = append(texts, w.self+" "+anyRun)
	}
	var text strings.Builder
	keys := 0
	for key := range w.changed {
		if keys%keysAtOnce == 0 {
			if keys > 0 {
				texts = append(texts, text.String())
			}
			text.Reset()
			text.WriteString(w.self + " ")
		}
		text.WriteString(keyText.EncodeToString(key[:]))
		keys++
	}
	if keys > 0 {
		texts = append(texts, text.String())
	}
	w.any = false
	clear(w.changed)
	return texts
}

// announce says what was added, until ctx ends, and then what is left.
func (w *wakes) announce(ctx context.Context) {
	for wait := announceGap; ; {
		select {
		case <-w.news:
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
			defer cancel()
			_ = w.send(last, w.take()) // the others look by themselves
			return
		}
		wait = w.after(ctx, wait, w.send(ctx, w.take()))
		pause(ctx, wait)
	}
}

// after returns how long to wait before the next announcement. After a failure any run
// may have changed: what could not be said is not kept. The first of a row is logged.
func (w *wakes) after(ctx context.Context, wait time.Duration, err error) time.Duration {
	if err == nil {
		return announceGap
	}
	if wait == announceGap && ctx.Err() == nil {
		w.logger.WarnContext(ctx, "other servers are not told of what changes: their watchers look by themselves until this is mended", "cause", err.Error())
	}
	w.mu.Lock()
	w.any = true
	w.mu.Unlock()
	select {
	case w.news <- struct{}{}:
	default:
	}
	return min(max(2*wait, retryFirst), retryLast)
}

func (w *wakes) send(ctx context.Context, texts []string) error {
	if len(texts) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	_, err := w.db.ExecContext(ctx, "SELECT pg_notify($1, text) FROM unnest($2::text[]) AS text", channel, texts)
	return err
}

// connect makes a connection that is told.
func (w *wakes) connect(ctx context.Context) (*pgx.Conn, error) {
	conn, err := pgx.ConnectConfig(ctx, w.cfg)
	if err != nil {
		return nil, err
	}
	asking, cancel := context.WithTimeout(ctx, w.cfg.ConnectTimeout) // the connection is made, and nothing else bounds it
	defer cancel()
	if _, err := conn.Exec(asking, "LISTEN "+channel); err != nil {
		return nil, errors.Join(err, conn.Close(context.WithoutCancel(ctx)))
	}
	return conn, nil
}

// listen is told by other servers until ctx ends, first over conn, unless there is an
// error instead.
func (w *wakes) listen(ctx context.Context, conn *pgx.Conn, err error) {
	for wait := retryFirst; ; {
		if err == nil {
			wait = retryFirst
			err = w.hear(ctx, conn)
		}
		if ctx.Err() != nil {
			return
		}
		w.logger.WarnContext(ctx, "not told of what other servers change: watchers look by themselves until this is mended", "cause", err.Error())
		pause(ctx, wait/2+rand.N(wait)) //nolint:gosec // so that servers do not all come at once
		wait = min(2*wait, retryLast)
		if conn, err = w.connect(ctx); err == nil {
			w.watches.wakeAll() // nobody listened meanwhile
		}
	}
}

// hear wakes whom it is told to until the connection fails, and closes it.
func (w *wakes) hear(ctx context.Context, conn *pgx.Conn) error {
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing is under way on it
	for {
		waiting, cancel := context.WithTimeout(ctx, quiet)
		n, err := conn.WaitForNotification(waiting)
		quieted := waiting.Err() != nil
		cancel()
		switch {
		case err == nil:
			w.told(n.Payload)
		case !quieted || ctx.Err() != nil:
			return err
		default:
			if err := alive(ctx, conn); err != nil {
				return err
			}
		}
	}
}

// alive returns an error where a connection is dead.
func alive(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	return conn.Ping(ctx)
}

// told wakes whom a notification names. Anybody with the database may send one: what is
// not understood is nothing.
func (w *wakes) told(text string) {
	from, keys, ok := strings.Cut(text, " ")
	switch {
	case !ok || from == w.self:
		return
	case keys == anyRun:
		w.watches.wakeAll()
		return
	}
	for ; len(keys) >= keyTextLen; keys = keys[keyTextLen:] {
		raw, err := keyText.DecodeString(keys[:keyTextLen])
		if err != nil {
			return
		}
		w.watches.wakeUp(wakeKey(raw))
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
