package logs_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/neochaotic/leoflow/internal/logs"
	"github.com/neochaotic/leoflow/internal/logs/logstest"
)

// replicas are Dirs on one root, as those of several servers: each call is taken by
// another than the one before, and the log is read by yet another.
type replicas struct {
	dirs  [3]*logs.Dir
	calls atomic.Int64
	opts  logs.Options
}

func openReplicas(t *testing.T, opts logs.Options) logstest.Sink {
	t.Helper()
	r := &replicas{opts: opts}
	for i := range r.dirs {
		var err error
		if r.dirs[i], err = logs.NewDir(opts); err != nil {
			t.Fatal(err)
		}
		r.dirs[i].SetPatience(logs.TestPatience)
	}
	t.Cleanup(func() { r.close(t) })
	return r
}

func (r *replicas) close(t *testing.T) {
	for _, d := range r.dirs {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}

func (r *replicas) next() *logs.Dir { return r.dirs[r.calls.Add(1)%int64(len(r.dirs))] }

func (r *replicas) OpenLines(ctx context.Context, ref logs.Ref) (logs.LineWriter, error) {
	return r.next().OpenLines(ctx, ref)
}

func (r *replicas) Read(ctx context.Context, ref logs.Ref, after int64, limit int) ([]logs.Record, error) {
	return r.next().Read(ctx, ref, after, limit)
}

func (r *replicas) Changed(ref logs.Ref) <-chan struct{} { return r.next().Changed(ref) }
func (r *replicas) Writing(ref logs.Ref) bool            { return r.next().Writing(ref) }

// TestReplicasKeepTheContract holds a root that three processes share to the contract.
func TestReplicasKeepTheContract(t *testing.T) {
	for name, opts := range map[string]logs.Options{
		"defaults": {Shared: true},
		"small":    {Shared: true, SegmentBytes: 4 << 10, QueueLines: 16, QueueBytes: 2 << 10, HoldLines: 8, HoldBytes: 1 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // it waits for the disk
			logstest.Run(t, func(t *testing.T) logstest.Sink {
				opts := opts
				opts.Root = t.TempDir()
				return openReplicas(t, opts)
			}, func(t *testing.T, old logstest.Sink) logstest.Sink {
				r := old.(*replicas)
				r.close(t)
				return openReplicas(t, r.opts)
			})
		})
	}
}
