package main

import (
	"context"
	"time"

	"github.com/sethvargo/go-retry"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	// outage is how long a server may be away while something is read from it.
	outage = time.Minute
	// failsWithin is more than a call takes that finds no server: a stream that lived
	// so long broke in an outage of its own.
	failsWithin = 30 * time.Second
)

// outlast calls read, which reads a stream to its end and tells whether anything new
// came, again and again while the server is UNAVAILABLE, with growing, jittered waits
// (A-NET-1), until patience is over for one outage. An outage is told once. The error is
// the last one of read.
func outlast(ctx context.Context, patience time.Duration, read func() (more bool, err error), tell func(error)) error {
	var waits retry.Backoff // nil: there is no outage
	for {
		began := time.Now()
		more, err := read()
		if status.Code(err) != codes.Unavailable {
			return err
		}
		if more || time.Since(began) >= failsWithin {
			waits = nil
		}
		if waits == nil {
			tell(err)
			waits = retry.WithMaxDuration(patience, retry.WithCappedDuration(5*time.Second,
				retry.WithJitterPercent(30, retry.NewExponential(200*time.Millisecond))))
		}
		pause, over := waits.Next()
		if over {
			return err
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}
