package pgtest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Template is a database that others are copies of: to copy tables takes less time than
// to make them. It is made once in a process.
type Template struct {
	prepare  func(ctx context.Context, dsn string) error
	emptying string

	mu      sync.Mutex
	name    string
	dropped []func() error // of the template and of the copies that are used again
	idle    []string       // DSNs of empty copies
}

// NewTemplate returns a template that prepare fills, before it is copied first. The
// statements emptying take everything out of a copy that a test may have put into it.
func NewTemplate(prepare func(ctx context.Context, dsn string) error, emptying string) *Template {
	return &Template{prepare: prepare, emptying: emptying}
}

// Database returns the DSN of a copy, which is dropped when the test ends.
func (p *Template) Database(t testing.TB) string {
	t.Helper()
	dsn, drop, err := p.copy(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dropAtEnd(t, drop)
	return dsn
}

// Shared returns the DSN of a copy that other tests had before, and will have when the
// test ends: it may change what is in tables, but no table. It is many times faster than
// to copy.
func (p *Template) Shared(t testing.TB) string {
	t.Helper()
	dsn, err := p.take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.giveBack(dsn); err != nil {
			t.Error(err)
		}
	})
	return dsn
}

func (p *Template) take(ctx context.Context) (string, error) {
	p.mu.Lock()
	if last := len(p.idle) - 1; last >= 0 {
		dsn := p.idle[last]
		p.idle = p.idle[:last]
		p.mu.Unlock()
		return dsn, nil
	}
	p.mu.Unlock()
	dsn, drop, err := p.copy(ctx)
	if err == nil {
		p.mu.Lock()
		p.dropped = append(p.dropped, drop)
		p.mu.Unlock()
	}
	return dsn, err
}

// giveBack empties a copy.
func (p *Template) giveBack(dsn string) error {
	ctx, cancel := context.WithTimeout(context.Background(), dropWithin)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, p.emptying)
	if err := errors.Join(err, conn.Close(ctx)); err != nil {
		return fmt.Errorf("empty a database: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = append(p.idle, dsn)
	return nil
}

// copy makes the template, where nobody has, and a copy.
func (p *Template) copy(ctx context.Context) (dsn string, drop func() error, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.name == "" {
		dsn, drop, err := Create(ctx, "")
		if err != nil {
			return "", nil, err
		}
		p.dropped = append(p.dropped, drop)
		if err := p.prepare(ctx, dsn); err != nil {
			return "", nil, fmt.Errorf("the template of databases: %w", err)
		}
		p.name = nameOf(dsn)
	}
	return Create(ctx, p.name)
}

// Drop drops the template and its shared copies. A private server needs it not: it goes
// whole.
func (p *Template) Drop() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for _, drop := range p.dropped {
		errs = append(errs, drop())
	}
	p.name, p.idle, p.dropped = "", nil, nil
	return errors.Join(errs...)
}
