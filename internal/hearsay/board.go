package hearsay

import (
	"context"
	"log/slog"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/neochaotic/leoflow/internal/domain"
)

// tellsPerWindow is how many times in a window of silence the others are told.
const tellsPerWindow = 16

// Config says what a board is of.
type Config struct {
	// Dir is the directory that servers share; empty: there are no others.
	Dir string
	// Window is the reapers' window of silence: for so long a beat is told; required.
	Window time.Duration
	// Logger; nil: slog.Default().
	Logger *slog.Logger
}

// Board is what one server heard and could not store. It is safe for concurrent use.
type Board struct {
	cfg  Config
	path string // of its own file

	mu    sync.Mutex
	heard map[domain.AttemptRef]beat
	last  uint64 // number of a beat
	news  bool   // that the file does not tell
}

// beat is the last one of an attempt. No two have the same number.
type beat struct {
	number uint64
	at     time.Time
}

// New returns a board with nothing on it.
func New(cfg Config) *Board {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	return &Board{
		cfg: cfg, path: filepath.Join(cfg.Dir, uuid.NewString()+suffix), heard: map[domain.AttemptRef]beat{},
		last: rand.Uint64(), //nolint:gosec // tells beats of one board from those of another
	}
}

// Heard notes a beat that was not stored.
func (b *Board) Heard(ref domain.AttemptRef) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last++
	b.heard[nameOf(ref)] = beat{b.last, time.Now()}
	b.news = true
}

// nameOf is what names an attempt among those of all tenants.
func nameOf(ref domain.AttemptRef) domain.AttemptRef {
	return domain.AttemptRef{TenantID: ref.TenantID, TaskInstanceID: ref.TaskInstanceID, TryNumber: ref.TryNumber}
}

// All returns the attempts that this server, or another, heard and could not store: their
// tenants, task instance ids and tries, and of each a number that is another after each beat.
// An error is of what others told: nobody knows then whom they heard.
func (b *Board) All() (map[domain.AttemptRef]uint64, error) {
	out, err := b.others()
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for name, one := range b.heard {
		out[name] += one.number
	}
	return out, nil
}

// fresh forgets beats older than a window, and returns the others. news: they are not what it
// returned last.
func (b *Board) fresh() (numbers map[domain.AttemptRef]uint64, news bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	before := len(b.heard)
	maps.DeleteFunc(b.heard, func(_ domain.AttemptRef, one beat) bool { return time.Since(one.at) > b.cfg.Window })
	news, b.news = b.news || len(b.heard) < before, false
	numbers = make(map[domain.AttemptRef]uint64, len(b.heard))
	for name, one := range b.heard {
		numbers[name] = one.number
	}
	return numbers, news
}

// Run tells the others until ctx ends, and takes back then what it told.
func (b *Board) Run(ctx context.Context) {
	next := time.NewTicker(b.cfg.Window / tellsPerWindow)
	defer next.Stop()
	for {
		select {
		case <-next.C:
			b.logged(ctx, b.tell())
		case <-ctx.Done():
			b.logged(ctx, b.takeBack())
			return
		}
	}
}

func (b *Board) logged(ctx context.Context, err error) {
	if err != nil {
		b.cfg.Logger.ErrorContext(ctx, "other servers cannot be told of heartbeats that were not stored: they may take attempts that beat to be lost",
			"cause", err.Error())
	}
}
