package interceptor

import (
	"fmt"

	"google.golang.org/genproto/googleapis/rpc/errdetails"

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
	err := m.ValidateAll()
	if err == nil {
		return nil
	}
	return rpcstatus.Invalid(err, violations("", err)...)
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
	one, ok := err.(interface { //nolint:errorlint // generated errors are never wrapped
		Field() string
		Reason() string
		Cause() error
	})
	if !ok {
		return []*errdetails.BadRequest_FieldViolation{{Field: prefix, Description: err.Error()}}
	}
	path := one.Field()
	if prefix != "" {
		path = prefix + "." + path
	}
	if cause := one.Cause(); cause != nil {
		return violations(path, cause)
	}
	return []*errdetails.BadRequest_FieldViolation{{Field: path, Description: one.Reason()}}
}
