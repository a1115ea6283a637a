package store

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/neochaotic/leoflow/ent"
	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
)

// specTask is a task with a specification that says something.
func specTask(name, entrypoint string) domain.TaskDefinition {
	return domain.TaskDefinition{TaskID: name, Variables: []string{"v"}, Spec: domain.TaskSpec{
		Operator: "bash", Entrypoint: entrypoint, Environment: map[string]string{"A": "1", "B": ""},
		XComInputMapping: map[string][]string{"in": {"z", "y"}}, TimeoutSeconds: 5,
	}}
}

// launchOf creates a run of such tasks, and launches them.
func launchOf(t *testing.T, s *Store, tasks ...domain.TaskDefinition) []auth.AgentIdentity {
	t.Helper()
	run := domain.NewRun{RunKey: domain.RunKey{DagID: "d", RunID: "specs"}, Tasks: tasks}
	if _, _, err := s.CreateRun(as("a"), run); err != nil {
		t.Fatal(err)
	}
	ids := make([]auth.AgentIdentity, len(tasks))
	for i, task := range tasks {
		a, err := s.LaunchAttempt(as("a"), domain.TaskKey{RunKey: run.RunKey, TaskID: task.TaskID}, domain.NewAttempt{Try: 1})
		if err != nil {
			t.Fatal(err)
		}
		ids[i] = auth.IdentityOf(a.Ref)
	}
	return ids
}

// forget has a store remember no specification, like another server.
func (s *Store) forget() { s.specs = newSpecs(maxSpecBytes, maxLaunchedBytes) }

func wantSpec(t *testing.T, s *Store, id auth.AgentIdentity, want domain.TaskSpec) {
	t.Helper()
	got, err := s.TaskSpec(as(id.TenantID), id)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%s: got %+v, %v; want %+v", id.TaskID, got, err, want)
	}
}

// TestSpec1WhatIsLaunchedHereIsNotRead changes behind the store's back what it launched: its
// agent gets what it was launched with, each time, and that of another server what is stored.
func TestSpec1WhatIsLaunchedHereIsNotRead(t *testing.T) {
	onBroken(t, func(t *testing.T, b broken) {
		task := specTask("small", "true")
		id := launchOf(t, b.Store, task)[0]
		if _, err := b.db.Exec("UPDATE task_instances SET spec = $1 WHERE task_id = 'small'", []byte(`{"Operator":"other"}`)); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			wantSpec(t, b.Store, id, task.Spec)
		}
		b.forget()
		wantSpec(t, b.Store, id, domain.TaskSpec{Operator: "other"})
	})
}

// TestSpec1ASpecificationOfAnotherServerIsRead reads many at once, among them one that is
// large, and those of nobody.
func TestSpec1ASpecificationOfAnotherServerIsRead(t *testing.T) {
	OnEachWay(t, func(t *testing.T, fresh func(testing.TB) Config) {
		s := mustOpen(t, fresh(t))
		tasks := []domain.TaskDefinition{specTask("large", strings.Repeat("x", 2*maxGathered))}
		for i := range 2 * maxFetched {
			tasks = append(tasks, specTask(fmt.Sprint(i), fmt.Sprint("echo ", i)))
		}
		ids := launchOf(t, s, tasks...)
		s.forget()
		done := make(chan struct{})
		for i, id := range ids {
			go func() {
				defer func() { done <- struct{}{} }()
				wantSpec(t, s, id, tasks[i].Spec)
				id.TenantID = "b"
				if _, err := s.TaskSpec(as("b"), id); !errors.Is(err, domain.ErrUnknown) {
					t.Errorf("%s of another tenant: %v", id.TaskID, err)
				}
			}()
		}
		for range ids {
			<-done
		}
		for i, id := range ids { // and now from memory
			wantSpec(t, s, id, tasks[i].Spec)
		}
	})
}

