package store

import (
	"math"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/neochaotic/leoflow/internal/domain"
)

// maxSpecBytes is how much of specifications is remembered, as they are stored, and what
// an entry costs beside.
const (
	maxSpecBytes   = 64 << 20
	specEntryBytes = 1 << 10
)

// specs remembers specifications by their attempts, with every identifier of those, the
// tenant among them. They never change (SPEC-2), and no attempt that had one loses it.
type specs struct {
	mu    sync.Mutex
	known *simplelru.LRU[domain.AttemptRef, spec]
	bytes int
	limit int
}

type spec struct {
	domain.TaskSpec
	bytes int
}

func newSpecs(limit int) *specs {
	s := &specs{limit: limit}
	s.known, _ = simplelru.NewLRU(math.MaxInt, func(_ domain.AttemptRef, old spec) { s.bytes -= old.bytes }) // it refuses sizes of 0 alone
	return s
}

func (s *specs) get(ref domain.AttemptRef) (domain.TaskSpec, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	got, ok := s.known.Get(ref)
	return got.TaskSpec, ok
}

// put remembers one that takes so many bytes, and forgets those that nobody has asked
// for of late.
func (s *specs) put(ref domain.AttemptRef, one domain.TaskSpec, bytes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known.Remove(ref)
	bytes += specEntryBytes
	s.known.Add(ref, spec{one, bytes})
	for s.bytes += bytes; s.bytes > s.limit; {
		s.known.RemoveOldest()
	}
}
