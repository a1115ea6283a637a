package controlrpc

import (
	"fmt"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/secrets"
)

func scopeToProto(scope secrets.Scope) (controlv1.SecretScope, error) {
	switch scope {
	case secrets.ScopeTenant:
		return controlv1.SecretScope_SECRET_SCOPE_TENANT, nil
	case secrets.ScopeDeclared:
		return controlv1.SecretScope_SECRET_SCOPE_DECLARED, nil
	}
	return 0, fmt.Errorf("no scope on the wire for %q", scope)
}

func scopeFromProto(scope controlv1.SecretScope) (secrets.Scope, error) {
	switch scope { //nolint:exhaustive // UNSPECIFIED is none
	case controlv1.SecretScope_SECRET_SCOPE_TENANT:
		return secrets.ScopeTenant, nil
	case controlv1.SecretScope_SECRET_SCOPE_DECLARED:
		return secrets.ScopeDeclared, nil
	}
	return "", fmt.Errorf("validation let the scope %v through", scope)
}
