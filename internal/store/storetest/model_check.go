package storetest

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

var modelTests = []test{
	{"TestState9AgreesWithTheModel", testModel},
	{"TestState9EveryHistoryIsAPathOfTheTable", testTogether},
}

// testModel plays random courses, and makes the one that fails as short as it can.
func testModel(t *testing.T, b *bed) {
	runs, courses := 0, events()
	rapid.Check(t, func(t *rapid.T) {
		runs++
		c, err := newCourse(b, fmt.Sprint(runs))
		if err != nil {
			t.Fatalf("create: %v", err)
		}
		if err := c.play(courses.Draw(t, "course")); err != nil {
			t.Fatal(err)
		}
	})
}

// CheckModel plays so many random courses, the same each time, with the store that
// open opens, and returns an error that tells where it first does what the model does
// not. It is for showing that the model finds a store that breaks a rule: t is only
// for what cannot be set up.
func CheckModel(t *testing.T, open Opener, courses int) error {
	t.Helper()
	b := newBed(t, open)
	for seed := range courses {
		c, err := newCourse(b, fmt.Sprint(seed))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.play(events().Example(seed)); err != nil {
			return fmt.Errorf("course %d: %w", seed, err)
		}
	}
	return nil
}
