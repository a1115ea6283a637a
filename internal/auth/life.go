package auth

import (
	"cmp"
	"time"
)

// How long the tokens of an attempt last is said here and nowhere else.
const (
	// LeastLife is the least life of a fresh agent token.
	LeastLife = 24 * time.Hour
	// QueueAllowance is how long an attempt may wait for its start, and still have a
	// token through the whole time-out of its task. Deployed agents never renew one.
	QueueAllowance = 24 * time.Hour
	// UntimedAllowance is what a task without a time-out is given instead of one.
	UntimedAllowance = 30 * 24 * time.Hour
	// LeastCeiling is the least total that renewal may stretch an attempt's tokens to,
	// and UntimedCeiling that of a task without a time-out.
	LeastCeiling   = 7 * 24 * time.Hour
	UntimedCeiling = 90 * 24 * time.Hour
)

// FreshLife returns the life of an attempt's first token, counted from its launch.
// timeout is the execution time-out of its task; 0: none.
func FreshLife(timeout time.Duration) time.Duration {
	return max(LeastLife, cmp.Or(timeout, UntimedAllowance)+QueueAllowance)
}

// Ceiling returns how long after an attempt's launch its last token ends at the
// latest, however often it is renewed (TOKEN-2). It is never under [FreshLife].
func Ceiling(timeout time.Duration) time.Duration {
	if timeout == 0 {
		return UntimedCeiling
	}
	return max(LeastCeiling, timeout+QueueAllowance)
}
