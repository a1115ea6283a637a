package logstest

import (
	"sync"
	"testing"

	"github.com/neochaotic/leoflow/internal/logs"
)

// follow reads a log from pos until nobody writes to it and nothing is left.
func (h *harness) follow(ref logs.Ref) ([]logs.Record, error) {
	var all []logs.Record
	var pos int64
	for {
		changed := h.sink.Changed(ref)
		writing := h.sink.Writing(ref)
		got, err := h.sink.Read(h.ctx, ref, pos, 100)
		if err != nil {
			return all, err
		}
		if len(got) > 0 {
			all = append(all, got...)
			pos = got[len(got)-1].Next
			continue
		}
		if !writing && len(all) > 0 {
			return all, nil
		}
		select {
		case <-changed:
		case <-h.ctx.Done():
			return all, h.ctx.Err()
		}
	}
}

var readTests = []test{
	{"Log11NothingWritten", func(t *testing.T, h *harness) {
		h.expect(t, attempt)
		if h.sink.Writing(attempt) {
			t.Fatal("somebody writes")
		}
		select {
		case <-h.sink.Changed(attempt):
			t.Fatal("something changed")
		default:
		}
	}},
	{"Log11ReadFromAndLimit", func(t *testing.T, h *harness) {
		h.call(t, attempt, lines("stdout", 1, 2, 3, 4, 5)...)
		all := h.records(t, attempt)
		for i := range all {
			got, err := h.sink.Read(h.ctx, attempt, all[i].Next, 2)
			if err != nil {
				t.Fatal(err)
			}
			if rest := all[i+1:]; len(got) > 2 || len(got) == 0 && len(rest) > 0 {
				t.Fatalf("read %d of %d records, at most 2 were asked for", len(got), len(rest))
			}
			equal(t, append([]logs.Record{}, all[i+1:i+1+len(got)]...), append([]logs.Record{}, got...))
		}
		got, err := h.sink.Read(h.ctx, attempt, all[4].Next+1<<40, 2)
		if err != nil || len(got) != 0 {
			t.Fatalf("past the end: %v, %v", got, err)
		}
	}},
	{"Log11OpeningAndClosingAreChanges", func(t *testing.T, h *harness) {
		opened := h.sink.Changed(attempt)
		w := h.begin(t, attempt)
		h.signalled(t, opened)
		if !h.sink.Writing(attempt) {
			t.Fatal("nobody writes")
		}
		closed := h.sink.Changed(attempt)
		h.end(t, w)
		h.signalled(t, closed)
		if h.sink.Writing(attempt) {
			t.Fatal("somebody writes")
		}
	}},
	{"Log11FollowersSeeEverything", func(t *testing.T, h *harness) {
		const followers, count = 20, 500
		var wg sync.WaitGroup
		got := make([][]logs.Record, followers)
		errs := make([]error, followers)
		for i := range followers {
			wg.Go(func() { got[i], errs[i] = h.follow(attempt) })
		}
		w := h.begin(t, attempt)
		for n := int64(1); n <= count; n++ {
			h.append(t, w, line("stdout", n))
		}
		h.end(t, w)
		wg.Wait()
		want := h.records(t, attempt)
		equal(t, count, len(want))
		for i := range got {
			if errs[i] != nil {
				t.Fatal(errs[i])
			}
			equal(t, want, got[i])
		}
	}},
	{"Log11FollowerSeesALineOfAnOpenCall", func(t *testing.T, h *harness) {
		w := h.begin(t, attempt)
		changed := h.sink.Changed(attempt)
		h.append(t, w, line("stdout", 1))
		for len(h.records(t, attempt)) == 0 {
			h.signalled(t, changed)
			changed = h.sink.Changed(attempt)
		}
		h.end(t, w)
	}},
	{"Log6ManyAttemptsAtOnce", func(t *testing.T, h *harness) {
		const attempts, count = 16, 300
		var wg sync.WaitGroup
		for i := range attempts {
			wg.Go(func() {
				ref := attempt
				ref.TryNumber = i + 1
				w, err := h.sink.OpenLines(h.ctx, ref)
				if err != nil {
					t.Error(err)
					return
				}
				for n := int64(1); n <= count; n++ {
					if err := w.Append(h.ctx, line("stdout", n)); err != nil {
						t.Error(err)
					}
				}
				if err := w.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for i := range attempts {
			ref := attempt
			ref.TryNumber = i + 1
			equal(t, count, len(h.records(t, ref)))
		}
	}},
}

func (h *harness) signalled(t *testing.T, ch <-chan struct{}) {
	t.Helper()
	select {
	case <-ch:
	case <-h.ctx.Done():
		t.Fatal("no change was signalled")
	}
}
