// Package agents has agents that are broken in one named way each, to prove the checks
// that judge agents: each must be found by the check that it names.
//
// A mutant is our own agent behind a relay in its own process. The relay passes its calls
// on to the control plane, and breaks one thing of them on the way.
//
// It may import everything of ours.
package agents
