package logs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/neochaotic/leoflow/internal/domain"
)

func ended(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

func TestLog6AppendWaitsWhenTheQueueIsFull(t *testing.T) {
	for name, opts := range map[string]Options{"lines": {QueueLines: 3}, "bytes": {QueueBytes: 3 * 200}} {
		t.Run(name, func(t *testing.T) {
			d, f := faultyDir(t, opts)
			syncing, open := f.gated(t)
			w := begin(t, d)
			for n := int64(1); n <= 3; n++ {
				l := testLine("stdout", n)
				l.Message = strings.Repeat("x", 120)
				if err := w.Append(ended(t), l); err != nil {
					t.Fatalf("line %d, with space: %v", n, err)
				}
			}
			wait(t, syncing)
			// Lines stay queued until they are durable, so this one has no place.
			if err := w.Append(ended(t), testLine("stdout", 4)); !errors.Is(err, context.Canceled) {
				t.Fatalf("line 4, without space: %v", err)
			}
			appended := make(chan error)
			go func() { appended <- w.Append(testContext(t), testLine("stdout", 4)) }()
			open()
			if err := <-appended; err != nil {
				t.Fatal(err)
			}
			mustClose(t, w)
			equal(t, []int64{1, 2, 3, 4}, numbersOf(readAll(t, d)))
		})
	}
}

func TestLog13TakeOverFreesAWaitingAppend(t *testing.T) {
	d, f := faultyDir(t, Options{QueueLines: 1})
	_, open := f.gated(t)
	older := begin(t, d)
	put(t, older, "stdout", 1)
	appended := make(chan error)
	go func() { appended <- older.Append(testContext(t), testLine("stdout", 2)) }()
	opened := make(chan LineWriter)
	go func() {
		w, err := d.OpenLines(testContext(t), testRef)
		if err != nil {
			t.Error(err)
		}
		opened <- w
	}()
	if err := <-appended; !errors.Is(err, domain.ErrAborted) {
		t.Fatal(err)
	}
	select {
	case <-opened:
		t.Fatal("taken over before the older call's lines were durable")
	default:
	}
	open()
	newer := <-opened
	mustClose(t, older)
	mustClose(t, newer)
	equal(t, []int64{1}, numbersOf(readAll(t, d)))
}

// TestLog13TakeOverGivenUpIsTakenUpAgain lets callers go away while they take over:
// none after them may begin before the older call's lines are durable either.
func TestLog13TakeOverGivenUpIsTakenUpAgain(t *testing.T) {
	d, f := faultyDir(t, Options{})
	syncing, open := f.gated(t)
	older := begin(t, d)
	put(t, older, "stdout", 1)
	wait(t, syncing)
	for range 50 { // an ended context may also be seen before the take-over begins
		if _, err := d.OpenLines(ended(t), testRef); !errors.Is(err, context.Canceled) {
			t.Fatalf("taken over before the older call's lines were durable: %v", err)
		}
	}
	wait(t, older.Superseded())
	open()
	newer := begin(t, d)
	put(t, newer, "stdout", 1, 2)
	mustClose(t, newer)
	mustClose(t, older)
	equal(t, []Ack{{Stream: "stdout", Through: 2}}, newer.Acks())
	equal(t, []int64{1, 2}, numbersOf(readAll(t, d)))
}

func TestLog10CloseDrainsOpenWriters(t *testing.T) {
	d, _ := faultyDir(t, Options{})
	w := begin(t, d)
	put(t, w, "stdout", 1, 2, 4)
	plain, err := d.Open(testRef)
	if err != nil {
		t.Fatal(err)
	}
	if err := plain.WriteEvent(Event{Stream: "agent", Message: "x"}); err != nil {
		t.Fatal(err)
	}
	mustClose(t, d)
	equal(t, []Ack{{Stream: "stdout", Through: 2}}, w.Acks())
	equal(t, []int64{1, 2, 0, -1, 4}, numbersOf(readAll(t, d)))
	if err := w.Append(testContext(t), testLine("stdout", 5)); !errors.Is(err, domain.ErrUnavailable) {
		t.Fatal(err)
	}
	if err := plain.WriteEvent(Event{}); !errors.Is(err, domain.ErrUnavailable) {
		t.Fatal(err)
	}
	if _, err := d.OpenLines(testContext(t), testRef); !errors.Is(err, domain.ErrUnavailable) {
		t.Fatal(err)
	}
	if _, err := d.Open(testRef); !errors.Is(err, domain.ErrUnavailable) {
		t.Fatal(err)
	}
	mustClose(t, w)
	mustClose(t, d)
}

func TestLog6StreamsAreBounded(t *testing.T) {
	d := testDir(t, Options{MaxStreams: 10})
	const names = 3000
	w := begin(t, d)
	for i := range names {
		put(t, w, fmt.Sprint("stream ", i), 1)
	}
	equal(t, 10, len(d.logs[testRef].streams))
	mustClose(t, w)
	acks := w.Acks()
	equal(t, 10, len(acks))
	for i, a := range acks {
		equal(t, Ack{Stream: fmt.Sprint("stream ", i), Through: 1}, a)
	}
	got := readAll(t, d)
	equal(t, names, len(got))
	for i, r := range got {
		stream, number := fmt.Sprint("stream ", i), int64(1)
		if i >= 10 {
			stream, number = OverflowStream, 0
		}
		if r.Stream != stream || r.Number != number {
			t.Fatalf("line %d is number %d of %q", i, r.Number, r.Stream)
		}
	}
	// Read back, the same streams are told apart.
	w = begin(t, d)
	put(t, w, "stream 9", 1, 2)
	put(t, w, "stream 10", 1)
	mustClose(t, w)
	equal(t, []Ack{{Stream: "stream 9", Through: 2}}, w.Acks())
}

func TestLog6HeldLinesAreBounded(t *testing.T) {
	for name, opts := range map[string]Options{"lines": {HoldLines: 50}, "bytes": {HoldBytes: 5000}} {
		t.Run(name, func(t *testing.T) {
			d := testDir(t, opts)
			w := begin(t, d)
			l := d.logs[testRef]
			const count = 5000
			for n := int64(1); n <= count; n++ {
				put(t, w, fmt.Sprint(n%7), 2*n)
				l.mu.Lock()
				lines, bytes, missing := l.heldLines, l.heldBytes, len(l.streams[fmt.Sprint(n%7)].Missing)
				l.mu.Unlock()
				if lines > d.opts.HoldLines || bytes > d.opts.HoldBytes || missing > maxSpans {
					t.Fatalf("%d lines of %d bytes are held, %d spans", lines, bytes, missing)
				}
			}
			mustClose(t, w)
			equal(t, 0, l.heldLines)
			equal(t, 0, l.heldBytes)
			kept := 0
			for _, r := range readAll(t, d) {
				if r.Mark == "" {
					kept++
				}
			}
			equal(t, count, kept)
		})
	}
}

func TestLog2PlainWritingIsBesideACall(t *testing.T) {
	d := testDir(t, Options{})
	w := begin(t, d)
	put(t, w, "stdout", 1)
	plain, err := d.Open(testRef)
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-w.Superseded():
		t.Fatal("a plain writer took over")
	default:
	}
	if err := plain.WriteEvent(Event{Stream: "stdout", Level: "info", Message: "beside"}); err != nil {
		t.Fatal(err)
	}
	mustClose(t, plain)
	equal(t, []int64{1, 0}, numbersOf(readAll(t, d)))
	put(t, w, "stdout", 2)
	mustClose(t, w)
	equal(t, []Ack{{Stream: "stdout", Through: 2}}, w.Acks())
	equal(t, []int64{1, 0, 2}, numbersOf(readAll(t, d)))
}
