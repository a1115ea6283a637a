package logs

import (
	"bytes"
	"cmp"
	"os"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestOpeningALogAgainReadsNoneOfIt: what it costs to go on with a log does not hang on
// how long that is. What is on disk is made unreadable, so that reading it would show.
func TestOpeningALogAgainReadsNoneOfIt(t *testing.T) {
	d := testDir(t, Options{})
	w := begin(t, d)
	put(t, w, "stdout", 1, 2, 3)
	mustClose(t, w)
	file := segmentFiles(t, d)[0]
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, bytes.Repeat([]byte("x"), len(before)), 0o600); err != nil {
		t.Fatal(err)
	}
	w = begin(t, d)
	put(t, w, "stdout", 4)
	awaitAck(t, w, "stdout", 4)
	mustClose(t, w)
	after, err := os.ReadFile(file)
	if err != nil || len(after) <= len(before) || !bytes.Contains(after, []byte("line 4")) {
		t.Fatalf("%v: %q", err, after)
	}
}

// TestALogThatWasRemovedIsNotKnown: its directory is gone, or cut short.
func TestALogThatWasRemovedIsNotKnown(t *testing.T) {
	for name, harm := range map[string]func(file string) error{
		"removed": os.Remove,
		"cut":     func(file string) error { return os.Truncate(file, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			d := testDir(t, Options{})
			w := begin(t, d)
			put(t, w, "stdout", 1, 2, 3)
			mustClose(t, w)
			if err := harm(segmentFiles(t, d)[0]); err != nil {
				t.Fatal(err)
			}
			w = begin(t, d)
			put(t, w, "stdout", 1, 2)
			mustClose(t, w)
			equal(t, []int64{1, 2}, numbersOf(readAll(t, d)))
		})
	}
}

// TestLog3WhatIsKnownIsWhatWouldBeReadBack: with any lines, holes and restarts.
func TestLog3WhatIsKnownIsWhatWouldBeReadBack(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		d := testDir(t, Options{SegmentBytes: rapid.SampledFrom([]int64{1, 300, 1 << 20}).Draw(rt, "segment")})
		for range rapid.IntRange(1, 3).Draw(rt, "calls") {
			w := begin(t, d)
			session := rapid.Uint64Range(0, 2).Draw(rt, "session")
			for range rapid.IntRange(0, 8).Draw(rt, "lines") {
				line := testLine(rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "stream"), rapid.Int64Range(0, 6).Draw(rt, "number"))
				line.Session = session
				if err := w.Append(testContext(t), line); err != nil {
					rt.Fatal(err)
				}
			}
			mustClose(t, w)
			known, verified := d.recall(testRef)
			if known == nil || !verified || !known.unchanged() {
				rt.Fatalf("known %v, verified %v", known, verified)
			}
			read, err := d.recoverLog(testRef.relDir(), true)
			if err != nil {
				rt.Fatal(err)
			}
			equal(t, shown(read), shown(known))
		}
	})
}

// shown is the part of a log's state that counts, in an order.
func shown(r *recovered) map[string]any {
	streams := slices.SortedFunc(slices.Values(r.streams), func(a, b streamState) int { return cmp.Compare(a.Name, b.Name) })
	for i := range streams {
		streams[i].Missing = append(spans{}, streams[i].Missing...)
	}
	return map[string]any{"bases": append([]int64{}, r.bases...), "end": r.end, "streams": streams}
}
