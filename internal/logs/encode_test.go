package logs

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"
	"unicode"

	"pgregory.net/rapid"
)

func TestLog8StringsAreJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) })).Draw(t, "s")
		raw := appendString(nil, s)
		var got string
		if err := json.Unmarshal(raw, &got); err != nil {
			t.Fatalf("%q -> %s: %v", s, raw, err)
		}
		if want := string([]rune(s)); got != want {
			t.Fatalf("%q -> %s -> %q", s, raw, got)
		}
		if bytes.ContainsFunc(raw, unicode.IsControl) {
			t.Fatalf("%q -> %q: a control character", s, raw)
		}
	})
}

func TestLog8RecordsComeBack(t *testing.T) {
	number := rapid.Int64Range(0, maxNumber)
	rapid.Check(t, func(t *rapid.T) {
		want := Record{
			Event: Event{
				Time:  time.Unix(rapid.Int64Range(-1<<35, 1<<35).Draw(t, "s"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns")).UTC(),
				Level: rapid.String().Draw(t, "level"), Stream: rapid.String().Draw(t, "stream"),
				Message: rapid.String().Draw(t, "message"),
			},
			Number: number.Draw(t, "number"), Session: rapid.Uint64().Draw(t, "session"),
			Mark:       rapid.SampledFrom([]string{"", MarkGap, MarkRestart}).Draw(t, "mark"),
			GapThrough: number.Draw(t, "through"), Cut: rapid.Bool().Draw(t, "cut"), Next: 7,
		}
		raw := appendRecord(nil, &want)
		if bytes.IndexByte(raw, '\n') != len(raw)-1 {
			t.Fatalf("%q is not one line", raw)
		}
		got, err := decode(raw)
		if err != nil || got.record(7) != want {
			t.Fatalf("%s -> %+v, %v", raw, got.record(7), err)
		}
		if want.Mark == "" && want.Number > 0 && !bytes.HasPrefix(raw, linePrefix(want.Stream, want.Number)) {
			t.Fatalf("%s is not found by its prefix", raw)
		}
		if want.Mark == MarkRestart && !bytes.HasPrefix(raw, restartPrefix(want.Stream)) {
			t.Fatalf("%s is not found by its prefix", raw)
		}
	})
}

func TestLog8NothingThatIsNoRecordDecodes(t *testing.T) {
	for _, line := range []string{"", "{}", "null", "[]", "1", `"x"`, `{"stream":"x"`, "\x00\x00", `{"stream":1}`} {
		if rec, err := decode([]byte(line)); err == nil {
			t.Errorf("%q is record %+v", line, rec)
		}
	}
}

func TestLog4SpansLoseNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var set spans
		missing := map[int64]bool{}
		top := int64(0)
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "add") {
				lo := top + rapid.Int64Range(2, 4).Draw(t, "from")
				top = lo + rapid.Int64Range(0, 3).Draw(t, "length")
				set.add(lo, top)
				for n := lo; n <= top; n++ {
					missing[n] = true
				}
				continue
			}
			n := rapid.Int64Range(1, top+1).Draw(t, "n")
			if got := set.remove(n); missing[n] && !got {
				t.Fatalf("%d is forgotten to be missing", n)
			}
			delete(missing, n)
		}
		for n := range missing {
			if _, ok := set.find(n); !ok {
				t.Fatalf("%d is forgotten to be missing", n)
			}
		}
		if len(set) > maxSpans {
			t.Fatalf("%d spans", len(set))
		}
		for i := 1; i < len(set); i++ {
			if set[i].Lo <= set[i-1].Hi || set[i].Lo > set[i].Hi {
				t.Fatalf("spans out of order: %v", set)
			}
		}
	})
}
