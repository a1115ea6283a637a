package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
)

// follower reads the log of an attempt and prints it.
type follower struct {
	d     *driver
	a     *attempt
	after int64         // the position read so far
	beat  chan struct{} // a piece of the log came
}

// follow prints an attempt's log as it grows; the channel is closed at its end. A
// log that cannot be read is told, and changes nothing of the run.
func (d *driver) follow(a *attempt) <-chan struct{} {
	done := make(chan struct{})
	d.others.Go(func() {
		defer close(done)
		f := &follower{d: d, a: a, beat: make(chan struct{}, 1)}
		ctx, cancel := context.WithCancel(d.calls)
		defer cancel()
		d.others.Go(func() { f.guard(ctx, cancel) })
		if err := f.read(ctx); err != nil {
			d.out.remark(a.taskID, a.try, fmt.Sprintf("the rest of the log could not be read: %v", err))
		}
	})
	return done
}

// guard gives up on the log of an attempt that is over, when nothing comes any more.
func (f *follower) guard(ctx context.Context, giveUp context.CancelFunc) {
	select {
	case <-f.a.over:
	case <-ctx.Done():
		return
	}
	timer := time.NewTimer(f.d.opts.pace.quiet)
	defer timer.Stop()
	for {
		select {
		case <-f.beat:
			timer.Reset(f.d.opts.pace.quiet)
		case <-timer.C:
			giveUp()
			return
		case <-ctx.Done():
			return
		}
	}
}

// read reads the log to its end, renewing a stream that breaks.
func (f *follower) read(ctx context.Context) error {
	w := newWaits(f.d.opts.pace)
	for {
		before, began := f.after, time.Now()
		err := f.readOnce(ctx)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case f.after > before, w.lived(began):
			w.reset()
		}
		if ctx.Err() == nil && passing(err) && w.wait(ctx) == nil {
			continue
		}
		if ctx.Err() != nil {
			return errors.New("it did not end")
		}
		return told(err)
	}
}

// readOnce reads one stream; io.EOF: the log has ended.
func (f *follower) readOnce(ctx context.Context) error {
	stream, err := f.d.opts.Client.ReadLog(ctx, &controlv1.ReadLogRequest{
		DagId: f.d.opts.Pipeline.Name, RunId: f.d.opts.RunID, TaskId: f.a.taskID,
		TryNumber: int32(f.a.try), After: f.after, Follow: true, //nolint:gosec // small
	})
	if err != nil {
		return err
	}
	for {
		resp, err := stream.Recv()
		if err != nil {
			return err
		}
		f.after = max(f.after, resp.GetNext())
		f.d.out.records(f.a.taskID, f.a.try, resp.GetRecords())
		select {
		case f.beat <- struct{}{}:
		default:
		}
	}
}
