package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
)

// signals are those that stop a run: the first in order, a second at once.
type signals struct {
	ctx    context.Context //nolint:containedctx // ends at the first signal
	hurry  chan struct{}   // closed at the second
	first  atomic.Int32
	cancel context.CancelCauseFunc
	ch     chan os.Signal
	done   chan struct{}
}

func catchSignals() *signals {
	s := &signals{hurry: make(chan struct{}), ch: make(chan os.Signal, 2), done: make(chan struct{})}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	signal.Notify(s.ch, syscall.SIGINT, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // as nohup has it
		signal.Notify(s.ch, syscall.SIGHUP)
	}
	go func() {
		select {
		case sig := <-s.ch:
			number, _ := sig.(syscall.Signal)
			s.first.Store(int32(number)) //nolint:gosec // a signal's number is small
			s.cancel(fmt.Errorf("by the signal %v", sig))
		case <-s.done:
			return
		}
		select {
		case <-s.ch:
			close(s.hurry)
		case <-s.done:
		}
	}()
	return s
}

// caught returns the number of the first signal; 0: none came.
func (s *signals) caught() int { return int(s.first.Load()) }

func (s *signals) release() {
	signal.Stop(s.ch)
	close(s.done)
	s.cancel(nil)
}