// TestIso1SpecificationsAreRememberedByTenant asks as others for what is remembered, before
// and after it was asked for.
func TestIso1SpecificationsAreRememberedByTenant(t *testing.T) {
	onBroken(t, func(t *testing.T, b broken) {
		for range 2 {
			foreign := b.id
			foreign.TenantID = "b"
			if _, err := b.TaskSpec(as("b"), foreign); !errors.Is(err, domain.ErrUnknown) {
				t.Errorf("of another tenant: %v", err)
			}
			if _, err := b.TaskSpec(as("b"), b.id); !errors.Is(err, domain.ErrNoTenant) {
				t.Errorf("as another tenant: %v", err)
			}
			for _, try := range []int{0, 2} {
				other := b.id
				other.TryNumber = try
				if _, err := b.TaskSpec(as("a"), other); !errors.Is(err, domain.ErrUnknown) {
					t.Errorf("of try %d: %v", try, err)
				}
			}
			if _, err := b.TaskSpec(as("a"), b.id); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestSpec1ALaunchThatFailsIsNotRemembered has the launch fail after the attempt was made:
// there is none, nor is it remembered that there was.
func TestSpec1ALaunchThatFailsIsNotRemembered(t *testing.T) {
	onBroken(t, func(t *testing.T, b broken) {
		run := domain.NewRun{RunKey: domain.RunKey{DagID: "d", RunID: "fails"}, Tasks: []domain.TaskDefinition{specTask("x", "true")}}
		created, _, err := b.CreateRun(as("a"), run)
		if err != nil {
			t.Fatal(err)
		}
		made := false
		fails := errors.New("planted")
		WriterOf(b.Store).TaskChange.Use(func(ent.Mutator) ent.Mutator {
			return ent.MutateFunc(func(ctx context.Context, _ ent.Mutation) (ent.Value, error) {
				made = true
				return nil, errors.Join(fails, ctx.Err())
			})
		})
		key := domain.TaskKey{RunKey: run.RunKey, TaskID: "x"}
		if _, err := b.LaunchAttempt(as("a"), key, domain.NewAttempt{Try: 1}); !errors.Is(err, fails) || !made {
			t.Fatalf("launched: %v", err)
		}
		id := auth.AgentIdentity{TenantID: "a", DagID: "d", RunID: "fails", TaskID: "x", TaskInstanceID: created.Tasks[0].TaskInstanceID, TryNumber: 1}
		if _, err := b.TaskSpec(as("a"), id); !errors.Is(err, domain.ErrUnknown) {
			t.Errorf("of an attempt that there is not: %v", err)
		}
	})
}

// TestSecret3WhatIsRememberedHoldsNoSecret changes a secret after the launch: what waits for
// the agent has nothing of it, and the agent gets what it is now.
func TestSecret3WhatIsRememberedHoldsNoSecret(t *testing.T) {
	onBroken(t, func(t *testing.T, b broken) {
		const before, after = "what it was", "what it is now"
		if err := b.PutVariable(as("a"), "somebody", "v", before); err != nil {
			t.Fatal(err)
		}
		id := launchOf(t, b.Store, specTask("x", "true"))[0]
		waits, ok := b.specs.launched.get(id.Attempt())
		if !ok || strings.Contains(string(waits), before) || !strings.Contains(string(waits), `"true"`) {
			t.Errorf("%q waits for the agent: %v", waits, ok)
		}
		if err := b.PutVariable(as("a"), "somebody", "v", after); err != nil {
			t.Fatal(err)
		}
		wantSpec(t, b.Store, id, specTask("x", "true").Spec)
		if got, err := b.DeliverVariables(as("a"), id); err != nil || got["v"] != after {
			t.Errorf("the agent gets %v, %v", got, err)
		}
	})
}

func specRef(i int) domain.AttemptRef { return domain.AttemptRef{TenantID: "a", TryNumber: i} }

func TestSpecificationsAreForgottenForOthers(t *testing.T) {
	s := newShelf[string](3 * (specEntryBytes + 100))
	for i := range 3 {
		s.put(specRef(i), fmt.Sprint(i), 100)
		s.put(specRef(i), fmt.Sprint(i), 100) // again, as two who ask at once do
	}
	if got, ok := s.get(specRef(0)); !ok || got != "0" {
		t.Fatalf("forgotten too early: %q, %v", got, ok)
	}
	s.put(specRef(3), "", 100)
	for i, want := range []bool{true, false, true, true} {
		if _, ok := s.get(specRef(i)); ok != want {
			t.Errorf("%d is remembered: %v", i, ok)
		}
	}
	s.put(specRef(4), "", 1<<20)
	if s.lru.Len() != 0 || *s.bytes != 0 {
		t.Errorf("%d of %d bytes stay where there is no room", s.lru.Len(), *s.bytes)
	}
}

// TestLaunchesTakeNobodysPlace launches more than may wait: the last of them wait, and what
// agents have asked for stays.
func TestLaunchesTakeNobodysPlace(t *testing.T) {
	const each = 100
	text := []byte(`{"Entrypoint":"` + strings.Repeat("x", each-len(`{"Entrypoint":""}`)) + `"}`)
	s := newSpecs(2*(specEntryBytes+each), 3*(specEntryBytes+each))
	asked := func(i int) bool {
		t.Helper()
		_, ok, err := s.get(specRef(i))
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	for i := range 2 {
		s.launch(specRef(i), text)
		if !asked(i) || s.launched.lru.Len() != 0 {
			t.Fatalf("%d has asked, and %d wait", i, s.launched.lru.Len())
		}
		s.launch(specRef(i), text) // again, after its agent has asked
	}
	for i := range 10 {
		s.launch(specRef(10+i), text)
	}
	if *s.launched.bytes > s.launched.limit || s.launched.lru.Len() != 3 {
		t.Errorf("%d wait, %d bytes", s.launched.lru.Len(), *s.launched.bytes)
	}
	for i, want := range map[int]bool{0: true, 1: true, 10: false, 16: false} {
		if got := asked(i); got != want {
			t.Errorf("%d is remembered: %v", i, got)
		}
	}
	if !asked(17) || !asked(19) || asked(0) || asked(1) {
		t.Error("who has asked last is not known, or more than may be")
	}
	if *s.known.bytes > s.known.limit || s.launched.lru.Len() != 1 {
		t.Errorf("%d bytes are known, %d wait", *s.known.bytes, s.launched.lru.Len())
	}
	if maxLaunchedBytes >= maxSpecBytes {
		t.Error("nothing is left for those who have asked")
	}
}

// TestSpec2WhatCannotBeReadIsNotKnown has a stored specification that cannot be read fail,
// and be remembered as nothing.
func TestSpec2WhatCannotBeReadIsNotKnown(t *testing.T) {
	s := newSpecs(1<<20, 1<<20)
	s.launch(specRef(1), []byte("{"))
	if _, ok, err := s.get(specRef(1)); ok || err == nil {
		t.Errorf("%v, %v", ok, err)
	}
	if s.known.lru.Len() != 0 {
		t.Error("it is known")
	}
}
