//go:build race

package store

// checks is how many random courses a test plays: each has one caller at a time, in which
// the race detector finds the less, and it is slow.
const checks = 20
