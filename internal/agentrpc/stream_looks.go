package agentrpc

import (
	"context"
	"sync"
	"time"
)

const (
	// readmitEvery is how often a stream that sent lines meanwhile is held against its
	// attempt's end again (LOG-9, AUTH-10), unless set, and readmitQuietEvery how often one that
	// did not: most of very many open streams are quiet at a time.
	readmitEvery      = 5 * time.Second
	readmitQuietEvery = time.Minute
	// readmitParts is into how many parts that time is cut for a stream that is to be looked at
	// while as many are as may be.
	readmitParts = 4
	// admitsAtOnce is how many ask the store about the end of an attempt at a time, which is
	// thousands a second: when very many streams are opened, or looked at, none of the others
	// needs another goroutine yet.
	admitsAtOnce = 16
)

// withinReason is for what is asked of the store on behalf of a call, for as long as that has for
// it. It does not end with the call, which would cost every open one what tells of its end.
func withinReason(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), definitiveWithin)
}

// looks are when a call is held against its attempt's end. There is no goroutine but during a
// look: the store may take its time, and acks may not.
type looks struct {
	*logCall
	last time.Time
	due  bool

	mu     sync.Mutex
	timer  *time.Timer // nil: it is over
	cancel func()      // ends the look under way; nil: there is none
}

// lookNowAndThen has the call looked at until stop is called.
func (c *logCall) lookNowAndThen(ctx context.Context) (stop func()) {
	l := &looks{logCall: c, last: time.Now()}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.timer = time.AfterFunc(c.readmit, func() { l.look(ctx) })
	return l.stop
}

func (l *looks) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.timer.Stop()
	l.timer = nil
	if l.cancel != nil {
		l.cancel()
	}
}

// under says what ends the look that is under way, and whether there is to be one.
func (l *looks) under(cancel func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cancel = cancel
	return l.timer != nil
}

func (l *looks) again(after time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.timer != nil {
		l.timer.Reset(after)
	}
}

// look holds the call against its attempt's end if that is due, and it is one of few that do.
func (l *looks) look(ctx context.Context) {
	if l.sent.Swap(false) || time.Since(l.last) >= readmitQuietEvery {
		l.due = true
	}
	if !l.due {
		l.again(l.readmit)
		return
	}
	select {
	case l.admitting <- struct{}{}:
	default:
		l.again(l.readmit / readmitParts)
		return
	}
	l.last, l.due = time.Now(), false
	bounded, cancel := withinReason(ctx)
	defer cancel()
	if !l.under(cancel) {
		cancel()
	}
	err := l.guarded(ctx, func(ctx context.Context) error { return l.admit(ctx, bounded, l.id, true) })
	l.under(nil)
	// Only a definitive word ends a stream: a store that fails says nothing.
	if err != nil {
		l.ended <- err
		return
	}
	l.again(l.readmit)
}
