//go:build race

package otherplane

// partly has the suite's judging done in part: under the race detector all of it would
// take too long. `make judge-whole` does the whole without it.
const partly = true
