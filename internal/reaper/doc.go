// Package reaper ends the attempts that will not end by themselves, and deletes
// values whose life is over.
//
// An attempt is lost when it was silent for a whole window (BEAT-5), and never
// started when no agent came for it. Either takes an uninterrupted observation: this
// reaper, on its own monotonic clock, saw the same at every look of the window, while
// the store could be read and written. A restart, a failing store, a step of the wall
// clock or a look that came late is not silence: every observation begins anew. Nor is
// it where another transaction has an attempt's row: before it is lost, the row has been
// written, and time was left for its next beats. When most attempts fall silent at once,
// the fault is likely on this side: nothing is reaped until that is over, and an alarm is
// raised. A beat that some server heard and could not store is a sign of life as well, by
// [Hearsay].
//
// An attempt that outlives its time-out, or the deadline of its cancel, by a grace
// is settled though it beats. One that is silent past the deadline of its cancel is
// not lost: it ends as cancelled.
//
// Any number of processes may run one: each settling is conditional on what was seen.
//
// The package may import, of ours, domain only; the store is behind an interface.
package reaper
