package main

import "testing"

func TestTablesAreAlignedAndHarmless(t *testing.T) {
	got := table{{"A", "B", "C"}, {"日本", "x\x1b[2J\ty", ""}, {"long enough", "-", "e\u0301"}}.String()
	want := "A            B           C\n" +
		"日本         x\\x1b[2J y\n" +
		"long enough  -           e\u0301\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := shorten("abcdef", 4); got != "abc…" {
		t.Errorf("shortened to %q", got)
	}
}
