package testbed

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/sethvargo/go-retry"
	"google.golang.org/grpc"

	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"
	"github.com/neochaotic/leoflow/internal/server"
)

const (
	// portWithin is how long a server that is started again waits for its port: somebody
	// may connect to elsewhere from it for a moment.
	portWithin = 5 * time.Second
	portEvery  = 20 * time.Millisecond

	// attemptRate is the calls that an attempt may make in a second (LIMIT-2), ten times
	// that at once, and pushesOverRate are more even where they take half a minute.
	attemptRate    = 10
	pushesOverRate = 400
	// handshakeWithin is short, so that it can be waited for (LIMIT-3).
	handshakeWithin = 3 * time.Second
)

// run is the running of a server.
type run struct {
	stop  context.CancelFunc
	ended chan struct{}
	err   error // read after ended
}

// end ends the server in order, and waits.
func (r *run) end() error {
	r.stop()
	<-r.ended
	return r.err
}

// config is what the settings make of the configuration.
func (b *Bed) config() server.Config {
	return server.Config{
		Addr: b.cfg.Addr, DataDir: b.cfg.DataDir, Database: b.cfg.Database, TLS: b.cfg.TLS, Logger: b.cfg.Logger,
		NewID: b.ids.next, Clock: b.now, BeforeHandler: b.beforeHandler,
		NoSecrets: b.set.Faults[noSecrets], SilenceWindow: b.set.Silence,
		// The clock jumps, and nobody wants to wait for the next look.
		StreamLooks: 250 * time.Millisecond,
		// Most attempts are left over from checks that are over.
		AlarmIgnoresUnheard: b.set.Silence > 0,
		// No check but those of the rates makes a hundred calls of one attempt.
		AttemptRate: attemptRate, HandshakeWithin: handshakeWithin,
	}
}

// now is the server's time of day.
func (b *Bed) now() time.Time { return time.Now().Add(time.Duration(b.ahead.Load())) }

// beforeHandler is called before each handler of the server.
func (b *Bed) beforeHandler(ctx context.Context, method string) {
	if b.panicking.Load() {
		panic("the handler of " + method + " panics, as the fixtures were told")
	}
	b.followers.arrive(ctx)
}

// open opens the server, and brings its database into the state that the settings want.
func (b *Bed) open(ctx context.Context, again bool) error {
	if err := b.heal(ctx); err != nil { // a process that was killed may have left it so
		return err
	}
	backoff := retry.WithMaxDuration(portWithin, retry.NewConstant(portEvery))
	if !again {
		backoff = retry.WithMaxRetries(0, backoff)
	}
	err := retry.Do(ctx, backoff, func(ctx context.Context) (err error) {
		b.server, err = server.New(ctx, b.config())
		if errors.Is(err, syscall.EADDRINUSE) {
			return retry.RetryableError(err)
		}
		return err
	})
	if err != nil {
		return err
	}
	if !again {
		b.cfg.Addr = b.server.Addr()
	}
	return b.harm(ctx)
}

// launch runs the server that was opened.
func (b *Bed) launch() {
	ctx, stop := context.WithCancel(context.Background())
	r, opened := &run{stop: stop, ended: make(chan struct{})}, b.server
	b.run = r
	go func() {
		defer close(r.ended)
		if r.err = opened.Serve(ctx); ctx.Err() == nil {
			b.fail(fmt.Errorf("the server ended by itself: %w", r.err))
		}
	}()
}

// fail ends the bed.
func (b *Bed) fail(err error) {
	select {
	case b.failed <- err:
	default: // for another reason already
	}
}

// restart ends the server in order, as whoever runs it would, and starts it again on
// its address. It is called with change locked.
func (b *Bed) restart(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx) // half of it would be worse
	b.followers.end()                // who takes nothing would hold up the end
	err := b.heal(ctx)
	b.running.Lock()
	defer b.running.Unlock()
	if err = errors.Join(err, b.run.end()); err == nil {
		err = b.open(ctx, true)
	}
	if err != nil {
		err = fmt.Errorf("the server does not restart: %w", err)
		b.fail(err)
		return err
	}
	b.launch()
	return nil
}

// serverOf returns the server of now.
func (b *Bed) serverOf() *server.Server {
	b.running.RLock()
	defer b.running.RUnlock()
	return b.server
}

// without are the calls that the server may restart under: they see to it themselves.
var without = map[string]bool{
	conformancev1.FixtureService_SetFault_FullMethodName:      true,
	conformancev1.FixtureService_SetSilence_FullMethodName:    true,
	conformancev1.FixtureService_AwaitLine_FullMethodName:     true,
	conformancev1.FixtureService_StallFollower_FullMethodName: true,
}

// whileItRuns keeps the server from being restarted under a call.
func (b *Bed) whileItRuns(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	if !without[info.FullMethod] {
		b.running.RLock()
		defer b.running.RUnlock()
	}
	return handler(ctx, req)
}
