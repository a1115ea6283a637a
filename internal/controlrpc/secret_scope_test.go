package controlrpc

import (
	"testing"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
)

func TestSecret3EveryScopeOfTheWireIsOneOfTheStore(t *testing.T) {
	for number, name := range controlv1.SecretScope_name {
		wire := controlv1.SecretScope(number)
		scope, err := scopeFromProto(wire)
		if wire == controlv1.SecretScope_SECRET_SCOPE_UNSPECIFIED {
			if err == nil {
				t.Errorf("%s is the scope %q", name, scope)
			}
			continue
		}
		if back, errBack := scopeToProto(scope); err != nil || errBack != nil || back != wire || !scope.Valid() {
			t.Errorf("%s is %q (%v), and back %v (%v)", name, scope, err, back, errBack)
		}
	}
	if got, err := scopeToProto("odd"); err == nil {
		t.Errorf("a scope that is none is %v", got)
	}
}
