package server

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// leastGarbage is how much garbage there is before it is collected, at least: collecting
	// whenever a small heap has doubled is what a small server would spend most of its time on.
	leastGarbage = 64 << 20
	// mostPercent bounds what a very small heap would have the target be.
	mostPercent = 1600
	// quietFor is how long a server makes less than quietBytes of objects before it counts as
	// quiet, and leastReturned what it holds then, at least, that it has no use for.
	quietFor      = 5 * time.Second
	quietBytes    = 1 << 20
	leastReturned = 16 << 20
)

// SpareCollector has the garbage collector of this process run no more often than for 64 MiB
// of garbage: a small server takes up to that much more memory, and a heap that is larger than
// that by itself is collected as always, when it has doubled. Once the server is quiet its
// garbage is collected, and what it does not use is given back to the system: Go by itself
// would keep for good what the next collection is to begin at. Where GOGC or GOMEMLIMIT
// say something else, nothing is changed.
func SpareCollector() {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	retarget()
	(&quiet{give: debug.FreeOSMemory}).lookOn()
}

// sentinel is garbage as soon as it is made: its end tells that the collector has run.
type sentinel struct{ _ *byte }

// retarget sets the collector's target by what is alive, now and after each collection.
func retarget() {
	live := []metrics.Sample{{Name: liveBytes}}
	metrics.Read(live)
	percent := mostPercent
	if live[0].Value.Kind() == metrics.KindUint64 && live[0].Value.Uint64() > 0 {
		percent = int(min(leastGarbage*100/live[0].Value.Uint64(), mostPercent))
	}
	debug.SetGCPercent(max(percent, 100))
	runtime.AddCleanup(&sentinel{}, func(struct{}) { retarget() }, struct{}{})
}

// What Go tells of its heap, in bytes.
const (
	liveBytes   = "/gc/heap/live:bytes"                // was alive at the last collection
	madeBytes   = "/gc/heap/allocs:bytes"              // of all objects ever made
	objectBytes = "/memory/classes/heap/objects:bytes" // of those that are there, garbage included
	unusedBytes = "/memory/classes/heap/free:bytes"    // of no object, and not given back
)

// quiet gives back what a quiet process has no use for.
type quiet struct {
	give func()
	made uint64 // at the last look
}

// lookOn looks again and again, for as long as the process is there.
func (q *quiet) lookOn() {
	time.AfterFunc(quietFor, func() {
		q.look(heapNow())
		q.lookOn()
	})
}

// heap is how much of what there is, in bytes.
type heap struct{ live, made, objects, unused uint64 }

func heapNow() heap {
	samples := []metrics.Sample{{Name: liveBytes}, {Name: madeBytes}, {Name: objectBytes}, {Name: unusedBytes}}
	metrics.Read(samples)
	var of [4]uint64
	for i, s := range samples {
		if s.Value.Kind() == metrics.KindUint64 { // else this Go does not tell
			of[i] = s.Value.Uint64()
		}
	}
	return heap{live: of[0], made: of[1], objects: of[2], unused: of[3]}
}

// look is at how things are, quietFor after the last look.
func (q *quiet) look(now heap) {
	made := now.made - q.made
	q.made = now.made
	if returned := now.objects - min(now.live, now.objects) + now.unused; made < quietBytes && returned >= leastReturned {
		q.give()
	}
}
