//go:build !race

package judged

// partly: the whole is done without the race detector.
const partly = false
