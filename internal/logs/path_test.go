package logs

import (
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// identifiers are such as provoke collisions: escapes, marks and cases that a
// naive encoding mixes up.
func identifiers() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.String(),
		rapid.StringOfN(rapid.SampledFrom([]rune("aA.%/_-hé🚀 :+\\2e")), 0, 8, -1),
		rapid.StringOfN(rapid.SampledFrom([]rune("🚀a")), 240, 250, -1),
		rapid.SampledFrom([]string{
			"", ".", "..", "%_", "%", "%h", "%2e", "a", "A", "a/b", "a%2fb", "con", "é", "e\u0301",
			strings.Repeat("🚀", 250), strings.Repeat("🚀", 249) + "a", fileName(strings.Repeat("🚀", 250)),
		}),
	)
}

func TestIso1FileNamesAreInjective(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := identifiers().Draw(t, "a"), identifiers().Draw(t, "b")
		na, nb := fileName(a), fileName(b)
		if same := strings.EqualFold(na, nb); same != (a == b) {
			t.Fatalf("%q -> %q, %q -> %q", a, na, b, nb)
		}
		if back, err := url.PathUnescape(escapeName(a)); err != nil || back != a {
			t.Fatalf("%q escaped comes back as %q, %v", a, back, err)
		}
		if na == "" || len(na) > 255 || strings.Trim(na, "abcdefghijklmnopqrstuvwxyz0123456789-_%") != "" {
			t.Fatalf("%q -> %q", a, na)
		}
	})
}

func TestIso1DirectoriesAreInjective(t *testing.T) {
	ref := func(t *rapid.T, name string) Ref {
		return Ref{
			TenantID: identifiers().Draw(t, name+" tenant"), DagID: identifiers().Draw(t, name+" dag"),
			RunID: identifiers().Draw(t, name+" run"), TaskID: identifiers().Draw(t, name+" task"),
			TryNumber: rapid.IntRange(-1, 12).Draw(t, name+" try"),
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := ref(t, "a"), ref(t, "b")
		if same := a.relDir() == b.relDir(); same != (a == b) {
			t.Fatalf("%+v and %+v share %q", a, b, a.relDir())
		}
		if n := strings.Count(a.relDir(), string(filepath.Separator)); n != 4 {
			t.Fatalf("%+v is at %q", a, a.relDir())
		}
	})
}

func TestIso1LongestIdentifiersCanBeStored(t *testing.T) {
	d := testDir(t, Options{})
	long := strings.Repeat("🚀", 250)
	ref := Ref{TenantID: long, DagID: long, RunID: long, TaskID: long, TryNumber: 1 << 31}
	w, err := d.Open(ref)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.WriteEvent(Event{Message: "x"}); err != nil {
		t.Fatal(err)
	}
	mustClose(t, w)
	got, err := d.Read(testContext(t), ref, 0, 10)
	if err != nil || len(got) != 1 {
		t.Fatalf("%v, %v", got, err)
	}
}

func TestIso1ModesAreTheOwnersOnly(t *testing.T) {
	d := testDir(t, Options{Root: filepath.Join(t.TempDir(), "logs")})
	w := begin(t, d)
	put(t, w, "stdout", 1)
	mustClose(t, w)
	err := filepath.WalkDir(d.opts.Root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		want := fs.FileMode(0o600)
		if e.IsDir() {
			want = 0o700
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestLog1OpeningWithoutLinesLeavesNothing(t *testing.T) {
	d := testDir(t, Options{})
	mustClose(t, begin(t, d))
	entries, err := os.ReadDir(d.opts.Root)
	if err != nil || len(entries) != 0 {
		t.Fatalf("%v, %v", entries, err)
	}
}

func TestHoldsWhatBelongsToALog(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ref := Ref{
			TenantID: identifiers().Draw(t, "tenant"), DagID: identifiers().Draw(t, "dag"), RunID: identifiers().Draw(t, "run"),
			TaskID: identifiers().Draw(t, "task"), TryNumber: rapid.IntRange(1, 1<<31-1).Draw(t, "try"),
		}
		segment := filepath.Join(ref.relDir(), segmentName(rapid.Int64Min(0).Draw(t, "base")))
		if !Holds(segment, false) || Holds(segment, true) {
			t.Errorf("segment %s: %v, %v", segment, Holds(segment, false), Holds(segment, true))
		}
		for dir := ref.relDir(); dir != "."; dir = filepath.Dir(dir) {
			if !Holds(dir, true) || Holds(dir, false) {
				t.Errorf("directory %s: %v, %v", dir, Holds(dir, true), Holds(dir, false))
			}
		}
	})
	for _, name := range []string{"", ".", "..", "lost+found", "A", "a/../b", "a/b/c/d/1/2", "a//b"} {
		if Holds(name, true) {
			t.Errorf("directory %q", name)
		}
	}
	for _, name := range []string{"", segmentName(0), "a/b/c/d/1/0.jsonl", "a/b/c/d/1/note", "a/b/c/../1/" + segmentName(0)} {
		if Holds(name, false) {
			t.Errorf("segment %q", name)
		}
	}
}
