package logs

import (
	"cmp"
	"slices"
	"sort"
)

// maxSpans bounds what is remembered of a stream's holes. Beyond it the highest
// two are taken for one, stored numbers between them included: a line sent again
// there may be kept twice, but none is lost.
const maxSpans = 64

// span is a range of numbers, both ends included.
type span struct {
	Lo int64 `json:"lo"`
	Hi int64 `json:"hi"`
}

// spans is a set of numbers as ascending ranges.
type spans []span

// add appends a range above all others.
func (s *spans) add(lo, hi int64) {
	*s = append(*s, span{lo, hi})
	s.bound()
}

func (s *spans) bound() {
	if n := len(*s); n > maxSpans {
		(*s)[n-2].Hi = (*s)[n-1].Hi
		*s = (*s)[:n-1]
	}
}

func (s spans) find(n int64) (int, bool) {
	i := sort.Search(len(s), func(i int) bool { return s[i].Hi >= n })
	return i, i < len(s) && s[i].Lo <= n
}

// remove takes n out and reports whether it was in.
func (s *spans) remove(n int64) bool {
	i, ok := s.find(n)
	if !ok {
		return false
	}
	switch r := (*s)[i]; {
	case r.Lo == r.Hi:
		*s = slices.Delete(*s, i, i+1)
	case n == r.Lo:
		(*s)[i].Lo = n + 1
	case n == r.Hi:
		(*s)[i].Hi = n - 1
	default:
		(*s)[i].Hi = n - 1
		*s = slices.Insert(*s, i+1, span{n + 1, r.Hi})
		s.bound()
	}
	return true
}

// streamState is the numbering of a stream: what is read back when a log is opened.
type streamState struct {
	Name    string `json:"name"`
	Session uint64 `json:"session,string"`
	Max     int64  `json:"max"`     // the highest number stored or marked missing
	Missing spans  `json:"missing"` // numbers under Max that are not stored
}

// through is the last number of the prefix without a hole (LOG-4).
func (s *streamState) through() int64 {
	if len(s.Missing) > 0 {
		return s.Missing[0].Lo - 1
	}
	return s.Max
}

// has reports whether number n is stored.
func (s *streamState) has(n int64) bool {
	_, missing := s.Missing.find(n)
	return n <= s.Max && !missing
}

// skip marks all numbers up to n as missing.
func (s *streamState) skip(n int64) {
	if n > s.Max {
		s.Missing.add(s.Max+1, n)
		s.Max = n
	}
}

// apply repeats a stored record on the state.
func (s *streamState) apply(rec *stored) {
	switch {
	case rec.Mark == MarkRestart:
		*s = streamState{Name: s.Name, Session: rec.Session}
	case rec.Mark == MarkGap:
		s.skip(rec.Through)
	case rec.Mark == "" && rec.Number > 0:
		s.skip(rec.Number - 1)
		if rec.Number > s.Max {
			s.Max = rec.Number
		} else {
			s.Missing.remove(rec.Number)
		}
		if rec.Session != 0 {
			s.Session = rec.Session
		}
	}
}

// heldLine is an encoded line that waits above a hole.
type heldLine struct {
	number int64
	raw    []byte
}

// stream is a stream of an open log. The log's lock guards it.
type stream struct {
	streamState
	epoch   int        // counts the restarts, so that an ack of before one is told apart
	durable int64      // through() as of the last sync
	held    []heldLine // ascending, above Max+1: the reordering buffer
	dirty   bool       // in attemptLog.dirty

	// Of the current call.
	caller  *writer // whose call it is; the fields below are its
	slot    int     // in caller.acks
	begun   bool    // a numbered line came
	decided bool    // it is known whether the numbers go on from the stored ones (LOG-3)
	before  int64   // Max when the call began: what other calls stored
	highest int64   // the highest number that came
}

func newStream(state streamState) *stream {
	return &stream{streamState: state, durable: state.through()}
}

// started reports whether the stream holds numbers of some process.
func (s *stream) started() bool { return s.Max > 0 || len(s.held) > 0 }

// ackable is how much of through may be acknowledged to the call. As long as the
// call might be a new process's, nothing is that it has not sent itself.
func (s *stream) ackable(through int64) int64 {
	switch {
	case !s.begun:
		return 0
	case !s.decided:
		return min(through, s.highest)
	}
	return through
}

// hold puts a line into the reordering buffer, unless its number is there already.
func (s *stream) hold(number int64, raw []byte) bool {
	i, found := slices.BinarySearchFunc(s.held, number, func(h heldLine, n int64) int {
		return cmp.Compare(h.number, n)
	})
	if found {
		return false
	}
	s.held = slices.Insert(s.held, i, heldLine{number, raw})
	return true
}
