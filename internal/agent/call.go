package agent

import (
	"context"
	"time"

	"github.com/sethvargo/go-retry"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"
)

// patience says how long a call is tried.
type patience struct {
	budget time.Duration // for all tries; the last one may begin at its end
	// answered is how often an UNAVAILABLE that the server itself gave, over a
	// connection that works, is tried again; below 0: as often as the budget allows.
	answered int
}

// caller makes calls and tries them again where that may help (A-NET-1, A-NET-2).
type caller struct {
	conn  *grpc.ClientConn
	pace  *pace
	token *bearer
}

// call makes one RPC. UNAVAILABLE, a try that ran out of time or was cut off on the
// way, a refusal for load that names a delay, and a refusal of a token that was renewed
// meanwhile are tried again; every other error is returned at once. The error is the
// last one that the RPC gave.
func call[Q, R any](
	ctx context.Context, c caller, p patience,
	rpc func(context.Context, Q, ...grpc.CallOption) (R, error), in Q,
) (R, error) {
	var last error
	var atLeast time.Duration
	answered := 0
	grow := growing(c.pace)
	waits := retry.BackoffFunc(func() (time.Duration, bool) {
		wait, stop := grow.Next()
		return max(wait, atLeast), stop
	})
	out, err := retry.DoValue(ctx, retry.WithMaxDuration(p.budget, waits), func(ctx context.Context) (R, error) {
		try, cancel := context.WithTimeout(ctx, c.pace.try)
		defer cancel()
		token := c.token.token.Load()
		out, err := rpc(try, in)
		if err == nil {
			last = nil
			return out, nil
		}
		last = err
		again, delay := mayHelp(ctx, err)
		if status.Code(err) == codes.Unavailable && c.conn.GetState() == connectivity.Ready {
			answered++
			again = again && (p.answered < 0 || answered <= p.answered)
		}
		again = again || status.Code(err) == codes.Unauthenticated && c.token.token.Load() != token
		atLeast = delay
		if again {
			err = retry.RetryableError(err)
		}
		return out, err
	})
	if last != nil {
		return out, last
	}
	return out, err
}

// mayHelp reports whether the same call may succeed later, and after what delay at least.
func mayHelp(ctx context.Context, err error) (bool, time.Duration) {
	st := status.Convert(err)
	switch st.Code() {
	case codes.Unavailable:
		return true, retryDelay(st)
	case codes.DeadlineExceeded, codes.Canceled:
		return ctx.Err() == nil, 0
	case codes.ResourceExhausted:
		delay := retryDelay(st)
		return delay > 0, delay
	default:
		return false, 0
	}
}

func retryDelay(st *status.Status) time.Duration {
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.RetryInfo); ok {
			return info.GetRetryDelay().AsDuration()
		}
	}
	return 0
}

// growing returns waits that double from the first to the largest, jittered by a
// quarter so that agents which lost one server do not return to it in step.
func growing(p *pace) retry.Backoff {
	return retry.WithJitterPercent(25, retry.WithCappedDuration(p.maxWait, retry.NewExponential(p.firstWait)))
}

// refused reports whether err is an answer after which no further call will do better.
func refused(err error) bool {
	c := status.Code(err)
	return c == codes.Unauthenticated || c == codes.FailedPrecondition
}

// told returns an RPC error as a person reads it.
func told(err error) string {
	st := status.Convert(err)
	return st.Code().String() + ": " + st.Message()
}
