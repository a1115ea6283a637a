package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
)

var runTests = []test{
	{"TestCreateRunKeepsItsTasks", testCreateRun},
	{"TestCreateRunAgainIsTheSameRun", testCreateAgain},
	{"TestCreateRunAgainWithTheSameKeyCreatedIt", testCreateKey},
	{"TestCreateRunWithOtherContentConflicts", testCreateConflict},
	{"TestCreateRunOfManyTasks", testCreateMany},
	{"TestCreateRunRefusesATaskTwice", testCreateTwice},
	{"TestSpec1SpecificationIsKept", testSpecKept},
	{"TestSpecOfAnUnknownAttempt", testSpecUnknown},
}

func testCreateRun(t *testing.T, b *bed) {
	got, created, err := b.create(as(tenantA), definition(theRun))
	if err != nil || !created {
		t.Fatalf("created %v, %v", created, err)
	}
	prefix := theRun.DagID + "/" + theRun.RunID
	wantEqual(t, got, domain.Run{RunKey: theRun, DagVersion: "v1", CreatedAt: begin, Tasks: []domain.Task{
		{TaskInstanceID: prefix + "/1", TaskID: "second in the alphabet", State: domain.TaskStateNone},
		{TaskInstanceID: prefix + "/2", TaskID: theTask.TaskID, State: domain.TaskStateNone},
	}})
	b.wantSteps(t, tenantA)
}

func testCreateAgain(t *testing.T, b *bed) {
	first, _, err := b.create(as(tenantA), definition(theRun))
	wantNil(t, err)
	b.pass(time.Hour)
	again := definition(theRun)
	slices.Reverse(again.Tasks)
	again.Tasks[0].Variables = []string{"not stored", "declared", "declared"}
	again.Tasks[1].Spec.Environment = map[string]string{}
	again.Tasks[1].Variables = []string{}
	got, created, err := b.CreateRun(as(tenantA), again)
	if err != nil || created {
		t.Fatalf("created %v, %v", created, err)
	}
	wantEqual(t, got, first)
	b.launch(t, tenantA, 1, false)
	if task := b.task(t, tenantA); task.TryNumber != 1 || task.State != domain.TaskStateQueued {
		t.Fatalf("task %+v", task)
	}
}

// testCreateKey creates a run again and again, which only the key of the first
// creation has created.
func testCreateKey(t *testing.T, b *bed) {
	for i, own := range []string{"", "ann's"} {
		r := definition(domain.RunKey{DagID: theRun.DagID, RunID: fmt.Sprint(i)})
		r.IdempotencyKey = own
		first, created, err := b.create(as(tenantA), r)
		if err != nil || !created {
			t.Fatalf("created %v, %v", created, err)
		}
		for _, key := range []string{"", "ann's", "bob's", "ann's"} {
			r.IdempotencyKey = key
			got, created, err := b.CreateRun(as(tenantA), r)
			if want := key == own && key != ""; err != nil || created != want {
				t.Fatalf("%q again with %q: created %v, %v; want %v", own, key, created, err, want)
			}
			wantEqual(t, got, first)
		}
		r.IdempotencyKey, r.DagVersion = own, "v2"
		_, _, err = b.CreateRun(as(tenantA), r)
		wantError(t, err, domain.ErrConflict)
	}
}

func testCreateConflict(t *testing.T, b *bed) {
	first, _, err := b.create(as(tenantA), definition(theRun))
	wantNil(t, err)
	for _, change := range []func(*domain.NewRun){
		func(r *domain.NewRun) { r.DagVersion = "v2" },
		func(r *domain.NewRun) { r.Tasks = r.Tasks[:1] },
		func(r *domain.NewRun) { r.Tasks[0].Spec.Entrypoint = "false" },
		func(r *domain.NewRun) { r.Tasks[1].Spec.XComInputMapping["many"] = []string{"a", "z", "z"} },
		func(r *domain.NewRun) { r.Tasks[1].Connections = nil },
	} {
		other := definition(theRun)
		change(&other)
		_, _, err := b.CreateRun(as(tenantA), other)
		wantError(t, err, domain.ErrConflict)
	}
	got, _, err := b.CreateRun(as(tenantA), definition(theRun))
	wantNil(t, err)
	wantEqual(t, got, first)
}

func testCreateMany(t *testing.T, b *bed) {
	r := domain.NewRun{RunKey: theRun}
	for i := range 2_500 {
		r.Tasks = append(r.Tasks, domain.TaskDefinition{TaskID: fmt.Sprintf("task %d", i)})
	}
	got, _, err := b.create(as(tenantA), r)
	wantNil(t, err)
	if len(got.Tasks) != len(r.Tasks) {
		t.Fatalf("%d tasks", len(got.Tasks))
	}
	for i, task := range got.Tasks {
		if task.TaskID != r.Tasks[i].TaskID {
			t.Fatalf("%q stands at %d", task.TaskID, i)
		}
	}
}

func testCreateTwice(t *testing.T, b *bed) {
	r := definition(theRun)
	r.Tasks = append(r.Tasks, r.Tasks[0])
	_, _, err := b.create(as(tenantA), r)
	wantError(t, err, domain.ErrPrecondition)
	_, err = b.RunChanges(as(tenantA), theRun, 0, 1)
	wantError(t, err, domain.ErrNotFound)
}

func testSpecKept(t *testing.T, b *bed) {
	id := b.launched(t, tenantA)
	want := definition(theRun).Tasks[1].Spec
	want.DagVersion = "v1"
	for range 2 { // SPEC-2
		got, err := b.TaskSpec(as(tenantA), id)
		wantNil(t, err)
		wantEqual(t, got, want)
	}
	b.mustReport(t, id, domain.TaskStateSuccess, 0, "")
	got, err := b.TaskSpec(as(tenantA), id)
	wantNil(t, err)
	wantEqual(t, got, want)
}

func testSpecUnknown(t *testing.T, b *bed) {
	id := b.launched(t, tenantA)
	for _, wrong := range strangers(id) {
		_, err := b.TaskSpec(as(tenantA), wrong)
		wantError(t, err, domain.ErrUnknown)
	}
}

// strangers returns identities that differ from id in one identifier each, its
// tenant excepted.
func strangers(id auth.AgentIdentity) []auth.AgentIdentity {
	out := make([]auth.AgentIdentity, 6)
	for i := range out {
		out[i] = id
	}
	out[0].TaskInstanceID = "x"
	out[1].DagID = "x"
	out[2].RunID = "x"
	out[3].TaskID = "second in the alphabet"
	out[4].TryNumber = 2
	out[5].TryNumber = 0
	return out
}
