package logs

import (
	"fmt"
	"testing"
)

func TestLog11PositionInsideARecordIsTheNextOnes(t *testing.T) {
	opts, _ := storedLog(t, Options{}, 10) // one segment: no heads between records
	d := testDir(t, opts)
	all := readAll(t, d)
	for pos := int64(0); pos <= all[len(all)-1].Next; pos++ {
		got, err := d.Read(testContext(t), testRef, pos, 1)
		if err != nil {
			t.Fatal(err)
		}
		var start int64
		for _, r := range all {
			if start >= pos && r.Next > pos {
				if len(got) != 1 || got[0] != r {
					t.Fatalf("at %d: %+v, not %+v", pos, got, r)
				}
				break
			}
			start = r.Next
		}
	}
}

func TestLog11AStuckReaderDoesNotStopTheWriter(t *testing.T) {
	d := testDir(t, Options{SegmentBytes: 300, QueueLines: 4})
	w := begin(t, d)
	put(t, w, "stdout", 1)
	awaitAck(t, w, "stdout", 1)
	l := d.logs[testRef]
	if err := l.read.take(t.Context()); err != nil { // a reader that waits for a slow disk
		t.Fatal(err)
	}
	_ = d.Changed(testRef)
	for n := int64(2); n <= 100; n++ {
		put(t, w, "stdout", n)
	}
	awaitAck(t, w, "stdout", 100)
	l.read.give()
	mustClose(t, w)
}

func TestLog11WaitingForUnwrittenLogsLeaksNothing(t *testing.T) {
	d := testDir(t, Options{})
	for i := range 10_000 {
		ref := testRef
		ref.RunID = fmt.Sprint(i)
		_ = d.Changed(ref)
		if d.Writing(ref) {
			t.Fatal("somebody writes")
		}
		if got, err := d.Read(testContext(t), ref, 0, 1); err != nil || len(got) != 0 {
			t.Fatalf("%v, %v", got, err)
		}
	}
	w := begin(t, d)
	put(t, w, "stdout", 1)
	mustClose(t, w)
	if len(d.logs)+len(d.writers)+len(d.suspects) != 0 || len(d.verified) > maxVerified {
		t.Fatalf("left over: %d logs, %d writers, %d suspects, %d verified", len(d.logs), len(d.writers), len(d.suspects), len(d.verified))
	}
}

func TestLog11NoLimitReadsNothing(t *testing.T) {
	opts, _ := storedLog(t, Options{}, 1)
	d := testDir(t, opts)
	for _, limit := range []int{0, -1} {
		if got, err := d.Read(testContext(t), testRef, 0, limit); err != nil || len(got) != 0 {
			t.Fatalf("%v, %v", got, err)
		}
	}
	if got, err := d.Read(testContext(t), testRef, -5, 10); err != nil || len(got) != 1 {
		t.Fatalf("%v, %v", got, err)
	}
	if _, err := d.Read(ended(t), testRef, 0, 0); err == nil {
		t.Fatal("an ended context is no error")
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for _, opts := range []Options{{}, {Root: "x", SegmentBytes: -1}, {Root: "x", QueueLines: -1}, {Root: "x", MaxStreams: -1}} {
		if _, err := NewDir(opts); err == nil {
			t.Errorf("%+v is taken", opts)
		}
	}
}
