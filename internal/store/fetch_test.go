package store

import (
	"testing"
	"time"

	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/xcom"
)

// TestXCom4AValueOfAnotherRunIsThatRuns has tasks of one name push in two runs, and an
// attempt of one of them ask for both.
func TestXCom4AValueOfAnotherRunIsThatRuns(t *testing.T) {
	OnEachWay(t, func(t *testing.T, fresh func(testing.TB) Config) {
		s := mustOpen(t, fresh(t))
		now := time.Now()
		runs := []domain.RunKey{{DagID: "d", RunID: "1"}, {DagID: "d", RunID: "2"}, {DagID: "e", RunID: "1"}}
		ids := make([]auth.AgentIdentity, len(runs))
		for i, run := range runs {
			if _, _, err := s.CreateRun(as("a"), domain.NewRun{RunKey: run, Tasks: []domain.TaskDefinition{{TaskID: "x"}}}); err != nil {
				t.Fatal(err)
			}
			a, err := s.LaunchAttempt(as("a"), domain.TaskKey{RunKey: run, TaskID: "x"}, domain.NewAttempt{Try: 1})
			if err != nil {
				t.Fatal(err)
			}
			ids[i] = auth.IdentityOf(a.Ref)
			value := xcom.Entry{Value: []byte(run.DagID + run.RunID), CreatedAt: now}
			if err := s.PutXCom(as("a"), a.Ref, "k", value, now.Add(time.Hour)); err != nil {
				t.Fatal(err)
			}
		}
		by := ids[0].Attempt()
		for _, of := range runs {
			got, err := s.GetXCom(as("a"), xcom.Key{TenantID: "a", DagID: of.DagID, RunID: of.RunID, TaskID: "x", Name: "k"}, &by, now)
			if want := of.DagID + of.RunID; err != nil || string(got.Value) != want {
				t.Errorf("got %q, %v; want %q", got.Value, err, want)
			}
		}
	})
}
