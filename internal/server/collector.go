package server

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

const (
	// leastGarbage is how much garbage there is before it is collected, at least: collecting
	// whenever a small heap has doubled is what a small server would spend most of its time on.
	leastGarbage = 64 << 20
	// mostPercent bounds what a very small heap would have the target be.
	mostPercent = 1600
)

// SpareCollector has the garbage collector of this process run no more often than for 64 MiB
// of garbage: a small server takes up to that much more memory, and a heap that is larger than
// that by itself is collected as always, when it has doubled. Where GOGC or GOMEMLIMIT
// say something else, nothing is changed.
func SpareCollector() {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	retarget()
}

// sentinel is garbage as soon as it is made: its end tells that the collector has run.
type sentinel struct{ _ *byte }

// retarget sets the collector's target by what is alive, now and after each collection.
func retarget() {
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	percent := mostPercent
	if live[0].Value.Kind() == metrics.KindUint64 && live[0].Value.Uint64() > 0 {
		percent = int(min(leastGarbage*100/live[0].Value.Uint64(), mostPercent))
	}
	debug.SetGCPercent(max(percent, 100))
	runtime.AddCleanup(&sentinel{}, func(struct{}) { retarget() }, struct{}{})
}
