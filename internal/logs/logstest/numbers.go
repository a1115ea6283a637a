package logstest

import (
	"math"
	"testing"
	"time"

	"github.com/neochaotic/leoflow/internal/logs"
)

var numberTests = []test{
	{"Log2NumbersCountPerStream", func(t *testing.T, h *harness) {
		got := h.call(t, attempt, line("stdout", 1), line("stderr", 1), line("stdout", 2), line("", 1))
		equal(t, map[string]int64{"stdout": 2, "stderr": 1, "": 1}, got)
		h.expect(t, attempt, "stdout 1 line 1", "stderr 1 line 1", "stdout 2 line 2", " 1 line 1")
	}},
	{"Log3UnnumberedIsNeverAResend", func(t *testing.T, h *harness) {
		h.call(t, attempt, lines("agent", 0, 0, -7, math.MinInt64)...)
		h.call(t, attempt, lines("agent", 0)...)
		equal(t, 5, len(h.records(t, attempt)))
		for _, r := range h.records(t, attempt) {
			equal(t, int64(0), r.Number)
		}
	}},
	{"Log2LateLinesArePutInOrder", func(t *testing.T, h *harness) {
		w := h.begin(t, attempt)
		h.append(t, w, lines("stdout", 1, 4, 3)...)
		h.await(t, w, "stdout", 1)
		h.append(t, w, lines("stdout", 2, 5)...)
		h.await(t, w, "stdout", 5)
		h.end(t, w)
		h.expect(t, attempt, show5...)
	}},
	{"Log3TwiceInACallIsKeptOnce", func(t *testing.T, h *harness) {
		h.call(t, attempt, lines("stdout", 1, 1, 3, 3, 2, 2, 3, 1)...)
		h.expect(t, attempt, show5[:3]...)
	}},
	{"Log4HoleIsMarked", func(t *testing.T, h *harness) {
		got := h.call(t, attempt, lines("stdout", 1, 4, 5, 9)...)
		equal(t, map[string]int64{"stdout": 1}, got)
		h.expect(t, attempt, "stdout 1 line 1", "stdout gap 2-3", "stdout 4 line 4", "stdout 5 line 5",
			"stdout gap 6-8", "stdout 9 line 9")
	}},
	{"Log4HoleAtTheBeginning", func(t *testing.T, h *harness) {
		equal(t, map[string]int64{"stdout": 0}, h.call(t, attempt, lines("stdout", 3, 4)...))
		h.expect(t, attempt, "stdout gap 1-2", "stdout 3 line 3", "stdout 4 line 4")
	}},
	{"Log4HoleBetweenCalls", func(t *testing.T, h *harness) {
		h.call(t, attempt, lines("stdout", 1)...)
		equal(t, map[string]int64{"stdout": 1}, h.call(t, attempt, lines("stdout", 4)...))
		h.expect(t, attempt, "stdout 1 line 1", "stdout gap 2-3", "stdout 4 line 4")
	}},
	{"Log4MarkedHoleIsFilledLater", func(t *testing.T, h *harness) {
		for _, session := range []uint64{0, 7} {
			ref := attempt
			ref.TryNumber = int(session)
			h.call(t, ref, inSession(session, lines("stdout", 1, 5))...)
			h.sink = h.reopen(t, h.sink)
			equal(t, map[string]int64{"stdout": 3}, h.call(t, ref, inSession(session, lines("stdout", 2, 3, 5, 2))...))
			equal(t, map[string]int64{"stdout": 6}, h.call(t, ref, inSession(session, lines("stdout", 4, 5, 6))...))
			h.expect(t, ref, "stdout 1 line 1", "stdout gap 2-4", "stdout 5 line 5",
				"stdout 2 line 2", "stdout 3 line 3", "stdout 4 line 4", "stdout 6 line 6")
		}
	}},
	{"Log6EvenNumbersOnly", func(t *testing.T, h *harness) {
		const count = 1500
		w := h.begin(t, attempt)
		for n := int64(1); n <= count; n++ {
			h.append(t, w, line("stdout", 2*n))
		}
		equal(t, map[string]int64{"stdout": 0}, h.end(t, w))
		h.sink = h.reopen(t, h.sink)
		equal(t, map[string]int64{"stdout": 2}, h.call(t, attempt, line("stdout", 2), line("stdout", 1)))
		seen := map[int64]int{}
		for pos := int64(0); ; {
			got, err := h.sink.Read(h.ctx, attempt, pos, 5000)
			if err != nil {
				t.Fatal(err)
			}
			if len(got) == 0 {
				break
			}
			for _, r := range got {
				if r.Mark == "" {
					seen[r.Number]++
				}
				pos = r.Next
			}
		}
		equal(t, count+1, len(seen))
		equal(t, 1, seen[1])
		equal(t, 1, seen[2])
	}},
	{"Log4HugeNumbers", func(t *testing.T, h *harness) {
		h.call(t, attempt, lines("stdout", 1, 1<<40, 1<<50, math.MaxInt64, math.MaxInt64)...)
		got := map[int64]int{}
		for _, r := range h.records(t, attempt) {
			if r.Mark == "" {
				got[r.Number]++
			}
		}
		if got[1] != 1 || got[1<<40] != 1 || got[1<<50] != 1 || got[math.MaxInt64]+got[0] < 1 {
			t.Fatalf("numbers kept: %v", got)
		}
	}},
	{"Iso1LogsOfDifferentRefs", func(t *testing.T, h *harness) {
		refs := []logs.Ref{attempt, {}, {}, {}, {}, {}}
		for i, change := range []func(*logs.Ref){
			func(r *logs.Ref) { r.TenantID = "ACME" }, func(r *logs.Ref) { r.DagID = ".." },
			func(r *logs.Ref) { r.RunID = "a/b" }, func(r *logs.Ref) { r.TaskID = "load." },
			func(r *logs.Ref) { r.TryNumber = 2 },
		} {
			refs[i+1] = attempt
			change(&refs[i+1])
		}
		for i, ref := range refs {
			h.call(t, ref, line("stdout", int64(i+1)))
		}
		for i, ref := range refs {
			got := h.records(t, ref)
			equal(t, int64(i+1), got[len(got)-1].Number)
		}
	}},
}

