package main

import (
	"strings"
	"testing"

	"golang.org/x/tools/cover"
)

const profile = `mode: atomic
m/half/a.go:1.1,2.2 1 3
m/half/b.go:1.1,2.2 1 0
m/most/a.go:1.1,2.2 9 1
m/most/a.go:3.1,4.2 1 0
m/most/inner/a.go:1.1,2.2 50 0
m/empty/a.go:1.1,2.2 0 0
`

func TestAPackageBelowTheFloorIsToldAndCounted(t *testing.T) {
	profiles, err := cover.ParseProfilesFromReader(strings.NewReader(profile))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		packages []string
		floor    float64
		low      int
	}{
		{[]string{"m/half"}, 50, 0},
		{[]string{"m/half"}, 50.1, 1},
		{[]string{"m/most"}, 90, 0}, // a package below it in the tree is another one
		{[]string{"m/most", "m/half", "m/most/inner"}, 85, 2},
		{[]string{"m/missing", "m/empty"}, 0, 2},
		{nil, 85, 0},
	} {
		var out strings.Builder
		if low := judge(&out, profiles, c.packages, c.floor); low != c.low {
			t.Errorf("%v at %g: %d below, want %d", c.packages, c.floor, low, c.low)
		}
		for _, name := range c.packages {
			if !strings.Contains(out.String(), name) {
				t.Errorf("%v at %g: %s is not told of: %s", c.packages, c.floor, name, out.String())
			}
		}
	}
}
