package specdiff

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

// options maps the path of each option's field to its value as text.
type options map[string]string

// flatten gathers the options of everything in a set.
func flatten(set *descriptorpb.FileDescriptorSet) options {
	out := options{}
	for _, file := range set.GetFile() {
		pkg := file.GetPackage()
		out.read(file.GetName(), file.GetOptions())
		out.readMessages(pkg, file.GetMessageType())
		out.readEnums(pkg, file.GetEnumType())
		for _, service := range file.GetService() {
			name := join(pkg, service.GetName())
			out.read(name, service.GetOptions())
			for _, method := range service.GetMethod() {
				out.read(join(name, method.GetName()), method.GetOptions())
			}
		}
	}
	return out
}

func (o options) readMessages(scope string, messages []*descriptorpb.DescriptorProto) {
	for _, message := range messages {
		name := join(scope, message.GetName())
		o.read(name, message.GetOptions())
		for _, field := range message.GetField() {
			o.read(join(name, field.GetName()), field.GetOptions())
		}
		for _, oneof := range message.GetOneofDecl() {
			o.read(join(name, oneof.GetName()), oneof.GetOptions())
		}
		o.readMessages(name, message.GetNestedType())
		o.readEnums(name, message.GetEnumType())
	}
}

func (o options) readEnums(scope string, enums []*descriptorpb.EnumDescriptorProto) {
	for _, enum := range enums {
		name := join(scope, enum.GetName())
		o.read(name, enum.GetOptions())
		for _, value := range enum.GetValue() {
			o.read(join(name, value.GetName()), value.GetOptions())
		}
	}
}

// read takes the custom options of one element. What protobuf itself defines, such
// as `deprecated`, is left to buf.
func (o options) read(element string, carrier proto.Message) {
	m := carrier.ProtoReflect()
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if fd.IsExtension() {
			o.readField(fmt.Sprintf("%s [%s]", element, fd.FullName()), fd, v)
		}
		return true
	})
	if unknown := m.GetUnknown(); len(unknown) > 0 {
		o[element+" [not linked in]"] = fmt.Sprintf("%x", []byte(unknown))
	}
}

func (o options) readField(path string, fd protoreflect.FieldDescriptor, v protoreflect.Value) {
	switch {
	case fd.IsMap():
		v.Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
			o.readField(fmt.Sprintf("%s[%q]", path, k), fd.MapValue(), v)
			return true
		})
	case fd.Message() != nil && !fd.IsList():
		o.readMessage(path, v.Message())
	default:
		o[path] = text(fd, v)
	}
}

// readMessage notes every field of an option that is a message; an empty one is
// noted itself, for its presence has a meaning.
func (o options) readMessage(path string, m protoreflect.Message) {
	empty := true
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		empty = false
		o.readField(path+"."+string(fd.Name()), fd, v)
		return true
	})
	if unknown := m.GetUnknown(); len(unknown) > 0 {
		empty = false
		o[path+".(unknown)"] = fmt.Sprintf("%x", []byte(unknown))
	}
	if empty {
		o[path] = "{}"
	}
}

// text writes a value: a list in its order, an enum by name, a nested message in
// full.
func text(fd protoreflect.FieldDescriptor, v protoreflect.Value) string {
	if fd.IsList() {
		list := v.List()
		items := make([]string, list.Len())
		for i := range items {
			items[i] = single(fd, list.Get(i))
		}
		return "[" + strings.Join(items, ", ") + "]"
	}
	return single(fd, v)
}

func single(fd protoreflect.FieldDescriptor, v protoreflect.Value) string {
	switch fd.Kind() {
	case protoreflect.EnumKind:
		if value := fd.Enum().Values().ByNumber(v.Enum()); value != nil {
			return string(value.Name())
		}
		return fmt.Sprint(v.Enum())
	case protoreflect.StringKind:
		return fmt.Sprintf("%q", v.String())
	case protoreflect.BytesKind:
		return fmt.Sprintf("%x", v.Bytes())
	case protoreflect.MessageKind, protoreflect.GroupKind:
		nested := options{}
		nested.readMessage("", v.Message())
		return fmt.Sprint(map[string]string(nested))
	default:
		return v.String()
	}
}

func join(scope, name string) string {
	if scope == "" {
		return name
	}
	return scope + "." + name
}
