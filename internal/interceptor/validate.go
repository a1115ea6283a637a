package interceptor

import (
	"fmt"
	"strings"
	"unicode"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/proto"

	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/rpcstatus"
)

// validatable is what protoc-gen-validate generates for a message.
type validatable interface{ ValidateAll() error }

// Validate holds a message against the rules of its proto, unless the chain has
// (ERR-3). A message without generated validation is a fault of ours and refused.
func (g *Guard) Validate(call *Call, message any) error {
	if call.validated {
		return nil
	}
	return validate(message)
}

func validate(message any) error {
	m, ok := message.(validatable)
	if !ok {
		return fmt.Errorf("message %T has no ValidateAll", message)
	}
	if pm, ok := message.(proto.Message); ok && !pm.ProtoReflect().IsValid() {
		// None at all reads as an empty one, and so is held against the same rules.
		return validate(pm.ProtoReflect().New().Interface())
	}
	err := m.ValidateAll()
	if err == nil {
		return nil
	}
	found := violations("", err)
	return rpcstatus.Invalid(err, found[:min(len(found), maxViolations)]...)
}

// What an error tells of the request is bounded: it travels as metadata, of which a
// client may take no more than 8 KiB.
const (
	maxViolations = 10
	maxFieldBytes = 100
)

// protoPath is a path of generated names as the proto spells them, cut where a
// map key makes it long: Tasks[0] is tasks[0], TaskId task_id.
func protoPath(field string) string {
	name, index, indexed := strings.Cut(field, "[")
	var out strings.Builder
	for i, c := range name {
		if i > 0 && unicode.IsUpper(c) {
			out.WriteByte('_')
		}
		out.WriteRune(unicode.ToLower(c))
	}
	if indexed {
		out.WriteString("[" + index)
	}
	return domain.CutString(out.String(), maxFieldBytes)
}

// violations flattens a validation error into one entry a field, each with its
// full path.
func violations(prefix string, err error) []*errdetails.BadRequest_FieldViolation {
	if multi, ok := err.(interface{ AllErrors() []error }); ok {
		var out []*errdetails.BadRequest_FieldViolation
		for _, one := range multi.AllErrors() {
			out = append(out, violations(prefix, one)...)
		}
		return out
	}
	one, ok := err.(interface { // generated errors are never wrapped
		Field() string
		Reason() string
		Cause() error
	})
	if !ok {
		return []*errdetails.BadRequest_FieldViolation{{Field: prefix, Description: err.Error()}}
	}
	path := protoPath(one.Field())
	if prefix != "" {
		path = prefix + "." + path
	}
	if cause := one.Cause(); cause != nil {
		return violations(path, cause)
	}
	return []*errdetails.BadRequest_FieldViolation{{Field: path, Description: one.Reason()}}
}
