// Package mutants proves the conformance suite: it has servers that are ours but for one
// named fault each, and tests that the check of just that rule finds it.
//
// It may import everything of ours.
package mutants
