package drill

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// What a kill waits for, once its share of the lines has passed.
const (
	onLine   = "line"   // nothing more
	onReport = "report" // the next report
	onValue  = "value"  // the next value
	onLaunch = "launch" // the next attempt's launch
	onStart  = "start"  // nothing more; and the next process is killed as it starts
)

// kill is one moment to kill the server at.
type kill struct {
	lines int           // that passed
	on    string        // what more is waited for
	after time.Duration // between that and the kill
	down  time.Duration // how long there is no server then
}

// storm returns n moments spread over the lines of a plan: each is somewhere in its
// own n-th of them, less what is left at the end for what a kill may wait for.
func storm(random *rand.Rand, n, lines int) []kill {
	kinds := []string{onLine, onReport, onValue, onLine, onLaunch, onReport, onStart, onLine}
	offset := random.IntN(len(kinds))
	share := float64(lines) * 0.9 / float64(n)
	kills := make([]kill, n)
	for i := range kills {
		kills[i] = kill{
			lines: int(share * (float64(i) + random.Float64())),
			on:    kinds[(offset+i)%len(kinds)],
			after: time.Duration(random.Int64N(int64(20 * time.Millisecond))),
			down:  time.Duration(random.Int64N(int64(500 * time.Millisecond))),
		}
		if random.IntN(2) == 0 {
			kills[i].after = time.Duration(random.Int64N(int64(2 * time.Millisecond)))
		}
	}
	return kills
}

// String says when it was, for who reads the output.
func (k kill) String() string {
	return fmt.Sprintf("after %d lines, on a %s and %v more; down for %v", k.lines, k.on, k.after.Round(time.Microsecond), k.down.Round(time.Millisecond))
}

// strike kills a server at one moment, the one whose turn it is, and starts it again; it
// returns how often it killed. Whoever waits for a report, a value or a launch goes on when half of the
// lines until the next moment have passed without one.
func (d *drill) strike(ctx context.Context, k kill, next int) (kills int, err error) {
	if err := d.recorder.Await(ctx, func(p Progress) bool { return p.Lines >= k.lines }); err != nil {
		return 0, err
	}
	before := d.recorder.Progress()
	latest := max(before.Lines, (k.lines+next)/2)
	if err := d.recorder.Await(ctx, func(p Progress) bool {
		return p.Lines > latest || k.met(before, p)
	}); err != nil {
		return 0, err
	}
	if err := pause(ctx, k.after); err != nil {
		return 0, err
	}
	victim := d.planes[d.turn%len(d.planes)]
	d.turn++
	victim.kill()
	kills++
	d.say("kill %v", k)
	if err := pause(ctx, k.down); err != nil {
		return kills, err
	}
	if k.on == onStart {
		if err := victim.launch(ctx); err != nil {
			return kills, err
		}
		if err := pause(ctx, k.after*5); err != nil {
			return kills, err
		}
		victim.kill()
		kills++
	}
	return kills, victim.start(ctx)
}

// met reports whether what the kill waits for has passed.
func (k kill) met(before, now Progress) bool {
	switch k.on {
	case onReport:
		return now.Reports > before.Reports
	case onValue:
		return now.Values > before.Values
	case onLaunch:
		return now.Launches > before.Launches
	default:
		return true
	}
}
