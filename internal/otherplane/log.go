package otherplane

import (
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
)

const (
	lineMax   = 64 << 10
	streamMax = 64
	cutMark   = " [...]"
)

// log is what is durable of an attempt's log, in the order in which it is read.
type log struct {
	entries  []entry
	sections map[string]*section // of each stream, the latest
	session  uint64              // of the lines that came last; 0: they named none
}

// section is what one process of an agent numbered in one stream.
type section struct {
	lines   map[int64]*agentv1.LogLine // as they were sent
	through int64                      // the end of the prefix without a hole
	last    int64                      // the highest number
	shown   int64                      // a hole below this number shows as a gap
}

type entry struct {
	record  *controlv1.LogRecord
	section *section // nil: the record has no number
}

// memory is what one call knows of the streams of its lines: those whose numbers it has
// compared with what is there.
type memory map[string]bool

// add takes in one line. With resume it tells lines that are sent again from those of a
// process that was restarted; without, every call that counts anew is such a process.
func (l *log) add(line *agentv1.LogLine, seen memory, now time.Time, resume bool) {
	stream := streamOf(line)
	record := recordOf(line, now)
	if record.GetLineNumber() == 0 {
		l.entries = append(l.entries, entry{record: record})
		return
	}
	s := l.sectionOf(line, seen, now, resume)
	n := record.GetLineNumber()
	if s.lines[n] != nil {
		return
	}
	s.lines[n] = line
	for s.lines[s.through+1] != nil {
		s.through++
	}
	at := len(l.entries)
	if n < s.last { // it fills a hole: it goes before those that came too early
		for i := at - 1; i >= 0; i-- {
			if e := l.entries[i]; e.section == s && e.record.GetLineNumber() > n {
				at = i
			}
		}
	}
	s.last = max(s.last, n)
	record.Stream = stream
	l.entries = slices.Insert(l.entries, at, entry{record, s})
}

// sectionOf finds where a numbered line belongs.
func (l *log) sectionOf(line *agentv1.LogLine, seen memory, now time.Time, resume bool) *section {
	stream, session := streamOf(line), line.GetSession()
	if resume && session != 0 {
		if l.session != 0 && l.session != session {
			for name := range l.sections {
				l.restart(name)
			}
			l.mark("", now)
		}
		l.session = session
	} else if s := l.sections[stream]; s != nil && !seen[stream] && line.GetLineNumber() <= s.last {
		there := s.lines[line.GetLineNumber()]
		same := there != nil && there.GetMessage() == line.GetMessage() && proto.Equal(there.GetTime(), line.GetTime())
		if !resume || there != nil && !same {
			l.restart(stream)
			l.mark(stream, now)
		}
	}
	seen[stream] = true
	if l.sections[stream] == nil {
		if l.sections == nil {
			l.sections = map[string]*section{}
		}
		l.sections[stream] = &section{lines: map[int64]*agentv1.LogLine{}}
	}
	return l.sections[stream]
}

// restart ends a section: its process is gone, and its holes stay.
func (l *log) restart(stream string) {
	l.sections[stream].shown = l.sections[stream].last
	delete(l.sections, stream)
}

func (l *log) mark(stream string, now time.Time) {
	l.entries = append(l.entries, entry{record: &controlv1.LogRecord{
		Time: timestamppb.New(now), Stream: stream, Mark: controlv1.LogMark_LOG_MARK_RESTART, Message: "-- the agent began again --",
	}})
}

// callEnded has the holes that are still there show.
func (l *log) callEnded() {
	for _, s := range l.sections {
		s.shown = s.last
	}
}

// through is how far a stream may be acknowledged.
func (l *log) through(stream string) int64 {
	if s := l.sections[stream]; s != nil {
		return s.through
	}
	return 0
}

// read is the whole log, with the gaps that whoever reads it must see.
func (l *log) read() []*controlv1.LogRecord {
	out := make([]*controlv1.LogRecord, 0, len(l.entries))
	before := map[*section]int64{}
	for _, e := range l.entries {
		if n := e.record.GetLineNumber(); e.section != nil {
			if first := before[e.section] + 1; n > first && n <= e.section.shown {
				out = append(out, &controlv1.LogRecord{
					Time: e.record.GetTime(), Stream: e.record.GetStream(), Mark: controlv1.LogMark_LOG_MARK_GAP,
					LineNumber: first, GapThrough: n - 1, Message: "-- some lines never came --",
				})
			}
			before[e.section] = n
		}
		out = append(out, proto.CloneOf(e.record))
	}
	return out
}

func streamOf(line *agentv1.LogLine) string { return shortened(line.GetStream(), streamMax) }

// recordOf is a line as whoever reads the log sees it.
func recordOf(line *agentv1.LogLine, now time.Time) *controlv1.LogRecord {
	r := &controlv1.LogRecord{
		Time: line.GetTime(), Level: line.GetLevel(), Stream: streamOf(line), Message: line.GetMessage(), LineNumber: max(line.GetLineNumber(), 0),
	}
	if _, known := agentv1.LogLevel_name[int32(r.GetLevel())]; !known {
		r.Level = agentv1.LogLevel_LOG_LEVEL_UNSPECIFIED
	}
	if !r.GetTime().IsValid() || r.GetTime().AsTime().After(now.Add(time.Hour)) {
		r.Time = timestamppb.New(now)
	}
	if len(r.GetMessage()) > lineMax {
		r.Message, r.Cut = shortened(r.GetMessage(), lineMax)+cutMark, true
	}
	return r
}
