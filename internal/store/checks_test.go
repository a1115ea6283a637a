//go:build !race

package store

// checks is how many random courses a test plays. CI plays them without the race detector
// too, under which there are fewer.
const checks = 100
