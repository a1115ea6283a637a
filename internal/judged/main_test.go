package judged

import (
	"os"
	"testing"

	"github.com/neochaotic/leoflow/internal/testbed"
)

// TestMain: the servers on the bench are processes of this program.
func TestMain(m *testing.M) {
	testbed.MaybeChild()
	os.Exit(m.Run())
}
