package agentsuite

import (
	"testing"
	"time"
)

func seconds(of ...float64) []time.Duration {
	var out []time.Duration
	for _, s := range of {
		out = append(out, time.Duration(s*float64(time.Second)))
	}
	return out
}

func TestANet1WaitsThatGrow(t *testing.T) {
	for name, tc := range map[string]struct {
		waits []time.Duration
		want  bool
	}{
		"double":                        {seconds(1, 2, 4, 8), true},
		"jitter may take all of a wait": {seconds(0.9, 0.1, 3, 0.2), true},
		"up to a bound":                 {seconds(1, 2, 2, 2), true},
		"steady":                        {seconds(1, 1, 1, 1), false},
		"steady, on a busy machine":     {seconds(1, 1.2, 0.9, 1.3), false},
		"shrink":                        {seconds(4, 2, 1, 0.5), false},
	} {
		if got := grow(tc.waits); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}

// TestANet1OneAgentMayHappenToWaitShorter: jitter that takes all of a wait has four waits
// not grow once in forty times, by itself.
func TestANet1OneAgentMayHappenToWaitShorter(t *testing.T) {
	short, double := seconds(0.306, 0.203, 0.427, 0.116), seconds(1, 2, 4, 8)
	for _, tc := range []struct {
		agents [][]time.Duration
		seen   int
		want   bool
	}{
		{[][]time.Duration{double}, 1, true},
		{[][]time.Duration{short, double}, 2, true},
		{[][]time.Duration{short, short, double}, 3, true},
		{[][]time.Duration{short, short, short, double}, 3, false},
	} {
		next := 0
		waits, got := anyGrow(func() []time.Duration { next++; return tc.agents[next-1] })
		if got != tc.want || len(waits) != tc.seen {
			t.Errorf("of %v: %v, after %d agents", tc.agents, got, len(waits))
		}
	}
}

func TestANet1WaitsThatAreAlike(t *testing.T) {
	for name, tc := range map[string]struct {
		waits [][]time.Duration
		want  bool
	}{
		"the same":                    {[][]time.Duration{seconds(1, 2, 4, 8), seconds(1, 2, 4, 8)}, true},
		"but for what a machine adds": {[][]time.Duration{seconds(1, 2, 4, 8), seconds(1.5, 2.09, 4.1, 8.3)}, true},
		"a busy machine spoilt one":   {[][]time.Duration{seconds(1, 2, 4, 8), seconds(1, 2, 4, 8), seconds(1, 2, 5, 8)}, true},
		"two waits are others":        {[][]time.Duration{seconds(1, 2, 4, 8), seconds(1, 2, 4, 8), seconds(1, 2, 3, 9)}, false},
	} {
		if got := alike(tc.waits); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}

// TestANet1AnOutageIsNeverStretched: an agent need bear a restart of 60 s, and none that
// takes three times as long because the machine that judges it is slow.
func TestANet1AnOutageIsNeverStretched(t *testing.T) {
	by := func(n float64) func(time.Duration) time.Duration {
		return func(d time.Duration) time.Duration { return time.Duration(float64(d) * n) }
	}
	if got := away(time.Minute, by(3)); got != time.Minute {
		t.Errorf("at scale 3 the server is down for %v", got)
	}
	if got := away(time.Minute, by(0.5)); got != 30*time.Second {
		t.Errorf("at scale 0.5 the server is down for %v", got)
	}
}
