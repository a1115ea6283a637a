package otherplane

import (
	"sync/atomic"
	"time"
)

// clock is the plane's time of day, which can be moved.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time { return time.Now().UTC().Add(time.Duration(c.ahead.Load())) }

func (c *clock) advance(by time.Duration) { c.ahead.Store(int64(by)) }
