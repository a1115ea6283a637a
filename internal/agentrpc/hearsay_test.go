package agentrpc

import (
	"errors"
	"slices"
	"testing"

	"github.com/neochaotic/leoflow/internal/domain"
)

// heard are the attempts that were told to have been heard.
type heard []domain.AttemptRef

func (h *heard) Heard(ref domain.AttemptRef) { *h = append(*h, ref) }

// TestBeat5ABeatWithoutTheStoresWordIsTold, and no other: of who lives the stamp tells, and
// who does not is not kept alive.
func TestBeat5ABeatWithoutTheStoresWordIsTold(t *testing.T) {
	var told heard
	r := newRig()
	r.SetHearsay(&told)
	for _, err := range []error{nil, domain.ErrFinished, domain.ErrCancelled, domain.ErrUnknown} {
		r.fail("RecordHeartbeat", err)
		r.beat(t, good(t))
		if len(told) != 0 {
			t.Fatalf("with the word %v: told %v", err, told)
		}
	}
	r.fail("RecordHeartbeat", errors.New("away"))
	r.beat(t, good(t))
	if want := testIdentity.Attempt(); !slices.Equal(told, heard{want}) {
		t.Errorf("told %v, want %v", told, want)
	}
}
