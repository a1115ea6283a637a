// Package batch gathers items that come one at a time and writes them many at a time: what
// arrives while the last write is on its way makes the next one. Nobody waits for a timer
// when alone, and each caller gets the answer to its own item once that is written.
//
// It knows nothing of stores. It may import the standard library only.
package batch
