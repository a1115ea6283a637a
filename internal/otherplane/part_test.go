//go:build !race

package otherplane

// partly: the whole is done without the race detector.
const partly = false
