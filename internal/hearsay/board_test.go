package hearsay

import (
	"context"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/neochaotic/leoflow/internal/domain"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const window = 2 * time.Minute

// whole names attempts as servers do; name, as reapers do.
func whole(tenant string, try int) domain.AttemptRef {
	ref := name(tenant, try)
	ref.DagID, ref.RunID, ref.TaskID = "dag", "run", "task"
	return ref
}

func name(tenant string, try int) domain.AttemptRef {
	return domain.AttemptRef{TenantID: tenant, TaskInstanceID: "instance", TryNumber: try}
}

// run runs boards of one directory until the test ends, or its stop is called.
func run(t *testing.T, dir string) (b *Board, stop func()) {
	t.Helper()
	b = New(Config{Dir: dir, Window: window, Logger: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		b.Run(ctx)
	}()
	stop = func() {
		cancel()
		<-ended
	}
	t.Cleanup(stop)
	return b, stop
}

func all(t *testing.T, b *Board) map[domain.AttemptRef]uint64 {
	t.Helper()
	got, err := b.All()
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if gone(err) != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// TestBeat5OthersHearOfEachBeat: of each attempt by its tenant and try, and of each beat.
func TestBeat5OthersHearOfEachBeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "hearsay")
		one, stopOne := run(t, dir)
		other, stopOther := run(t, dir)
		<-time.After(window)
		if got := all(t, other); len(got) != 0 || files(t, dir) != nil {
			t.Fatalf("before a beat: %v, in %v", got, files(t, dir))
		}
		seen := map[uint64]bool{}
		for n := range 3 {
			one.Heard(whole("a", 1))
			one.Heard(whole("b", 2))
			<-time.After(window / tellsPerWindow)
			synctest.Wait()
			for _, b := range []*Board{one, other} {
				got := all(t, b)
				if len(got) != 2 || got[name("a", 1)] == 0 || got[name("b", 2)] == 0 || got[name("a", 1)] == got[name("b", 2)] {
					t.Fatalf("beat %d: %v", n, got)
				}
				seen[got[name("a", 1)]] = true
			}
		}
		if len(seen) != 3 {
			t.Errorf("3 beats have %d numbers", len(seen))
		}
		before := all(t, one)
		other.Heard(whole("a", 1)) // it moved there
		<-time.After(window / tellsPerWindow)
		synctest.Wait()
		if got := all(t, one); got[name("a", 1)] == before[name("a", 1)] || got[name("b", 2)] != before[name("b", 2)] {
			t.Errorf("after a beat at the other: %v, before %v", got, before)
		}
		stopOne()
		stopOther()
		if left := files(t, dir); left != nil {
			t.Errorf("they leave %v behind", left)
		}
	})
}

// TestBeat5WhatWasHeardIsToldForAWindow, and nothing is written while there is nothing new.
func TestBeat5WhatWasHeardIsToldForAWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		one, _ := run(t, dir)
		other, _ := run(t, dir)
		one.Heard(whole("a", 1))
		<-time.After(window / 2)
		synctest.Wait()
		told := files(t, dir)
		if len(told) != 1 {
			t.Fatalf("told in %v", told)
		}
		path := filepath.Join(dir, told[0])
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, append(text, '\n'), 0o600); err != nil {
			t.Fatal(err)
		}
		<-time.After(window / 4)
		synctest.Wait()
		if again, err := os.ReadFile(path); err != nil || len(again) != len(text)+1 {
			t.Errorf("written again: %q, %v", again, err)
		}
		if len(all(t, other)) != 1 {
			t.Error("it is not told for a window")
		}
		<-time.After(window / 2)
		synctest.Wait()
		if got := all(t, other); len(got) != 0 || files(t, dir) != nil {
			t.Errorf("after a window: %v, in %v", got, files(t, dir))
		}
	})
}

// TestBeat5AloneABoardTellsItself: a server that shares nothing writes nothing.
func TestBeat5AloneABoardTellsItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		t.Chdir(t.TempDir())
		b, stop := run(t, "")
		b.Heard(whole("a", 1))
		<-time.After(window / 2)
		synctest.Wait()
		if got := all(t, b); len(got) != 1 {
			t.Errorf("heard %v", got)
		}
		<-time.After(window)
		synctest.Wait()
		if got := all(t, b); len(got) != 0 {
			t.Errorf("after a window: %v", got)
		}
		stop()
		if left := files(t, "."); left != nil {
			t.Errorf("it has written %v", left)
		}
	})
}

// TestWhatOthersTellIsReadWithCare: who cannot read it does not know whom they heard; what
// nobody has written for long is removed; what is being written is left alone.
func TestWhatOthersTellIsReadWithCare(t *testing.T) {
	dir := t.TempDir()
	b := New(Config{Dir: dir, Window: window})
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("beside", "{")
	write("good.json", `{"heard": [{"tenant": "a", "task_instance_id": "instance", "try": 1, "beat": 7, "later": true}]}`)
	want := map[domain.AttemptRef]uint64{name("a", 1): 7}
	if got := all(t, b); !maps.Equal(got, want) {
		t.Errorf("read %v, want %v", got, want)
	}
	bad := write("bad.json", "{")
	if got, err := b.All(); err == nil || !strings.Contains(err.Error(), bad) || !strings.Contains(err.Error(), "remove it") {
		t.Errorf("read %v, %v", got, err)
	}
	old := time.Now().Add(-b.keptFor() - time.Minute)
	for _, path := range []string{bad, write("left", "{")} {
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
	}
	if got := all(t, b); !maps.Equal(got, want) {
		t.Errorf("read %v, want %v", got, want)
	}
	if left := files(t, dir); len(left) != 2 {
		t.Errorf("left: %v", left)
	}
}

// TestWhatCannotBeToldIsTriedAgain, and logged.
func TestWhatCannotBeToldIsTriedAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "hearsay")
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	b := New(Config{Dir: dir, Window: window})
	b.Heard(whole("a", 1))
	if err := b.tell(); err == nil {
		t.Fatal("told in a file that is no directory")
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if err := b.tell(); err != nil || len(files(t, dir)) != 1 {
		t.Errorf("not tried again: %v, in %v", err, files(t, dir))
	}
}
