package logs

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestLog13WhatIsFollowedKeepsNobodyWaiting has a server follow a log that it cannot look
// at without waiting, and be asked for another one.
func TestLog13WhatIsFollowedKeepsNobodyWaiting(t *testing.T) {
	a, b := twoDirs(t)
	deaf(b)
	followed := testRef
	followed.TryNumber = 2
	a.Changed(followed)
	if err := makeDir(a.opts.Root, followed.relDir()); err != nil {
		t.Fatal(err)
	}
	pipe := filepath.Join(a.opts.Root, followed.relDir(), segmentName(0))
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	// Who opens it to read waits for who writes.
	let := func() *os.File {
		f, err := os.OpenFile(pipe, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	t.Cleanup(func() {
		_ = let().Close()
		_ = os.Remove(pipe)
	})
	old := begin(t, a)
	awaitLook(t, a)
	next := mustOpen(t, beginBeside(t, b))
	wait(t, old.Superseded())
	writer := let()      // for the rest of the test
	defer writer.Close() //nolint:errcheck // a test's
	mustClose(t, old)
	mustClose(t, next)
	mustClose(t, a)
}

// awaitLook waits until d, and nobody else, looks at rings, by one that nobody stands behind.
func awaitLook(t *testing.T, d *Dir) {
	t.Helper()
	ring := filepath.Join(d.opts.Root, ringDir, "left")
	if err := os.MkdirAll(filepath.Dir(ring), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(ring, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(ring, time.Time{}, time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if err := await(testContext(t), func() (bool, error) {
		_, err := os.Stat(ring)
		return os.IsNotExist(err), nil
	}); err != nil {
		t.Fatal(err)
	}
}
