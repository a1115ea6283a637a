package logs

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"
)

// storedLog makes a log of n lines and returns its options and segment files.
func storedLog(t *testing.T, opts Options, n int64) (Options, []string) {
	t.Helper()
	opts.Root = t.TempDir()
	d := testDir(t, opts)
	w := begin(t, d)
	for i := int64(1); i <= n; i++ {
		put(t, w, "stdout", i)
		awaitAck(t, w, "stdout", i) // a batch for each line, so that segments are small
	}
	mustClose(t, w)
	mustClose(t, d)
	return opts, segmentFiles(t, d)
}

func appendTo(t *testing.T, path string, tail []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(tail); err != nil {
		t.Fatal(err)
	}
	mustClose(t, f)
}

func TestLog1TornEndIsCutOff(t *testing.T) {
	rec := prepare(testLine("stdout", 4), nil)
	whole := appendRecord(nil, &rec)
	for name, tail := range map[string][]byte{
		"half a record": whole[:len(whole)/2], "all but its newline": whole[:len(whole)-1],
		"a byte": whole[:1], "zeros": make([]byte, 5000), "long": bytes.Repeat([]byte("x"), 3*minChunk),
	} {
		t.Run(name, func(t *testing.T) {
			opts, files := storedLog(t, Options{}, 3)
			before, err := os.ReadFile(files[0])
			if err != nil {
				t.Fatal(err)
			}
			appendTo(t, files[0], tail)
			d := testDir(t, opts)
			equal(t, []int64{1, 2, 3}, numbersOf(readAll(t, d)))
			w := begin(t, d)
			equal(t, []int64{1, 2, 3}, numbersOf(readAll(t, d)))
			put(t, w, "stdout", 3, 4, 5)
			mustClose(t, w)
			equal(t, []int64{1, 2, 3, 4, 5}, numbersOf(readAll(t, d)))
			after, err := os.ReadFile(files[0])
			if err != nil || !bytes.HasPrefix(after, append(before, whole...)) {
				t.Fatalf("%v, %q", err, after)
			}
		})
	}
}

func TestLog1TornHeadOfASegmentIsRemoved(t *testing.T) {
	for name, keep := range map[string]int{"empty": 0, "half": 20} {
		t.Run(name, func(t *testing.T) {
			opts, files := storedLog(t, Options{SegmentBytes: 1}, 3)
			last := files[len(files)-1]
			if err := os.Truncate(last, int64(keep)); err != nil {
				t.Fatal(err)
			}
			d := testDir(t, opts)
			equal(t, []int64{1, 2, 3}, numbersOf(readAll(t, d)))
			w := begin(t, d)
			put(t, w, "stdout", 1, 2, 3, 4)
			mustClose(t, w)
			equal(t, []int64{1, 2, 3, 4}, numbersOf(readAll(t, d)))
		})
	}
}

func TestLog1UnreadableRecordHidesNoOther(t *testing.T) {
	opts, files := storedLog(t, Options{}, 5)
	raw, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(raw, []byte("\n"))
	lines[2][0] = 0
	if err := os.WriteFile(files[0], bytes.Join(lines, nil), 0o600); err != nil {
		t.Fatal(err)
	}
	d := testDir(t, opts)
	equal(t, []int64{1, 2, 4, 5}, numbersOf(readAll(t, d)))
	w := begin(t, d)
	put(t, w, "stdout", 2, 3, 4, 5, 6)
	awaitAck(t, w, "stdout", 6)
	mustClose(t, w)
	equal(t, []int64{1, 2, 4, 5, 3, 6}, numbersOf(readAll(t, d)))
}

func TestLog3NumberingIsReadFromTheLastHead(t *testing.T) {
	opts, files := storedLog(t, Options{SegmentBytes: 500}, 40)
	if len(files) < 5 {
		t.Fatalf("only %d segments", len(files))
	}
	// What a later sealing releases: all but the last segments.
	for _, f := range files[:len(files)-2] {
		if err := os.Remove(f); err != nil {
			t.Fatal(err)
		}
	}
	d := testDir(t, opts)
	w := begin(t, d)
	put(t, w, "stdout", 40, 41)
	awaitAck(t, w, "stdout", 41)
	mustClose(t, w)
	got := readAll(t, d)
	equal(t, int64(41), got[len(got)-1].Number)
	equal(t, int64(40), got[len(got)-2].Number)
}

// Wherever a log ends after a crash, what is before stays and a resend of
// everything makes it whole, each line once.
func TestLog1AnyEndRecovers(t *testing.T) {
	opts, files := storedLog(t, Options{SegmentBytes: 400}, 12)
	contents := make([][]byte, len(files))
	for i, f := range files {
		var err error
		if contents[i], err = os.ReadFile(f); err != nil {
			t.Fatal(err)
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		last := rapid.IntRange(0, len(files)-1).Draw(rt, "segment")
		size := rapid.IntRange(0, len(contents[last])).Draw(rt, "size")
		for i, f := range files {
			var err error
			switch {
			case i < last:
				err = os.WriteFile(f, contents[i], 0o600)
			case i == last:
				err = os.WriteFile(f, contents[i][:size], 0o600)
			default:
				err = os.RemoveAll(f)
			}
			if err != nil {
				rt.Fatal(err)
			}
		}
		d := testDir(t, opts)
		whole := numbersOf(readAll(t, d))
		for i, n := range whole {
			if n != int64(i+1) {
				rt.Fatalf("kept %v", whole)
			}
		}
		w := begin(t, d)
		want := []int64{}
		for n := int64(1); n <= 12; n++ {
			put(t, w, "stdout", n)
			want = append(want, n)
		}
		mustClose(t, w)
		equal(t, want, numbersOf(readAll(t, d)))
		mustClose(t, d)
		removeSegments(t, filepath.Dir(files[0]))
	})
}

func removeSegments(t *testing.T, dir string) {
	t.Helper()
	bases, err := listSegments(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, base := range bases {
		if err := os.Remove(filepath.Join(dir, segmentName(base))); err != nil {
			t.Fatal(err)
		}
	}
}
