// Package xcomtest has a fake xcom.Repository in memory, and the contract suite
// that holds it and every other repository to the obligations of that interface.
//
// It may import domain and xcom. Only tests import it.
package xcomtest

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/xcom"
)

// Memory is an [xcom.Repository] that forgets. It also keeps the attempts, as far
// as values depend on them. It is safe for concurrent use.
type Memory struct {
	mu      sync.Mutex
	tries   map[taskKey][]*try
	entries map[entryKey]entry
}

type taskKey struct{ tenant, dag, run, task string }

type try struct {
	ref domain.AttemptRef
	end error // why it is not live; nil: it is, or is being cancelled
}

type entryKey struct {
	taskKey
	try  int
	name string
}

type entry struct {
	xcom.Entry
	expires time.Time
}

var _ xcom.Repository = (*Memory)(nil)

// NewMemory returns an empty repository.
func NewMemory() *Memory {
	return &Memory{tries: map[taskKey][]*try{}, entries: map[entryKey]entry{}}
}

// Launch begins the task's next try and supersedes the one before.
func (m *Memory) Launch(tenant string, key domain.TaskKey) domain.AttemptRef {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := taskKey{tenant, key.DagID, key.RunID, key.TaskID}
	for _, old := range m.tries[k] {
		old.end = domain.ErrSuperseded
	}
	ref := domain.AttemptRef{
		TaskInstanceID: fmt.Sprintf("%s/%s/%s", key.DagID, key.RunID, key.TaskID), TenantID: tenant,
		DagID: key.DagID, RunID: key.RunID, TaskID: key.TaskID, TryNumber: len(m.tries[k]) + 1,
	}
	m.tries[k] = append(m.tries[k], &try{ref: ref})
	return ref
}

// Settle ends a try for the reason end, one of the not-live sentinels.
func (m *Memory) Settle(ref domain.AttemptRef, end error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if t := m.find(ref); t != nil && t.end == nil {
		t.end = end
	}
}

// PutXCom implements [xcom.Repository].
func (m *Memory) PutXCom(ctx context.Context, from domain.AttemptRef, name string, e xcom.Entry, expires time.Time) error {
	if err := within(ctx, from.TenantID); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.live(from); err != nil {
		return err
	}
	e.Value = append([]byte{}, e.Value...)
	e.SizeBytes = len(e.Value)
	e.CreatedAt = e.CreatedAt.UTC().Truncate(time.Microsecond)
	m.entries[entryKey{keyOf(from), from.TryNumber, name}] = entry{e, expires.Truncate(time.Microsecond)}
	return nil
}

// GetXCom implements [xcom.Repository].
func (m *Memory) GetXCom(ctx context.Context, key xcom.Key, by *domain.AttemptRef, now time.Time) (xcom.Entry, error) {
	if err := within(ctx, key.TenantID); err != nil {
		return xcom.Entry{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if by != nil {
		if by.TenantID != key.TenantID {
			return xcom.Entry{}, domain.ErrNoTenant
		}
		if err := m.live(*by); err != nil {
			return xcom.Entry{}, err
		}
	}
	task := taskKey{key.TenantID, key.DagID, key.RunID, key.TaskID}
	e, ok := m.entries[entryKey{task, len(m.tries[task]), key.Name}]
	if !ok || !e.expires.After(now) {
		return xcom.Entry{}, xcom.ErrNotFound
	}
	e.Value = bytes.Clone(e.Value)
	return e.Entry, nil
}

// CurrentAttempt implements [xcom.Repository].
func (m *Memory) CurrentAttempt(ctx context.Context, key xcom.Key) (domain.AttemptRef, error) {
	if err := within(ctx, key.TenantID); err != nil {
		return domain.AttemptRef{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	tries := m.tries[taskKey{key.TenantID, key.DagID, key.RunID, key.TaskID}]
	if len(tries) == 0 {
		return domain.AttemptRef{}, xcom.ErrNotFound
	}
	return tries[len(tries)-1].ref, nil
}

func (m *Memory) find(ref domain.AttemptRef) *try {
	for _, t := range m.tries[keyOf(ref)] {
		if t.ref == ref {
			return t
		}
	}
	return nil
}

func (m *Memory) live(ref domain.AttemptRef) error {
	t := m.find(ref)
	if t == nil {
		return domain.ErrUnknown
	}
	return t.end
}

func keyOf(ref domain.AttemptRef) taskKey {
	return taskKey{ref.TenantID, ref.DagID, ref.RunID, ref.TaskID}
}

func within(ctx context.Context, tenant string) error {
	if own, ok := domain.TenantFrom(ctx); !ok || own != tenant {
		return domain.ErrNoTenant
	}
	return nil
}
