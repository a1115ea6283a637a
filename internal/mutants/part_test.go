//go:build !race

package mutants

// partly: the whole is done without the race detector.
const partly = false
