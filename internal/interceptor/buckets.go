package interceptor

import (
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/time/rate"
)

const (
	// mostBuckets bounds the memory of each kind of bucket, some 200 bytes for one. The
	// one that was not used for longest makes room, and with it is forgotten what its
	// owner has used up: so many are at work only where each of them does little.
	mostBuckets = 1 << 16
	// idleAfter is the time after which an unused bucket is as good as a new one: full,
	// whatever waited for it.
	idleAfter = burstOf + patience
)

// buckets holds what each of many callers may yet do. It is bounded, and forgets who
// does nothing. It is safe for concurrent use.
type buckets[K comparable] struct {
	limit rate.Limit

	mu   sync.Mutex
	used *simplelru.LRU[K, *bucket]
}

// bucket is what one caller may yet do.
type bucket struct {
	mu      sync.Mutex // held while a turn is looked at: see take
	limiter *rate.Limiter
	report  rate.Sometimes // of refusals: one tells enough
	at      time.Time      // of its last use; guarded by buckets.mu
}

// take takes the next turn unless it is farther off than most, and returns how far off it
// is. A limiter has to reserve a turn to tell, and takes one back in full only if none was
// reserved after it: calls that are refused at the same time would use up turns.
func (b *bucket) take(now time.Time, most time.Duration) (turn *rate.Reservation, wait time.Duration, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	turn = b.limiter.ReserveN(now, 1)
	if wait = turn.DelayFrom(now); wait > most {
		turn.CancelAt(now)
		return nil, wait, false
	}
	return turn, wait, true
}

func (b *bucket) giveBack(turn *rate.Reservation, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	turn.CancelAt(now)
}

// newBuckets makes buckets for so many calls per second, of 1 or more.
func newBuckets[K comparable](perSecond int) *buckets[K] {
	used, err := simplelru.NewLRU[K, *bucket](mostBuckets, nil)
	if err != nil {
		panic(err) // of a size below 1, which it is not
	}
	return &buckets[K]{limit: rate.Limit(perSecond), used: used}
}

// of returns the bucket of a caller, a full one for who is new.
func (b *buckets[K]) of(key K, now time.Time) *bucket {
	b.mu.Lock()
	defer b.mu.Unlock()
	found, ok := b.used.Get(key)
	if !ok {
		burst := int(float64(b.limit) * burstOf.Seconds())
		found = &bucket{limiter: rate.NewLimiter(b.limit, burst), report: rate.Sometimes{Interval: time.Minute}}
		b.used.Add(key, found)
	}
	found.at = now
	b.forget(now)
	return found
}

// forget drops two idle buckets at most, so that nobody waits for a long clearance and
// there are fewer of them with each call all the same. It wants b.mu.
func (b *buckets[K]) forget(now time.Time) {
	for range 2 {
		_, oldest, ok := b.used.GetOldest()
		if !ok || now.Sub(oldest.at) < idleAfter {
			return
		}
		b.used.RemoveOldest()
	}
}
