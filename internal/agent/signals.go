package agent

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// signalled is why a context ended: somebody sent the agent a signal.
type signalled struct{ sig syscall.Signal }

func (s signalled) Error() string { return "agent was asked to stop by " + unix.SignalName(s.sig) }

// askedToStop is the message of an attempt whose agent was stopped from outside.
func askedToStop(ctx context.Context) string {
	if by := (signalled{}); errors.As(context.Cause(ctx), &by) {
		return by.Error()
	}
	return "agent was asked to stop"
}

// signals are what an agent's process is sent, and what it makes of it:
//
//   - SIGTERM, SIGINT: the first ends ctx, so that the task is stopped politely; the
//     second closes kill, so that it is killed at once. How it ended is reported.
//   - SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2 mean nothing to an agent, and reach the task's
//     process group as they are: a task may write a dump on SIGQUIT, or read its
//     settings anew on SIGHUP. What they do to a task that heeds them not is its end.
//
// SIGINT and SIGHUP that were ignored when the process began stay so, for it and its
// task, as nohup and shells have it for what runs aside.
type signals struct {
	ctx  context.Context //nolint:containedctx // ends at the first signal to stop
	kill chan struct{}
	pass chan os.Signal
	stop func() // lets signals do again what they do by default
}

// catchSignals catches signals until stop is called.
func catchSignals() *signals {
	ctx, cancel := context.WithCancelCause(context.Background())
	s := &signals{ctx: ctx, kill: make(chan struct{}), pass: make(chan os.Signal, 16)}
	asked, over, done := make(chan os.Signal, 2), make(chan struct{}), make(chan struct{})
	notify := func(c chan os.Signal, sigs ...os.Signal) {
		for _, sig := range sigs {
			if !signal.Ignored(sig) {
				signal.Notify(c, sig)
			}
		}
	}
	notify(asked, syscall.SIGTERM, syscall.SIGINT)
	notify(s.pass, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2)
	go func() {
		defer close(done)
		for n := 0; n < 2; n++ {
			select {
			case sig := <-asked:
				number, _ := sig.(syscall.Signal)
				if n == 0 {
					cancel(signalled{number})
				} else {
					close(s.kill)
				}
			case <-over:
				return
			}
		}
	}()
	s.stop = func() {
		signal.Stop(asked)
		signal.Stop(s.pass)
		close(over)
		<-done
		cancel(nil)
	}
	return s
}
