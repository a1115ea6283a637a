package agentrpc

import (
	"fmt"
	"slices"
	"testing"

	"github.com/neochaotic/leoflow/internal/domain"
)

// TestXCom5AMissingSpecificationIsNoMissingValue: an agent leaves an input that is not
// found unset, and would run its task without it.
func TestXCom5AMissingSpecificationIsNoMissingValue(t *testing.T) {
	for _, name := range []string{"FetchXCom", "PushXCom"} {
		r := equipped()
		r.fail("TaskSpec", fmt.Errorf("%s: %w", secret, domain.ErrNotFound))
		wantInternal(t, rpcNamed(name).call(good(t), r.Server))
		if slices.Contains(r.asked(), "Fetch") || slices.Contains(r.asked(), "Push") {
			t.Errorf("%s went on", name)
		}
	}
}
