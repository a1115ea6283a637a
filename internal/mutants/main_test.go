package mutants

import (
	"os"
	"testing"

	"github.com/neochaotic/leoflow/internal/testbed"
)

func TestMain(m *testing.M) {
	testbed.MaybeChild()
	os.Exit(m.Run())
}
