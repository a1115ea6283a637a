package server

import (
	"runtime/debug"
	"testing"
)

// TestAQuietServerGivesBackWhatItHasNoUseFor, a busy one does not, nor one that has little.
func TestAQuietServerGivesBackWhatItHasNoUseFor(t *testing.T) {
	const mib = 1 << 20
	given := 0
	q := quiet{give: func() { given++ }}
	for i, c := range []struct {
		now  heap
		want int
	}{
		{heap{live: 10 * mib, made: 500 * mib, objects: 70 * mib}, 0},                  // made by whom came before
		{heap{live: 10 * mib, made: 510 * mib, objects: 80 * mib}, 0},                  // busy
		{heap{live: 10 * mib, made: 510*mib + 100, objects: 80 * mib}, 1},              // garbage
		{heap{live: 10 * mib, made: 510*mib + 200, objects: 10 * mib}, 1},              // nothing more
		{heap{live: 10 * mib, made: 510*mib + 300, objects: 11 * mib, unused: mib}, 1}, // little
		{heap{live: 10 * mib, made: 510*mib + 400, objects: 11 * mib, unused: 60 * mib}, 2},
		{heap{live: 12 * mib, made: 510*mib + 500, objects: 11 * mib, unused: mib}, 2}, // as of different moments
		{heap{live: 10 * mib, made: 900 * mib, objects: 400 * mib, unused: 60 * mib}, 2},
	} {
		if q.look(c.now); given != c.want {
			t.Fatalf("look %d: given back %d times, want %d", i+1, given, c.want)
		}
	}
}

var kept [][]byte // on the heap, whatever the compiler knows

// TestAHeapSaysWhatItHasNoUseFor makes garbage, and gives it back.
func TestAHeapSaysWhatItHasNoUseFor(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // nobody else collects
	for range 4 * leastReturned >> 20 {
		kept = append(kept, make([]byte, 1<<20))
	}
	kept = nil
	given := false
	q := quiet{made: heapNow().made, give: func() {
		given = true
		debug.FreeOSMemory()
	}}
	q.look(heapNow())
	if !given {
		t.Fatalf("nothing given back of %+v", heapNow())
	}
	given = false
	if q.look(heapNow()); given {
		t.Errorf("given back again, of %+v", heapNow())
	}
}
