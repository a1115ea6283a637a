package logstest

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/neochaotic/leoflow/internal/logs"
)

var propertyTests = []test{
	{"Log4AnyNumbersInAnyCalls", func(t *testing.T, h *harness) {
		tries := 0
		rapid.Check(t, func(rt *rapid.T) {
			ref := attempt
			tries++
			ref.TryNumber = tries
			h.anyCalls(t, rt, ref)
		})
	}},
	{"Log3AnyResends", func(t *testing.T, h *harness) {
		tries := 0
		rapid.Check(t, func(rt *rapid.T) {
			ref := attempt
			tries++
			ref.TryNumber = tries
			h.anyResends(t, rt, ref)
		})
	}},
}

// anyCalls sends lines with sessions, in any order, and checks that each is kept
// once, that no hole is silent, and that acks are the prefix without a hole.
func (h *harness) anyCalls(t *testing.T, rt *rapid.T, ref logs.Ref) {
	sent := map[uint64]map[int64]bool{}
	session := uint64(1)
	for range rapid.IntRange(1, 5).Draw(rt, "calls") {
		if rapid.IntRange(0, 3).Draw(rt, "restart") == 0 {
			session++
		}
		if rapid.IntRange(0, 3).Draw(rt, "reopen") == 0 {
			h.sink = h.reopen(t, h.sink)
		}
		numbers := rapid.SliceOfN(rapid.Int64Range(1, 12), 1, 12).Draw(rt, "numbers")
		acks := h.call(rt, ref, inSession(session, lines("stdout", numbers...))...)
		if sent[session] == nil {
			sent[session] = map[int64]bool{}
		}
		for _, n := range numbers {
			sent[session][n] = true
		}
		prefix := int64(0)
		for sent[session][prefix+1] {
			prefix++
		}
		equal(rt, map[string]int64{"stdout": prefix}, acks)
	}
	records := h.records(rt, ref)
	checkMarks(rt, records)
	kept := map[uint64]map[int64]bool{}
	for _, r := range records {
		if r.Mark != "" {
			continue
		}
		if kept[r.Session] == nil {
			kept[r.Session] = map[int64]bool{}
		}
		if kept[r.Session][r.Number] {
			rt.Fatalf("number %d of session %d is kept twice", r.Number, r.Session)
		}
		kept[r.Session][r.Number] = true
	}
	equal(rt, sent, kept)
}

// checkMarks walks a log of one stream: numbers ascend without a silent hole,
// except for lines that fill a gap marked before.
func checkMarks(rt *rapid.T, records []logs.Record) {
	next := int64(1)
	gaps := map[int64]bool{}
	for i, r := range records {
		switch {
		case r.Mark == logs.MarkRestart:
			next, gaps = 1, map[int64]bool{}
		case r.Mark == logs.MarkGap:
			if r.Number != next || r.GapThrough < next {
				rt.Fatalf("record %d marks %d-%d where %d is next", i, r.Number, r.GapThrough, next)
			}
			for n := r.Number; n <= r.GapThrough; n++ {
				gaps[n] = true
			}
			next = r.GapThrough + 1
		case r.Number == next:
			next++
		case gaps[r.Number]:
			delete(gaps, r.Number)
		default:
			rt.Fatalf("record %d is number %d where %d is next: %q", i, r.Number, next, show(records))
		}
	}
}

// anyResends is an agent without sessions that is cut off at any time, sends again
// from any line on, and at times is restarted.
func (h *harness) anyResends(t *testing.T, rt *rapid.T, ref logs.Ref) {
	var want []string
	process, sent := 0, int64(0)
	for range rapid.IntRange(1, 6).Draw(rt, "calls") {
		if rapid.IntRange(0, 2).Draw(rt, "reopen") == 0 {
			h.sink = h.reopen(t, h.sink)
		}
		from := rapid.Int64Range(1, sent+1).Draw(rt, "from")
		if sent > 0 && rapid.IntRange(0, 2).Draw(rt, "restart") == 0 {
			process++
			from, sent = 1, 0
			want = append(want, "stdout restart")
		}
		through := from + rapid.Int64Range(0, 5).Draw(rt, "lines")
		var in []logs.Line
		for n := from; n <= through; n++ {
			l := line("stdout", n)
			l.Message = fmt.Sprintf("process %d", process)
			in = append(in, l)
			if n > sent {
				want = append(want, fmt.Sprintf("stdout %d %s", n, l.Message))
			}
		}
		acks := h.call(rt, ref, in...)
		if got := acks["stdout"]; got < through || got > max(sent, through) {
			rt.Fatalf("acked through %d; sent through %d, before through %d", got, through, sent)
		}
		sent = max(sent, through)
	}
	equal(rt, want, show(h.records(rt, ref)))
}
