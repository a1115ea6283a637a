package policy

import (
	policyv1 "github.com/neochaotic/leoflow/gen/leoflow/policy/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
)

// Redacted is what stands in a redacted message for a sensitive text.
const Redacted = "[redacted]"

// Sensitive reports whether the spec marks a field as holding a secret or a token (AUTH-8).
func Sensitive(fd protoreflect.FieldDescriptor) bool {
	sensitive, _ := proto.GetExtension(fd.Options(), policyv1.E_Sensitive).(bool)
	return sensitive
}

// Redact returns a deep copy of m that may be logged (AUTH-8): sensitive texts read
// [Redacted], other sensitive values are cleared, at every depth. The keys of a
// sensitive map stay, for they are names; what this program does not know, unknown
// fields and Any messages of other types, is left out.
func Redact(m proto.Message) proto.Message {
	if m == nil {
		return nil
	}
	out := proto.Clone(m)
	redactMessage(out.ProtoReflect())
	return out
}

func redactMessage(m protoreflect.Message) {
	if !m.IsValid() {
		return
	}
	if packed, ok := m.Interface().(*anypb.Any); ok {
		redactAny(packed)
	}
	m.SetUnknown(nil)
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch sensitive := Sensitive(fd); {
		case fd.IsMap():
			redactMap(fd.MapValue(), v.Map(), sensitive)
		case fd.IsList():
			redactList(fd, v.List(), sensitive)
		case sensitive:
			redactField(m, fd)
		case fd.Message() != nil:
			redactMessage(v.Message())
		}
		return true
	})
}

func redactField(m protoreflect.Message, fd protoreflect.FieldDescriptor) {
	if v := redactedText(fd); v.IsValid() {
		m.Set(fd, v)
		return
	}
	m.Clear(fd)
}

func redactMap(value protoreflect.FieldDescriptor, entries protoreflect.Map, sensitive bool) {
	entries.Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
		switch {
		case sensitive:
			entries.Set(k, orElse(redactedText(value), entries.NewValue))
		case value.Message() != nil:
			redactMessage(v.Message())
		}
		return true
	})
}

func redactList(fd protoreflect.FieldDescriptor, list protoreflect.List, sensitive bool) {
	for i := range list.Len() {
		switch {
		case sensitive:
			list.Set(i, orElse(redactedText(fd), list.NewElement))
		case fd.Message() != nil:
			redactMessage(list.Get(i).Message())
		}
	}
}

// redactAny redacts inside a packed message, and empties one that it cannot open.
func redactAny(packed *anypb.Any) {
	inner, err := packed.UnmarshalNew()
	if err == nil {
		redactMessage(inner.ProtoReflect())
		err = packed.MarshalFrom(inner)
	}
	if err != nil {
		packed.Value = nil
	}
}

// redactedText is what a sensitive text becomes; invalid for what is no text.
func redactedText(fd protoreflect.FieldDescriptor) protoreflect.Value {
	switch fd.Kind() {
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(Redacted)
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte(Redacted))
	default:
		return protoreflect.Value{}
	}
}

func orElse(v protoreflect.Value, zero func() protoreflect.Value) protoreflect.Value {
	if v.IsValid() {
		return v
	}
	return zero()
}
