package logs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// What the processes that share a root tell each other, beside locks: a file in the
// directory of rings has the owner of a log look whether it is asked for. A ring that
// nobody stands behind is taken away by who finds it.

const (
	ringDir = ".rings"
	// ringEvery is how often rings, and the logs of others that somebody follows, are looked at.
	ringEvery = 50 * time.Millisecond
	// lookEvery is how many of those looks there are for one at each log that is owned.
	lookEvery = 20
	// watchFor is after how many of them who follows is woken anyway.
	watchFor = 200
	// maxTries is how often a segment is looked for that is listed.
	maxTries = 20
)

// ring asks for the log at rel until stop is called.
func (d *Dir) ring(rel string) (stop func(), err error) {
	dir := filepath.Join(d.opts.Root, ringDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(dir, ringName(rel)+"-*")
	if err != nil {
		return nil, err
	}
	return func() { _ = os.Remove(f.Name()) }, f.Close() // the owner may have been faster
}

func ringName(rel string) string {
	sum := sha256.Sum256([]byte(rel))
	return hex.EncodeToString(sum[:16])
}

// neighbours looks at what others do until the Dir closes. Who asks for a log does not wait
// for the looks at others, which may be many.
func (d *Dir) neighbours() {
	defer close(d.alone)
	var watching sync.WaitGroup
	watching.Go(func() {
		d.regularly(func(int) { d.watchForeign(false) })
		d.watchForeign(true)
	})
	d.regularly(func(n int) { d.answerRings(n%lookEvery == 0) })
	watching.Wait()
}

// regularly calls look, with how many times it did, until the Dir closes.
func (d *Dir) regularly(look func(n int)) {
	ticker := time.NewTicker(ringEvery)
	defer ticker.Stop()
	for n := 1; ; n++ {
		select {
		case <-ticker.C:
		case <-d.stop:
			return
		}
		look(n)
	}
}

// answerRings has the logs look that somebody asks for, or all of them.
func (d *Dir) answerRings(all bool) {
	entries, err := os.ReadDir(filepath.Join(d.opts.Root, ringDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.opts.Logger.Warn("reading who asks for logs", "error", err)
	}
	if len(entries) == 0 && !all {
		return
	}
	rung := map[string]bool{}
	for _, e := range entries {
		if len(e.Name()) > 32 {
			rung[e.Name()[:32]] = true
		}
		if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > time.Minute {
			_ = os.Remove(filepath.Join(d.opts.Root, ringDir, e.Name())) // of a process that died
		}
	}
	d.mu.Lock()
	logs := make([]*attemptLog, 0, len(d.logs))
	for _, l := range d.logs {
		logs = append(logs, l)
	}
	d.mu.Unlock()
	for _, l := range logs {
		if all || rung[ringName(l.rel)] {
			l.mu.Lock()
			if l.loaded {
				l.looking = true
				l.rouse()
			}
			l.mu.Unlock()
		}
	}
}

// condition is what can be seen of a log that another process may be writing.
type condition struct {
	end     int64
	writing bool
}

// foreign is a log that somebody here follows and nobody here writes.
type foreign struct {
	changed chan struct{}
	seen    condition
	looks   int
}

// follow returns a channel that is closed when another process may have changed a log.
func (d *Dir) follow(ref Ref) <-chan struct{} {
	seen := d.condition(ref) // before anybody reads
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed { // nobody looks any more, but who follows
		changed := make(chan struct{})
		time.AfterFunc(ringEvery, func() { close(changed) })
		return changed
	}
	w, ok := d.foreign[ref]
	if !ok {
		w = &foreign{changed: make(chan struct{}), seen: seen}
		d.foreign[ref] = w
	}
	return w.changed
}

// wakeForeign wakes who follows a log. The lock is held.
func (d *Dir) wakeForeign(ref Ref) {
	if w, ok := d.foreign[ref]; ok {
		delete(d.foreign, ref)
		close(w.changed)
	}
}

// watchForeign wakes who follows logs that others have changed, or all.
func (d *Dir) watchForeign(all bool) {
	d.mu.Lock()
	watched := make(map[Ref]*foreign, len(d.foreign))
	for ref, w := range d.foreign {
		watched[ref] = w
	}
	d.mu.Unlock()
	for ref, w := range watched {
		w.looks++ // nobody else's
		if all || w.looks > watchFor || d.condition(ref) != w.seen {
			d.mu.Lock()
			if d.foreign[ref] == w {
				d.wakeForeign(ref)
			}
			d.mu.Unlock()
		}
	}
}

// condition looks at a log. What cannot be seen is as good as nothing: who reads is told.
func (d *Dir) condition(ref Ref) condition {
	end, writing, err := d.lastOf(filepath.Join(d.opts.Root, ref.relDir()))
	if err != nil {
		return condition{end: -2}
	}
	return condition{end, writing}
}

// lastOf tells where a log ends, and whether a process owns it; -1: there is none.
func (d *Dir) lastOf(dir string) (end int64, owned bool, err error) {
	for tries := 1; ; tries++ {
		bases, err := listSegments(dir)
		if err != nil || len(bases) == 0 {
			return -1, false, err
		}
		last := bases[len(bases)-1]
		size, owned, err := lastIsOwned(dir, bases)
		if errors.Is(err, fs.ErrNotExist) && tries < maxTries {
			_ = pause(context.Background()) // never fails
			continue
		}
		if err != nil || owned {
			return last + size, owned, err
		}
		// An owner may have gone on to another segment meanwhile.
		if again, err := listSegments(dir); err != nil || len(again) > 0 && again[len(again)-1] == last {
			return last + size, false, err
		}
		_ = pause(context.Background()) // never fails
	}
}

// lastIsOwned looks at the last segment, and at the one before: while a segment is
// begun, its owner has that one still. Who has asked is as good as an owner, and becomes one
// of that segment before it asks no more.
func lastIsOwned(dir string, bases []int64) (size int64, owned bool, err error) {
	n := len(bases)
	size, owned, err = segmentLocked(dir, bases[n-1], isOwned, isAsked, isOwned)
	if n == 1 || owned || err != nil {
		return size, owned, err
	}
	if _, owned, err = segmentLocked(dir, bases[n-2], isOwned, isAsked); owned || err != nil {
		return size, owned, err
	}
	return segmentLocked(dir, bases[n-1], isOwned)
}

// segmentLocked tells a segment's size, and whether somebody has one of those locks.
func segmentLocked(dir string, base int64, which ...int64) (size int64, locked bool, err error) {
	f, err := os.Open(filepath.Join(dir, segmentName(base)))
	if err != nil {
		return 0, false, err
	}
	defer f.Close() //nolint:errcheck // nothing was written
	info, err := f.Stat()
	for i := 0; i < len(which) && err == nil && !locked; i++ {
		locked, err = lockedElsewhere(f, which[i])
	}
	if err != nil {
		return 0, false, err
	}
	return info.Size(), locked, nil
}
