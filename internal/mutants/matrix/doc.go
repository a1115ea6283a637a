// Package matrix judges the judge: it runs the checks of the conformance suite against
// systems that are broken in one way each, and wants each mutant found by the check that
// names it, and by no other that is not listed with the reason.
//
// It may import conformance, and knows nothing of the mutants themselves.
package matrix