var restartTests = []test{
	{"Log3ResendBySession", func(t *testing.T, h *harness) {
		h.call(t, attempt, inSession(math.MaxUint64, lines("stdout", 1, 2, 3))...)
		h.sink = h.reopen(t, h.sink)
		// In a session it is the number that counts, not time and text.
		h.call(t, attempt, inSession(math.MaxUint64, again(lines("stdout", 2, 3, 4)))...)
		h.expect(t, attempt, show5[:4]...)
		equal(t, uint64(math.MaxUint64), h.records(t, attempt)[3].Session)
	}},
	{"Log3OtherSessionIsARestart", func(t *testing.T, h *harness) {
		h.call(t, attempt, inSession(1, lines("stdout", 1, 2))...)
		h.sink = h.reopen(t, h.sink)
		// The same text at the same time, but of another process.
		got := h.call(t, attempt, inSession(2, append(lines("stdout", 1, 2, 3), lines("stderr", 1)...))...)
		equal(t, map[string]int64{"stdout": 3, "stderr": 1}, got)
		h.call(t, attempt, inSession(2, lines("stdout", 3))...)
		h.expect(t, attempt, "stdout 1 line 1", "stdout 2 line 2", "stdout restart",
			"stdout 1 line 1", "stdout 2 line 2", "stdout 3 line 3", "stderr 1 line 1")
	}},
	{"Log3ResendByTimeAndText", func(t *testing.T, h *harness) {
		h.call(t, attempt, append(lines("stdout", 1, 2, 3), lines("stderr", 1, 2)...)...)
		h.sink = h.reopen(t, h.sink)
		got := h.call(t, attempt, append(lines("stdout", 2, 3, 4), lines("stderr", 2, 3)...)...)
		equal(t, map[string]int64{"stdout": 4, "stderr": 3}, got)
		h.expect(t, attempt, "stdout 1 line 1", "stdout 2 line 2", "stdout 3 line 3", "stderr 1 line 1", "stderr 2 line 2",
			"stdout 4 line 4", "stderr 3 line 3")
	}},
	{"Log3OtherTimeIsARestart", func(t *testing.T, h *harness) {
		h.call(t, attempt, append(lines("stdout", 1, 2, 3), lines("stderr", 1)...)...)
		h.sink = h.reopen(t, h.sink)
		got := h.call(t, attempt, again(append(lines("stdout", 1, 2), lines("stderr", 1)...))...)
		equal(t, map[string]int64{"stdout": 2, "stderr": 1}, got)
		h.call(t, attempt, again(lines("stdout", 2, 3))...)
		h.expect(t, attempt, "stdout 1 line 1", "stdout 2 line 2", "stdout 3 line 3", "stderr 1 line 1",
			"stdout restart", "stdout 1 line 1", "stdout 2 line 2", "stderr restart", "stderr 1 line 1", "stdout 3 line 3")
	}},
	{"Log3OtherTextIsARestart", func(t *testing.T, h *harness) {
		h.call(t, attempt, lines("stdout", 1)...)
		other := line("stdout", 1)
		other.Message = "something else"
		h.call(t, attempt, other)
		h.expect(t, attempt, "stdout 1 line 1", "stdout restart", "stdout 1 something else")
	}},
	{"Log3TimelessResend", func(t *testing.T, h *harness) {
		timeless := line("stdout", 1)
		timeless.Time = time.Time{}
		h.call(t, attempt, timeless)
		h.call(t, attempt, timeless, line("stdout", 2))
		h.expect(t, attempt, "stdout 1 line 1", "stdout 2 line 2")
	}},
	{"Log3RestartIsNotAckedByTheOldNumbers", func(t *testing.T, h *harness) {
		h.call(t, attempt, lines("stdout", 1, 2, 3, 4, 5)...)
		w := h.begin(t, attempt)
		h.append(t, w, line("stdout", 0))
		h.await(t, w, "stdout", 0)
		h.append(t, w, again(lines("stdout", 1))...)
		h.await(t, w, "stdout", 1)
		equal(t, map[string]int64{"stdout": 1}, h.end(t, w))
	}},
	{"Log3RestartAfterAHole", func(t *testing.T, h *harness) {
		h.call(t, attempt, inSession(1, lines("stdout", 1, 3))...)
		h.call(t, attempt, inSession(2, lines("stdout", 2))...)
		h.expect(t, attempt, "stdout 1 line 1", "stdout gap 2-2", "stdout 3 line 3",
			"stdout restart", "stdout gap 1-1", "stdout 2 line 2")
	}},
}
