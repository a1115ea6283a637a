package store

import (
	"errors"
	"testing"

	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
)

// TestBeat3APromptHeartbeatDecidesNothingOfAnEnd: why an attempt is not live is for
// LoneHeartbeat to say.
func TestBeat3APromptHeartbeatDecidesNothingOfAnEnd(t *testing.T) {
	onCrowd(t, 2, func(t *testing.T, c crowd) {
		live, ended := c.ids[0], c.ids[1]
		if err := c.ReportState(as("a"), ended, domain.TaskStateFailed, 1, ""); err != nil {
			t.Fatal(err)
		}
		unknown := live
		unknown.TryNumber = 7
		ask := func(tenant string, id auth.AgentIdentity) (decided bool, err error) {
			err = inTime(func() (err error) { decided, err = c.PromptHeartbeat(as(tenant), id); return err })
			return decided, err
		}
		if decided, err := ask("a", live); decided != (c.Store.beats != nil) || err != nil {
			t.Errorf("of a live attempt: %v, %v", decided, err)
		}
		for what, id := range map[string]auth.AgentIdentity{"an ended": ended, "an unknown": unknown} {
			if decided, err := ask("a", id); decided || err != nil {
				t.Errorf("of %s attempt: %v, %v", what, decided, err)
			}
		}
		if decided, err := ask("b", live); c.Store.beats != nil && (!decided || !errors.Is(err, domain.ErrNoTenant)) {
			t.Errorf("in another tenant's name: %v, %v", decided, err)
		}
	})
}
