package store

import (
	"maps"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/neochaotic/leoflow/ent"
	"github.com/neochaotic/leoflow/internal/domain"
)

// maxCounts is how many runs are remembered, of some hundreds of bytes each.
const maxCounts = 4096

// counts remembers how many tasks of runs are in which state. Every change of a task's state
// takes the run's next revision in the same transaction (record, deeds), so that what was
// counted at a revision holds as long as the run has it, whoever changes it.
type counts struct {
	mu    sync.Mutex
	known *simplelru.LRU[countKey, counted]
}

// countKey names a run.
type countKey struct {
	tenant string
	runPk  int64
}

// counted is what was counted at a revision. It is not changed any more.
type counted struct {
	revision int64
	tasks    map[domain.TaskState]int
}

func newCounts(limit int) *counts {
	known, _ := simplelru.NewLRU[countKey, counted](limit, nil) // it refuses sizes of 0 alone
	return &counts{known: known}
}

// get returns a copy of what was counted of the run as it is in row.
func (c *counts) get(row *ent.Run) (map[domain.TaskState]int, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	got, ok := c.known.Get(countKey{row.Tenant, row.ID})
	if !ok || got.revision != row.Revision {
		return nil, false
	}
	return maps.Clone(got.tasks), true
}

// put remembers what was counted in the transaction that read row.
func (c *counts) put(row *ent.Run, tasks map[domain.TaskState]int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known.Add(countKey{row.Tenant, row.ID}, counted{row.Revision, maps.Clone(tasks)})
}
