package suite

import (
	"fmt"
	"testing"
)

// TestChecksThatRunAloneComeTogether holds that they do not stop the others one by one,
// and that they come before them and after them, as the seed has it.
func TestChecksThatRunAloneComeTogether(t *testing.T) {
	first := map[bool]bool{}
	for seed := range uint64(20) {
		var order []bool
		var checks []Check
		for i := range 12 {
			c := check(fmt.Sprint(i), func(*T) { order = append(order, i%3 == 0) })
			c.Parallel = i%3 != 0
			checks = append(checks, c)
		}
		run(t, Options{Seed: seed, Parallel: 1}, checks...)
		changes := 0
		for i := 1; i < len(order); i++ {
			if order[i] != order[i-1] {
				changes++
			}
		}
		if changes != 1 {
			t.Errorf("seed %d: alone or not: %v", seed, order)
		}
		first[order[0]] = true
	}
	if len(first) != 2 {
		t.Errorf("of 20 seeds none has the other order: %v", first)
	}
}
