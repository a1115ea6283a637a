package interceptor

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// mostBuckets bounds the memory of each kind of bucket, some 150 bytes for one. One of
	// those that have the least to forget makes room, and with it is forgotten what its owner
	// has used up: so many are at work only where each of them does little.
	mostBuckets = 1 << 17
	// idleAfter is the time after which a bucket is forgotten that was used but once. One that
	// was used up is so later: whichever is forgotten was full, and as good as a new one.
	idleAfter = burstOf + patience
	// looked is among how many the one is found that makes room.
	looked = 8
)

// buckets holds what each of many callers may yet do. It is bounded, and forgets who
// does nothing. It is safe for concurrent use.
type buckets[K comparable] struct {
	pace pace

	mu    sync.Mutex
	byKey map[K]*bucket
	all   []keyed[K]
	hand  int // the one that is looked at next, whether it is idle
}

type keyed[K comparable] struct {
	key K
	*bucket
}

// pace is how fast callers may call: one call every so often, and so many at once as have not
// been made in the time of a burst.
type pace struct {
	perSecond    int
	every, burst time.Duration
	began        time.Time // what buckets count from: a clock that is set moves nobody's turn
}

// bucket is what one caller may yet do. It is a single word, which each call of the caller
// finds again by its token, and changes without a lock.
type bucket struct {
	pace *pace
	// spent is the time when all that was taken will have been earned again, or gone.
	spent atomic.Int64
	told  atomic.Int64 // when a refusal was reported last; 0: never
}

// gone is spent of a bucket that was forgotten.
const gone = math.MinInt64

// take takes the next turn unless it is farther off than most, and returns how far off it is.
func (b *bucket) take(at time.Time, most time.Duration) (wait time.Duration, ok bool) {
	now := at.Sub(b.pace.began)
	for {
		spent := b.spent.Load()
		if spent == gone {
			return 0, true // it was idle until a moment ago; the next call has a new one
		}
		next := max(time.Duration(spent), now) + b.pace.every
		if wait = max(0, next-now-b.pace.burst); wait > most {
			return wait, false
		}
		if b.spent.CompareAndSwap(spent, int64(next)) {
			return wait, true
		}
	}
}

// giveBack returns a turn that is not used after all.
func (b *bucket) giveBack() {
	for {
		spent := b.spent.Load()
		if spent == gone || b.spent.CompareAndSwap(spent, spent-int64(b.pace.every)) {
			return
		}
	}
}

// tells reports whether a refusal is to be reported: one in a minute tells enough.
func (b *bucket) tells(at time.Time) bool {
	now, last := int64(at.Sub(b.pace.began))+1, b.told.Load()
	return (last == 0 || now-last >= int64(time.Minute)) && b.told.CompareAndSwap(last, now)
}

// newBuckets makes buckets for so many calls per second, of 1 or more.
func newBuckets[K comparable](perSecond int) *buckets[K] {
	every := max(1, time.Second/time.Duration(perSecond))
	calls := time.Duration(perSecond) * (burstOf / time.Second)
	return &buckets[K]{
		pace:  pace{perSecond: perSecond, every: every, burst: calls * every, began: time.Now()},
		byKey: map[K]*bucket{},
	}
}

// of returns the bucket of a caller, a full one for who is new.
func (b *buckets[K]) of(key K, now time.Time) *bucket {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.forget(now)
	if found, ok := b.byKey[key]; ok {
		return found
	}
	if len(b.all) == mostBuckets {
		b.makeRoom()
	}
	made := &bucket{pace: &b.pace}
	made.spent.Store(int64(now.Sub(b.pace.began)))
	b.byKey[key] = made
	b.all = append(b.all, keyed[K]{key, made})
	return made
}

// forget drops two idle buckets at most, so that nobody waits for a long clearance and
// there are fewer of them with each new caller all the same. It wants b.mu.
func (b *buckets[K]) forget(now time.Time) {
	idle := int64(now.Sub(b.pace.began) + b.pace.every - idleAfter)
	for range min(2, len(b.all)) {
		b.hand %= len(b.all)
		one := b.all[b.hand]
		if spent := one.spent.Load(); spent <= idle && one.spent.CompareAndSwap(spent, gone) {
			b.drop(b.hand)
		} else {
			b.hand++
		}
	}
}

// makeRoom drops the bucket of a few that is the first to be full again. It wants b.mu.
func (b *buckets[K]) makeRoom() {
	least := b.hand % len(b.all)
	for range looked {
		b.hand = (b.hand + 1) % len(b.all)
		if b.all[b.hand].spent.Load() < b.all[least].spent.Load() {
			least = b.hand
		}
	}
	b.all[least].spent.Store(gone)
	b.drop(least)
}

func (b *buckets[K]) drop(place int) {
	delete(b.byKey, b.all[place].key)
	last := len(b.all) - 1
	b.all[place], b.all[last] = b.all[last], keyed[K]{}
	b.all = b.all[:last]
}
