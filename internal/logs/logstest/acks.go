package logstest

import (
	"context"
	"errors"
	"testing"

	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/logs"
)

var ackTests = []test{
	{"Log1AckedIsReadable", func(t *testing.T, h *harness) {
		w := h.begin(t, attempt)
		h.append(t, w, lines("stdout", 1, 2)...)
		h.await(t, w, "stdout", 2)
		h.expect(t, attempt, "stdout 1 line 1", "stdout 2 line 2")
		h.end(t, w)
	}},
	{"Log1SurvivesReopening", func(t *testing.T, h *harness) {
		h.call(t, attempt, lines("stdout", 1, 2)...)
		before := h.records(t, attempt)
		h.sink = h.reopen(t, h.sink)
		equal(t, before, h.records(t, attempt))
		h.call(t, attempt, lines("stdout", 3)...)
		got, err := h.sink.Read(h.ctx, attempt, before[1].Next, 10)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, []string{"stdout 3 line 3"}, show(got))
	}},
	{"Log5LastAckOfEveryStream", func(t *testing.T, h *harness) {
		w := h.begin(t, attempt)
		h.append(t, w, line("stdout", 1), line("stderr", 1), line("agent", 0), line("stdout", 2))
		h.await(t, w, "stdout", 2)
		equal(t, map[string]int64{"stdout": 2, "stderr": 1, "agent": 0}, h.end(t, w))
		if acks := w.Acks(); len(acks) != 0 {
			t.Fatalf("acks told twice after Close: %v", acks)
		}
	}},
	{"Log5AcksAreNews", func(t *testing.T, h *harness) {
		w := h.begin(t, attempt)
		h.append(t, w, line("stdout", 1))
		h.await(t, w, "stdout", 1)
		h.append(t, w, line("stderr", 1))
		h.await(t, w, "stderr", 1)
		if acks := w.Acks(); len(acks) != 0 {
			t.Fatalf("acks without news: %v", acks)
		}
		h.end(t, w)
	}},
	{"Log5ResendIsAcked", func(t *testing.T, h *harness) {
		h.call(t, attempt, lines("stdout", 1, 2, 3)...)
		w := h.begin(t, attempt)
		if acks := w.Acks(); len(acks) != 0 {
			t.Fatalf("acks before any line: %v", acks)
		}
		h.append(t, w, lines("stdout", 2, 3)...)
		h.await(t, w, "stdout", 3)
		h.end(t, w)
	}},
	{"Log13NewerTakesOver", func(t *testing.T, h *harness) {
		older := h.begin(t, attempt)
		h.append(t, older, lines("stdout", 1, 2)...)
		newer := h.begin(t, attempt)
		select {
		case <-older.Superseded():
		default:
			t.Fatal("the older call does not know that it was taken over")
		}
		h.expect(t, attempt, "stdout 1 line 1", "stdout 2 line 2")
		if err := older.Append(h.ctx, line("stdout", 3)); !errors.Is(err, domain.ErrAborted) {
			t.Fatalf("Append after the take-over: %v", err)
		}
		h.append(t, newer, lines("stdout", 2, 3)...)
		equal(t, map[string]int64{"stdout": 2}, h.end(t, older))
		if !h.sink.Writing(attempt) {
			t.Fatal("the newer call ended with the older")
		}
		equal(t, map[string]int64{"stdout": 3}, h.end(t, newer))
		h.expect(t, attempt, "stdout 1 line 1", "stdout 2 line 2", "stdout 3 line 3")
	}},
	{"Log13TakeOverIsToldOnce", func(t *testing.T, h *harness) {
		older := h.begin(t, attempt)
		newer := h.begin(t, attempt)
		h.signalled(t, older.Ready())
		if acks := older.Acks(); len(acks) != 0 {
			t.Fatalf("acks %v of a call without lines", acks)
		}
		select {
		case <-older.Ready():
			t.Fatal("told twice")
		case <-newer.Ready():
			t.Fatal("the newer call is told of something")
		default:
		}
		h.end(t, older)
		h.end(t, newer)
	}},
	{"Log13TakenOverLinesAboveAHoleAreKept", func(t *testing.T, h *harness) {
		older := h.begin(t, attempt)
		h.append(t, older, lines("stdout", 1, 3)...)
		newer := h.begin(t, attempt)
		h.expect(t, attempt, "stdout 1 line 1", "stdout gap 2-2", "stdout 3 line 3")
		h.append(t, newer, lines("stdout", 3, 4)...)
		equal(t, map[string]int64{"stdout": 1}, h.end(t, newer))
		h.end(t, older)
		h.expect(t, attempt, "stdout 1 line 1", "stdout gap 2-2", "stdout 3 line 3", "stdout 4 line 4")
	}},
	{"Log13TakeOverChain", func(t *testing.T, h *harness) {
		var calls []logs.LineWriter
		for n := int64(1); n <= 5; n++ {
			w := h.begin(t, attempt)
			h.append(t, w, line("stdout", n))
			calls = append(calls, w)
		}
		for i, w := range calls {
			equal(t, map[string]int64{"stdout": int64(i + 1)}, h.end(t, w))
		}
		h.expect(t, attempt, show5...)
	}},
	{"Log6CloseIsRepeatable", func(t *testing.T, h *harness) {
		w := h.begin(t, attempt)
		h.append(t, w, line("stdout", 1))
		for range 3 {
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Append(h.ctx, line("stdout", 2)); err == nil {
			t.Fatal("a closed writer takes lines")
		}
		h.expect(t, attempt, "stdout 1 line 1")
	}},
	{"Log6EndedContextOpensNothing", func(t *testing.T, h *harness) {
		older := h.begin(t, attempt)
		h.append(t, older, line("stdout", 1))
		ctx, cancel := context.WithCancel(h.ctx)
		cancel()
		if w, err := h.sink.OpenLines(ctx, attempt); err == nil {
			h.end(t, w) // it may have got through all the same
		} else if !errors.Is(err, context.Canceled) {
			t.Fatalf("OpenLines with an ended context: %v", err)
		}
		h.end(t, older)
		h.expect(t, attempt, "stdout 1 line 1")
	}},
}

var show5 = []string{"stdout 1 line 1", "stdout 2 line 2", "stdout 3 line 3", "stdout 4 line 4", "stdout 5 line 5"}
