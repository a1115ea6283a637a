// Package hearsay keeps what a server heard of agents while it could not store it, so that
// no reaper takes them to be silent: an attempt that beats is never lost, whatever server it
// beats on (BEAT-5).
//
// A heartbeat is answered though the store is away (BEAT-2), and its stamp does not move then.
// Where one server of several is cut off from the store, the others see only the stamp. So each
// [Board] puts the beats that it could not store into a file of its own in the directory that the
// servers share, and reads those of the others. While all goes well there are no files.
//
// What is told is that an attempt was heard, and nothing that lasts: it settles no attempt, and
// saves none that is over for another reason than silence.
//
// The package may import, of ours, domain only.
package hearsay
