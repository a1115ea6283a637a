// Package logstest holds the contract of a log sink as tests: whatever implements
// [logs.LineSink] and [logs.Reader] must pass [Run].
//
// It may import internal/logs, internal/domain and test libraries.
package logstest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/neochaotic/leoflow/internal/logs"
)

// Sink is what the contract is about.
type Sink interface {
	logs.LineSink
	logs.Reader
}

// deadline is for what never takes long; only a fault reaches it.
const deadline = 2 * time.Minute

// Run holds a sink to the contract. open gives a sink on storage of its own, which
// ends with the test; reopen shuts old down and gives a new sink on the same
// storage.
func Run(t *testing.T, open func(t *testing.T) Sink, reopen func(t *testing.T, old Sink) Sink) {
	t.Helper()
	groups := [][]test{ackTests, numberTests, restartTests, textTests, readTests, propertyTests}
	for _, group := range groups {
		for _, c := range group {
			t.Run(c.name, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), deadline)
				defer cancel()
				c.run(t, &harness{ctx: ctx, sink: open(t), open: open, reopen: reopen})
			})
		}
	}
}

type test struct {
	name string
	run  func(*testing.T, *harness)
}

type harness struct {
	ctx    context.Context
	sink   Sink
	open   func(*testing.T) Sink
	reopen func(*testing.T, Sink) Sink
}

// tester is what a test and a property's test have in common.
type tester interface {
	Helper()
	Fatalf(format string, args ...any)
}

var (
	attempt = logs.Ref{TenantID: "acme", DagID: "etl", RunID: "manual__2026-11-24T10:00:00+00:00", TaskID: "load", TryNumber: 1}
	epoch   = time.Date(2026, 11, 24, 10, 0, 0, 123456789, time.UTC)
)

// line is a numbered line whose time and text follow from its number.
func line(stream string, number int64) logs.Line {
	return logs.Line{
		Event: logs.Event{
			Time: epoch.Add(time.Duration(number) * time.Millisecond), Level: "info", Stream: stream,
			Message: fmt.Sprintf("line %d", number),
		},
		Number: number,
	}
}

func lines(stream string, numbers ...int64) []logs.Line {
	out := make([]logs.Line, len(numbers))
	for i, n := range numbers {
		out[i] = line(stream, n)
	}
	return out
}

func inSession(session uint64, in []logs.Line) []logs.Line {
	for i := range in {
		in[i].Session = session
	}
	return in
}

// again is in as another process would print it: later.
func again(in []logs.Line) []logs.Line {
	for i := range in {
		in[i].Time = in[i].Time.Add(time.Hour)
	}
	return in
}

func (h *harness) begin(t tester, ref logs.Ref) logs.LineWriter {
	t.Helper()
	w, err := h.sink.OpenLines(h.ctx, ref)
	if err != nil {
		t.Fatalf("OpenLines: %v", err)
	}
	return w
}

func (h *harness) append(t tester, w logs.LineWriter, in ...logs.Line) {
	t.Helper()
	for _, l := range in {
		if err := w.Append(h.ctx, l); err != nil {
			t.Fatalf("Append %q %d: %v", l.Stream, l.Number, err)
		}
	}
}

// call sends lines in a call of their own and returns its last acks.
func (h *harness) call(t tester, ref logs.Ref, in ...logs.Line) map[string]int64 {
	t.Helper()
	w := h.begin(t, ref)
	h.append(t, w, in...)
	return h.end(t, w)
}

func (h *harness) end(t tester, w logs.LineWriter) map[string]int64 {
	t.Helper()
	if err := w.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	acks := map[string]int64{}
	for _, a := range w.Acks() {
		if _, twice := acks[a.Stream]; twice {
			t.Fatalf("two acks of stream %q at once", a.Stream)
		}
		acks[a.Stream] = a.Through
	}
	return acks
}

// await waits until the call's ack of stream has reached through.
func (h *harness) await(t tester, w logs.LineWriter, stream string, through int64) {
	t.Helper()
	for {
		for _, a := range w.Acks() {
			if a.Stream == stream && a.Through >= through {
				if a.Through > through {
					t.Fatalf("acked %q through %d, past %d", stream, a.Through, through)
				}
				return
			}
		}
		select {
		case <-w.Ready():
		case <-h.ctx.Done():
			t.Fatalf("no ack of %q through %d", stream, through)
		}
	}
}

// records reads a whole log, a few records at a time.
func (h *harness) records(t tester, ref logs.Ref) []logs.Record {
	t.Helper()
	var all []logs.Record
	var pos int64
	for {
		got, err := h.sink.Read(h.ctx, ref, pos, 7)
		if err != nil {
			t.Fatalf("Read at %d: %v", pos, err)
		}
		if len(got) == 0 {
			return all
		}
		for _, r := range got {
			if r.Next <= pos {
				t.Fatalf("position went from %d to %d", pos, r.Next)
			}
			pos = r.Next
		}
		all = append(all, got...)
	}
}

// show renders records: "stdout 3 line 3", "stdout gap 4-7", "stdout restart".
func show(records []logs.Record) []string {
	out := []string{}
	for _, r := range records {
		switch r.Mark {
		case logs.MarkGap:
			out = append(out, fmt.Sprintf("%s gap %d-%d", r.Stream, r.Number, r.GapThrough))
		case logs.MarkRestart:
			out = append(out, r.Stream+" restart")
		default:
			out = append(out, fmt.Sprintf("%s %d %s", r.Stream, r.Number, r.Message))
		}
	}
	return out
}

func (h *harness) expect(t tester, ref logs.Ref, want ...string) {
	t.Helper()
	equal(t, append([]string{}, want...), show(h.records(t, ref)))
}

func equal(t tester, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("-want +got:\n%s", diff)
	}
}
