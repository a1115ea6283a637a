package store

import (
	"context"
	"fmt"
	"math"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/neochaotic/leoflow/ent/attempt"
	"github.com/neochaotic/leoflow/ent/taskinstance"
	"github.com/neochaotic/leoflow/internal/domain"
)

// What is remembered of specifications at most, as they are stored, with what an entry
// costs beside.
const (
	maxSpecBytes     = 64 << 20
	maxLaunchedBytes = maxSpecBytes / 4 // of them, of attempts that were launched here and have not asked
	specEntryBytes   = 1 << 10
)

// specs remembers specifications by their attempts, with every identifier of those, the
// tenant among them. They never change (SPEC-2), and no attempt that had one loses it.
//
// An agent asks once: what it will ask for is here when its attempt was launched here. It
// waits as it is stored, and by itself, since its agent may be of another server: it costs
// little, and nobody's place who has asked.
type specs struct {
	mu       sync.Mutex
	known    shelf[domain.TaskSpec]
	launched shelf[[]byte]
}

func newSpecs(known, launched int) *specs {
	return &specs{known: newShelf[domain.TaskSpec](known), launched: newShelf[[]byte](launched)}
}

// get returns one that is remembered.
func (s *specs) get(ref domain.AttemptRef) (domain.TaskSpec, bool, error) {
	s.mu.Lock()
	known, ok := s.known.get(ref)
	var text []byte
	if !ok {
		text, ok = s.launched.get(ref)
	}
	s.mu.Unlock()
	if text == nil {
		return known, ok, nil
	}
	known, err := s.read(ref, text)
	return known, err == nil, err
}

// launch remembers that of an attempt that is launched, and whose agent has not asked.
func (s *specs) launch(ref domain.AttemptRef, text []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.known.lru.Contains(ref) {
		s.launched.put(ref, text, len(text))
	}
}

// read returns what is stored as text, and remembers it.
func (s *specs) read(ref domain.AttemptRef, text []byte) (domain.TaskSpec, error) {
	one, err := decodeSpec(text)
	if err != nil {
		return domain.TaskSpec{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.launched.lru.Remove(ref)
	s.known.put(ref, one, len(text))
	return one, nil
}

// shelf holds so many bytes at most, of those that were put there or got of late.
type shelf[V any] struct {
	lru   *simplelru.LRU[domain.AttemptRef, kept[V]]
	bytes *int
	limit int
}

type kept[V any] struct {
	value V
	bytes int
}

func newShelf[V any](limit int) shelf[V] {
	s := shelf[V]{bytes: new(int), limit: limit}
	s.lru, _ = simplelru.NewLRU(math.MaxInt, func(_ domain.AttemptRef, old kept[V]) { *s.bytes -= old.bytes }) // it refuses sizes of 0 alone
	return s
}

func (s shelf[V]) get(ref domain.AttemptRef) (V, bool) {
	got, ok := s.lru.Get(ref)
	return got.value, ok
}

// put remembers what takes so many bytes, and forgets what nobody has asked for of late.
func (s shelf[V]) put(ref domain.AttemptRef, value V, bytes int) {
	s.lru.Remove(ref)
	bytes += specEntryBytes
	s.lru.Add(ref, kept[V]{value, bytes})
	for *s.bytes += bytes; *s.bytes > s.limit; {
		s.lru.RemoveOldest()
	}
}

// newSpecRead is the statement that reads the specification of an attempt.
func (s *Store) newSpecRead() *many {
	w := s.forMany(refColumns...)
	spec := w.in(taskinstance.Table, taskinstance.FieldSpec)
	w.reading(spec).WriteString(" JOIN ").Ident(attempt.Table).WriteString(" ON ")
	w.own()
	w.byKey(taskinstance.Table, func() {
		w.equal(taskinstance.Table, taskinstance.FieldTenant, taskinstance.FieldDagID, taskinstance.FieldRunID, taskinstance.FieldTaskID).
			WriteString(fmt.Sprintf(" AND length(%s) <= %d", spec, maxGathered))
	})
	return w.found()
}

// readSpecs reads those of many attempts that are not large; nil: there may be one all the same.
func (s *Store) readSpecs(ctx context.Context, refs []domain.AttemptRef) ([][]byte, error) {
	out := make([][]byte, len(refs))
	var text []byte
	err := s.fetching.writeOne(ctx, call{s.statements.spec, refRows(refs), []any{&text}, func(n int) { out[n] = text }})
	return unheld(out, err)
}
