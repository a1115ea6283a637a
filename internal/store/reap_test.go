package store

import (
	"strconv"
	"testing"

	"github.com/neochaotic/leoflow/internal/domain"
)

// TestBeat5ALookSeesEachOfManyOnce: of more attempts than one statement reads, some of
// which have ended.
func TestBeat5ALookSeesEachOfManyOnce(t *testing.T) {
	onEachAlone(t, func(t *testing.T, place Config) {
		b := newBroken(t, place)
		const many = 2*liveAtOnce + 10
		b.exec(t, `INSERT INTO attempts (instance_id, try, tenant, run_pk, dag_id, run_id, task_id, timeout_seconds, state, queued_at, task_pk)
			WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < `+strconv.Itoa(many)+`)
			SELECT instance_id, i, tenant, run_pk, dag_id, run_id, task_id, timeout_seconds, state, queued_at, task_pk FROM attempts, n WHERE try = 1`)
		b.exec(t, `UPDATE attempts SET state = 'failed', ended_at = 1 WHERE try % 7 = 1`)
		seen := map[int]int{}
		next, err := b.LiveAttempts(t.Context(), 0, func(a domain.Attempt, _ bool) { seen[a.Ref.TryNumber]++ })
		if err != nil {
			t.Fatal(err)
		}
		for try := 1; try <= many; try++ {
			want := 1
			if try%7 == 1 {
				want = 0
			}
			if seen[try] != want {
				t.Errorf("try %d was seen %d times, want %d", try, seen[try], want)
			}
		}
		again := 0
		if _, err := b.LiveAttempts(t.Context(), next, func(domain.Attempt, bool) { again++ }); err != nil || again != len(seen) {
			t.Errorf("the next look sees %d of %d: %v", again, len(seen), err)
		}
	})
}
