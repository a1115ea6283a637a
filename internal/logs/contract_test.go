package logs_test

import (
	"testing"

	"github.com/neochaotic/leoflow/internal/logs"
	"github.com/neochaotic/leoflow/internal/logs/logstest"
)

// root is a Dir that remembers where it is.
type root struct {
	*logs.Dir
	opts logs.Options
}

func openRoot(t *testing.T, opts logs.Options) logstest.Sink {
	t.Helper()
	d, err := logs.NewDir(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return &root{d, opts}
}

func reopenRoot(t *testing.T, old logstest.Sink) logstest.Sink {
	t.Helper()
	r := old.(*root)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	return openRoot(t, r.opts)
}

func TestDirKeepsTheContract(t *testing.T) {
	for name, opts := range map[string]logs.Options{
		"defaults": {},
		// So small that every path of rolling, blocking and reordering is taken.
		"small": {SegmentBytes: 300, QueueLines: 2, QueueBytes: 200, HoldLines: 8, HoldBytes: 1 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			logstest.Run(t, func(t *testing.T) logstest.Sink {
				opts := opts
				opts.Root = t.TempDir()
				return openRoot(t, opts)
			}, reopenRoot)
		})
	}
}
