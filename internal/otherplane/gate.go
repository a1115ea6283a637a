package otherplane

import (
	"context"
	"errors"
	"sync"
)

// errDown is what a driver would say: no client may ever read it.
var errDown = errors.New(`write /var/lib/plane/heap.db: table "attempts": driver: input/output error`)

// errKilled is what a plane that was killed would no longer say.
var errKilled = errors.New("this plane was killed")

type condition int

const (
	well condition = iota
	down
	hanging
)

// gate stands before the store, and can make it fail.
type gate struct {
	mu      sync.Mutex
	is      condition
	changed chan struct{} // closed at the next change
}

func newGate() *gate { return &gate{changed: make(chan struct{})} }

func (g *gate) set(to condition) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.is = to
	close(g.changed)
	g.changed = make(chan struct{})
}

func (g *gate) look() (condition, <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.is, g.changed
}

// pass waits while the store hangs.
func (g *gate) pass(ctx context.Context) error {
	for {
		is, changed := g.look()
		switch is {
		case well:
			return ctx.Err()
		case down:
			return errDown
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// wellAgain waits until the store works.
func (g *gate) wellAgain(ctx context.Context) error {
	for {
		is, changed := g.look()
		if is == well {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
