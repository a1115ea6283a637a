// Package bench puts load on a control plane over the public wire, in a closed loop: each
// worker makes its next call when the last one was answered. It measures how many calls a
// second come back, how long they take, and what the processes of the server spent.
//
// Fleets make an open loop instead: a beat is sent when it is due. Bounds hold ratios of
// what was measured on servers side by side.
//
// It may import gen and grpc, and nothing of what it measures.
package bench
