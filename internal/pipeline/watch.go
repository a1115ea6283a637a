package pipeline

import (
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc/status"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
)

// watch hands on every change of the run, and subscribes again, from the last
// revision seen, when the stream breaks.
func (d *driver) watch() {
	w := newWaits(d.opts.pace)
	seen := int64(0)
	for {
		before, began := seen, time.Now()
		err := d.watchOnce(&seen)
		if d.calls.Err() != nil {
			return
		}
		if seen > before || w.lived(began) {
			w.reset()
		}
		// An orderly end is as good as a break: there is always more to come.
		if !errors.Is(err, io.EOF) && !passing(err) || w.wait(d.calls) != nil {
			d.post(func() {
				d.unwatched = true
				d.stop(fmt.Errorf("watch the run: %w", told(err)))
			})
			return
		}
	}
}

// watchOnce reads one stream of changes until it ends.
func (d *driver) watchOnce(seen *int64) error {
	stream, err := d.opts.Client.WatchRun(d.calls, &controlv1.WatchRunRequest{
		DagId: d.opts.Pipeline.Name, RunId: d.opts.RunID, AfterRevision: *seen,
	})
	for err == nil {
		var resp *controlv1.WatchRunResponse
		if resp, err = stream.Recv(); err != nil {
			break
		}
		changes := make([]*controlv1.TaskChange, 0, len(resp.GetChanges()))
		for _, c := range resp.GetChanges() {
			if c.GetRevision() > *seen {
				*seen = c.GetRevision()
				changes = append(changes, c)
			}
		}
		revision := *seen
		d.post(func() { d.apply(changes, revision) })
	}
	if errors.Is(err, io.EOF) {
		return io.EOF
	}
	return status.Convert(err).Err()
}

// apply takes changes over, all of a message before anything is decided.
func (d *driver) apply(changes []*controlv1.TaskChange, revision int64) {
	for _, c := range changes {
		if t, ok := d.byID[c.GetTaskId()]; ok && t.apply(c) {
			d.out.changed(t, c.GetAt().AsTime())
		}
	}
	d.seen = revision
}
