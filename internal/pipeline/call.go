package pipeline

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/neochaotic/leoflow/internal/terminal"
)

// method is a unary call of the generated client.
type method[Req, Resp any] func(context.Context, Req, ...grpc.CallOption) (Resp, error)

// call makes a call until it is answered: every call of ours is idempotent, so one
// that the control plane could not answer now is made again within the budget.
// again tells whether that happened.
func call[Req, Resp any](ctx context.Context, p *pace, m method[Req, Resp], req Req) (resp Resp, again bool, err error) {
	w := newWaits(p)
	for ; ; again = true {
		try, cancel := context.WithTimeout(ctx, p.try)
		resp, err = m(try, req)
		cancel()
		if err == nil || !passing(err) || w.wait(ctx) != nil {
			return resp, again, told(err)
		}
	}
}

// passing reports whether a call that failed with err may succeed soon.
func passing(err error) bool {
	switch status.Code(err) { //nolint:exhaustive // all others last
	case codes.Unavailable, codes.DeadlineExceeded:
		return true
	default:
		return false
	}
}

// waits are the growing, jittered pauses between tries, within a budget.
type waits struct {
	pace *pace
	next time.Duration
	ends time.Time
}

func newWaits(p *pace) *waits {
	w := &waits{pace: p}
	w.reset()
	return w
}

// reset begins anew, after a success.
func (w *waits) reset() {
	w.next, w.ends = w.pace.firstWait, time.Now().Add(w.pace.budget)
}

// lived reports whether a stream that was begun then and broke now had been taken,
// though nothing came: its break is an outage of its own. None takes so long to fail.
func (w *waits) lived(began time.Time) bool { return time.Since(began) >= w.pace.try }

var errOutOfTime = errors.New("no more time to try again")

// wait pauses, or returns an error at once where there is no time to.
func (w *waits) wait(ctx context.Context) error {
	if !time.Now().Before(w.ends) {
		return errOutOfTime
	}
	pause := w.next/2 + rand.N(w.next/2+1) //nolint:gosec // jitter is no secret
	w.next = min(2*w.next, w.pace.maxWait)
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// rpcError is a status as a person reads it.
type rpcError struct{ status *status.Status }

// told turns the error of a call into words, keeping its code; nil for nil.
func told(err error) error {
	if err == nil {
		return nil
	}
	return &rpcError{status.Convert(err)}
}

func (e *rpcError) Error() string {
	return fmt.Sprintf("%s (%s)", terminal.Visible(e.status.Message()), terminal.CodeWord(e.status.Code()))
}

// GRPCStatus keeps the code for status.Code.
func (e *rpcError) GRPCStatus() *status.Status { return e.status }
