package logs

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/neochaotic/leoflow/internal/domain"
)

// CutMark is what a line that was over the limit ends in (LOG-7).
const CutMark = "… [cut]"

// maxNumber is the largest number that counts; a larger one is taken as unnumbered,
// so that arithmetic on numbers never overflows.
const maxNumber = int64(1) << 62

// prepare makes a record of a line: valid UTF-8, within the limits, with a time
// that can be stored.
func prepare(line Line, now func() time.Time) Record {
	rec := Record{Event: line.Event, Number: line.Number, Session: line.Session}
	if rec.Time.IsZero() {
		rec.Time = now()
	}
	rec.Time = clampTime(rec.Time)
	rec.Stream = domain.CutString(validText(rec.Stream), domain.MaxStreamNameBytes)
	rec.Level = domain.CutString(validText(rec.Level), domain.MaxStreamNameBytes)
	rec.Message = validText(rec.Message)
	rec.Message, rec.Cut = CutText(rec.Message)
	if rec.Number < 0 || rec.Number > maxNumber {
		rec.Number = 0
	}
	return rec
}

// CutText returns a line's text, and whether it had to be cut: what is too long ends
// with [CutMark], within the limit (LOG-7).
func CutText(text string) (cut string, was bool) {
	if len(text) <= domain.MaxLogLineBytes {
		return text, false
	}
	return domain.CutString(text, domain.MaxLogLineBytes-len(CutMark)) + CutMark, true
}

// validText comes before any cut: only in valid text is there a boundary to cut at.
func validText(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// clampTime brings t into the years that RFC 3339 can write.
func clampTime(t time.Time) time.Time {
	t = t.UTC()
	switch y := t.Year(); {
	case y < 1:
		return time.Time{}.Add(1) // not the zero time, which no record has
	case y > 9999:
		return time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC)
	}
	return t
}

// markHead is the record that a segment after the first begins with: the
// numbering of every stream up to there. Readers never see it.
const markHead = "head"

// stored is a record as decoded from its JSON line.
type stored struct {
	Mark    string        `json:"mark"`
	Stream  string        `json:"stream"`
	Number  int64         `json:"n"`
	Session uint64        `json:"session,string"`
	Through int64         `json:"through"`
	Time    time.Time     `json:"time"`
	Level   string        `json:"level"`
	Message string        `json:"message"`
	Cut     bool          `json:"cut"`
	Streams []streamState `json:"streams"`
}

var errNoRecord = errors.New("not a record")

func decode(line []byte) (stored, error) {
	var s stored
	if err := json.Unmarshal(line, &s); err != nil {
		return s, err
	}
	if !s.hidden() && s.Time.IsZero() {
		return s, errNoRecord // {} and null are JSON, too
	}
	return s, nil
}

// hidden reports whether it is of the log's own making, and no reader's business.
func (s *stored) hidden() bool { return s.Mark == markHead || s.Mark == markSeal }

func (s *stored) record(next int64) Record {
	return Record{
		Event:  Event{Time: s.Time, Level: s.Level, Stream: s.Stream, Message: s.Message},
		Number: s.Number, Session: s.Session, Mark: s.Mark, GapThrough: s.Through, Cut: s.Cut, Next: next,
	}
}

// appendRecord appends the JSON line of rec. The order of the fields is fixed:
// linePrefix and restartPrefix rely on it.
func appendRecord(b []byte, rec *Record) []byte {
	b = append(b, '{')
	if rec.Mark != "" {
		b = append(b, `"mark":`...)
		b = appendString(b, rec.Mark)
		b = append(b, ',')
	}
	b = append(b, `"stream":`...)
	b = appendString(b, rec.Stream)
	if rec.Number != 0 {
		b = append(b, `,"n":`...)
		b = strconv.AppendInt(b, rec.Number, 10)
	}
	if rec.Session != 0 {
		b = append(b, `,"session":"`...)
		b = strconv.AppendUint(b, rec.Session, 10)
		b = append(b, '"')
	}
	if rec.GapThrough != 0 {
		b = append(b, `,"through":`...)
		b = strconv.AppendInt(b, rec.GapThrough, 10)
	}
	b = append(b, `,"time":"`...)
	b = rec.Time.AppendFormat(b, time.RFC3339Nano)
	b = append(b, `","level":`...)
	b = appendString(b, rec.Level)
	b = append(b, `,"message":`...)
	b = appendString(b, rec.Message)
	if rec.Cut {
		b = append(b, `,"cut":true`...)
	}
	return append(b, '}', '\n')
}

// linePrefix is what the line of a stream's number begins with.
func linePrefix(stream string, number int64) []byte {
	b := appendString([]byte(`{"stream":`), stream)
	b = strconv.AppendInt(append(b, `,"n":`...), number, 10)
	return append(b, ',')
}

// restartPrefix is what a restart mark of a stream begins with.
func restartPrefix(stream string) []byte {
	return append(appendString([]byte(`{"mark":"restart","stream":`), stream), ',')
}

func appendHead(b []byte, streams []streamState) ([]byte, error) {
	state, err := json.Marshal(streams)
	if err != nil {
		return b, err
	}
	b = append(b, `{"mark":"head","streams":`...)
	b = append(b, state...)
	return append(b, '}', '\n'), nil
}

// appendString appends s as a JSON string. Besides what JSON asks for, it escapes
// every control character, so that even the raw file steers no terminal (LOG-8).
func appendString(b []byte, s string) []byte {
	const digits = "0123456789abcdef"
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c < 0x7F && c != '"' && c != '\\' {
			i++
			continue
		}
		width, code := 1, rune(c)
		if c >= utf8.RuneSelf {
			code, width = utf8.DecodeRuneInString(s[i:])
			if !escaped(code, width) {
				i += width
				continue
			}
		}
		b = append(b, s[start:i]...)
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c == '\n':
			b = append(b, '\\', 'n')
		case c == '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, '\\', 'u', digits[code>>12&15], digits[code>>8&15], digits[code>>4&15], digits[code&15])
		}
		i += width
		start = i
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}

// escaped reports whether a character beyond ASCII is written as an escape: an
// invalid byte, a C1 control, or a Unicode line or paragraph separator.
func escaped(r rune, width int) bool {
	return r == utf8.RuneError && width == 1 || r >= 0x80 && r < 0xA0 || r == '\u2028' || r == '\u2029'
}
