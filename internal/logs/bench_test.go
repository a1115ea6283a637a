package logs

import (
	"fmt"
	"testing"
)

// BenchmarkAppend is one call of 16 streams. It ends when all lines are durable.
func BenchmarkAppend(b *testing.B) {
	const streams = 16
	d, err := NewDir(Options{Root: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	w, err := d.OpenLines(b.Context(), testRef)
	if err != nil {
		b.Fatal(err)
	}
	in := make([]Line, streams)
	for i := range in {
		in[i] = testLine(fmt.Sprint("stream", i), 0)
		in[i].Message = "2026-01-02 03:04:05 INFO worker.pool: processed batch of 1000 rows in 12.5 ms"
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		l := &in[n%streams]
		l.Number++
		n++
		if err := w.Append(b.Context(), *l); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "lines/s")
	if err := d.Close(); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkRead(b *testing.B) {
	d, err := NewDir(Options{Root: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	w, err := d.Open(testRef)
	if err != nil {
		b.Fatal(err)
	}
	for range 10_000 {
		if err := w.WriteEvent(Event{Stream: "stdout", Level: "info", Message: "processed batch of 1000 rows in 12.5 ms"}); err != nil {
			b.Fatal(err)
		}
	}
	if err := d.Close(); err != nil {
		b.Fatal(err)
	}
	var pos int64
	n := 0
	for b.Loop() {
		got, err := d.Read(b.Context(), testRef, pos, 1000)
		if err != nil {
			b.Fatal(err)
		}
		n += len(got)
		pos = 0
		if len(got) > 0 {
			pos = got[len(got)-1].Next
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "lines/s")
}
