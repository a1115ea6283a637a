package suite

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"

	policyv1 "github.com/neochaotic/leoflow/gen/leoflow/policy/v1"

	"github.com/neochaotic/leoflow/conformance/catalogue"
)

// redacted stands where a token or a secret was.
const redacted = "[redacted]"

// maxText is how much of one message the evidence keeps, in bytes.
const maxText = 4 << 10

// Step is something that a check did or saw, as the check tells it.
type Step struct {
	// What says it in a line.
	What string
	// RPC is the method of the messages; empty: none.
	RPC catalogue.RPC
	// Sent is what went to the system, and Received what came from it; nil: nothing did.
	Sent, Received proto.Message
	// Err is how a call ended, if not well.
	Err error
}

// Event is a step as the evidence keeps it: without tokens and secrets (AUTH-8).
type Event struct {
	// At is when, since the check began.
	At       time.Duration
	What     string
	RPC      catalogue.RPC
	Sent     string // protobuf's JSON, cut at 4 KiB
	Received string // likewise
	Code     string // of a call that failed, such as NotFound
	Error    string // its message and details
}

// event keeps a step. What is cut was hidden before: half a token is one too many.
func (s Step) event(at time.Duration, all func(string) string) Event {
	hide := func(text string) string { return cut(all(text)) }
	e := Event{At: at, What: hide(s.What), RPC: s.RPC, Sent: hide(text(s.Sent)), Received: hide(text(s.Received))}
	if s.Err != nil {
		st, isStatus := status.FromError(s.Err)
		if !isStatus {
			e.Error = hide(s.Err.Error())
			return e
		}
		e.Code, e.Error = st.Code().String(), st.Message()
		if details := st.Proto().GetDetails(); len(details) > 0 {
			var words []string
			for _, d := range details {
				words = append(words, text(d))
			}
			e.Error += " " + strings.Join(words, " ")
		}
		e.Error = hide(e.Error)
	}
	return e
}

// text is a message as one line of JSON without what the spec marks as sensitive.
func text(m proto.Message) string {
	if m == nil || !m.ProtoReflect().IsValid() {
		return ""
	}
	m = proto.Clone(m)
	hideSensitive(m.ProtoReflect())
	long, err := protojson.Marshal(m)
	if err != nil {
		return fmt.Sprintf("a %s that is no JSON", m.ProtoReflect().Descriptor().FullName())
	}
	var line bytes.Buffer
	if json.Compact(&line, long) != nil {
		return string(long)
	}
	return line.String()
}

// cut shortens a text to what evidence keeps.
func cut(s string) string {
	if len(s) <= maxText {
		return s
	}
	return fmt.Sprintf("%s… (%d bytes)", begin(s, maxText), len(s))
}

// begin is the begin of a text of so many bytes at most, up to a character's boundary.
func begin(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most]
}

// hideSensitive redacts, at every depth, the fields that the protos mark as sensitive.
// Keys of a map stay: they are names.
func hideSensitive(m protoreflect.Message) {
	if packed, ok := m.Interface().(*anypb.Any); ok {
		if inner, err := packed.UnmarshalNew(); err == nil {
			hideSensitive(inner.ProtoReflect())
			_ = packed.MarshalFrom(inner) // what could be read can be written
		}
		return
	}
	m.Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		sensitive, _ := proto.GetExtension(field.Options(), policyv1.E_Sensitive).(bool)
		switch {
		case field.IsMap():
			entries := v.Map()
			entries.Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
				if sensitive && field.MapValue().Kind() == protoreflect.StringKind {
					entries.Set(k, protoreflect.ValueOfString(redacted))
				} else if field.MapValue().Message() != nil {
					hideSensitive(v.Message())
				}
				return true
			})
		case sensitive && !field.IsList() && field.Kind() == protoreflect.StringKind:
			m.Set(field, protoreflect.ValueOfString(redacted))
		case sensitive:
			m.Clear(field)
		case field.IsList() && field.Message() != nil:
			for i := range v.List().Len() {
				hideSensitive(v.List().Get(i).Message())
			}
		case field.Message() != nil && !field.IsList():
			hideSensitive(v.Message())
		}
		return true
	})
}
