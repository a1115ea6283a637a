package xcomtest

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/xcom"
)

// Bed is a fresh repository, and what the suite needs to move its attempts. Tasks
// that the suite names exist in every tenant, with the same task instance ids.
type Bed struct {
	Repo xcom.Repository
	// Launch begins the next try of a task; a live one before it ends as superseded.
	Launch func(t *testing.T, tenant string, key domain.TaskKey) domain.AttemptRef
	// Finish settles an attempt by its own report.
	Finish func(t *testing.T, ref domain.AttemptRef)
	// Cancel asks an attempt to stop.
	Cancel func(t *testing.T, ref domain.AttemptRef)
}

// The tenants that the suite uses.
const (
	TenantA = "tenant-a"
	TenantB = "tenant-b"
)

const name = "return_value"

// Source and Reader are the tasks that the suite uses, of one run, and OtherRun is
// the source in another run of the same DAG.
var (
	run      = domain.RunKey{DagID: "dag.1", RunID: "manual__2026-11-24T10:00:00+00:00"}
	Source   = domain.TaskKey{RunKey: run, TaskID: "source"}
	Reader   = domain.TaskKey{RunKey: run, TaskID: "reader"}
	OtherRun = domain.TaskKey{RunKey: domain.RunKey{DagID: "dag.1", RunID: "other"}, TaskID: "source"}
)

var (
	start   = time.Date(2026, 11, 24, 10, 0, 0, 123_456_000, time.UTC)
	expires = start.Add(time.Hour)
)

// Contract holds a repository to the obligations of [xcom.Repository].
func Contract(t *testing.T, open func(*testing.T) Bed) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, Bed)
	}{
		{"TestXCom4ByteForByte", testByteForByte},
		{"TestXCom5AbsentOrExpired", testAbsentOrExpired},
		{"TestXCom6LiveAttemptReplaces", testReplaces},
		{"TestXCom6SettledAttemptReplacesNothing", testSettledPush},
		{"TestXCom6CancelPendingMayPush", testCancelPending},
		{"TestXCom7RetryStartsClean", testRetryStartsClean},
		{"TestXCom7SettledAttemptFetchesNothing", testSettledFetch},
		{"TestXComUnknownAttempt", testUnknown},
		{"TestXComCurrentAttempt", testCurrentAttempt},
		{"TestIso1TenantsApart", testTenantsApart},
		{"TestIso1NoTenantIsAnError", testNoTenant},
		{"TestIso2RunsApart", testRunsApart},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

func as(tenant string) context.Context { return domain.WithTenant(context.Background(), tenant) }

func keyFor(tenant string, task domain.TaskKey) xcom.Key {
	return xcom.Key{TenantID: tenant, DagID: task.DagID, RunID: task.RunID, TaskID: task.TaskID, Name: name}
}

func (b Bed) put(from domain.AttemptRef, value string) error {
	e := xcom.Entry{Value: []byte(value), ContentType: "text/plain", CreatedAt: start}
	return b.Repo.PutXCom(as(from.TenantID), from, name, e, expires)
}

func (b Bed) mustPut(t *testing.T, from domain.AttemptRef, value string) {
	t.Helper()
	if err := b.put(from, value); err != nil {
		t.Fatalf("put: %v", err)
	}
}

func (b Bed) wantValue(t *testing.T, tenant string, task domain.TaskKey, want string) {
	t.Helper()
	e, err := b.Repo.GetXCom(as(tenant), keyFor(tenant, task), nil, start)
	if err != nil || string(e.Value) != want {
		t.Fatalf("get = %q, %v; want %q", e.Value, err, want)
	}
}

func wantError(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error = %v; want %v", err, want)
	}
}

func testByteForByte(t *testing.T, b Bed) {
	from := b.Launch(t, TenantA, Source)
	reader := b.Launch(t, TenantA, Reader)
	for _, value := range [][]byte{{}, {0}, []byte("{\"a\": 1 }\n"), {0xff, 0xfe, 0}, bytes.Repeat([]byte{7}, 300_000)} {
		e := xcom.Entry{Value: value, ContentType: "odd/type; x=\"ÿ\"", SizeBytes: len(value), CreatedAt: start}
		if err := b.Repo.PutXCom(as(TenantA), from, name, e, expires); err != nil {
			t.Fatalf("put: %v", err)
		}
		for _, by := range []*domain.AttemptRef{nil, &reader} {
			got, err := b.Repo.GetXCom(as(TenantA), keyFor(TenantA, Source), by, start)
			if err != nil {
				t.Fatalf("get: %v", err)
			}
			if !bytes.Equal(got.Value, value) || got.ContentType != e.ContentType || got.SizeBytes != len(value) || !got.CreatedAt.Equal(start) {
				t.Fatalf("got %d bytes, %q, size %d, at %v", len(got.Value), got.ContentType, got.SizeBytes, got.CreatedAt)
			}
		}
	}
}

func testAbsentOrExpired(t *testing.T, b Bed) {
	key := keyFor(TenantA, Source)
	_, err := b.Repo.GetXCom(as(TenantA), key, nil, start)
	wantError(t, err, xcom.ErrNotFound) // no try, and perhaps no run
	from := b.Launch(t, TenantA, Source)
	_, err = b.Repo.GetXCom(as(TenantA), key, nil, start)
	wantError(t, err, xcom.ErrNotFound)
	b.mustPut(t, from, "v")
	other := key
	other.Name = "other"
	_, err = b.Repo.GetXCom(as(TenantA), other, nil, start)
	wantError(t, err, xcom.ErrNotFound)
	if _, err = b.Repo.GetXCom(as(TenantA), key, nil, expires.Add(-time.Microsecond)); err != nil {
		t.Fatalf("just before its end: %v", err)
	}
	_, err = b.Repo.GetXCom(as(TenantA), key, nil, expires)
	wantError(t, err, xcom.ErrNotFound)
}

func testReplaces(t *testing.T, b Bed) {
	from := b.Launch(t, TenantA, Source)
	b.mustPut(t, from, "first")
	later := xcom.Entry{Value: []byte("second"), ContentType: "b", CreatedAt: start.Add(time.Minute)}
	if err := b.Repo.PutXCom(as(TenantA), from, name, later, expires.Add(time.Hour)); err != nil {
		t.Fatalf("put: %v", err)
	}
	got, err := b.Repo.GetXCom(as(TenantA), keyFor(TenantA, Source), nil, expires)
	if err != nil || string(got.Value) != "second" || got.ContentType != "b" || !got.CreatedAt.Equal(later.CreatedAt) {
		t.Fatalf("got %+v, %v", got, err)
	}
}

func testSettledPush(t *testing.T, b Bed) {
	from := b.Launch(t, TenantA, Source)
	b.mustPut(t, from, "kept")
	b.Finish(t, from)
	wantError(t, b.put(from, "late"), domain.ErrFinished)
	b.wantValue(t, TenantA, Source, "kept")
}

func testCancelPending(t *testing.T, b Bed) {
	from, reader := b.Launch(t, TenantA, Source), b.Launch(t, TenantA, Reader)
	b.Cancel(t, from)
	b.mustPut(t, from, "stopping")
	b.Cancel(t, reader)
	if _, err := b.Repo.GetXCom(as(TenantA), keyFor(TenantA, Source), &reader, start); err != nil {
		t.Fatalf("fetch by an attempt that is being cancelled: %v", err)
	}
}

func testRetryStartsClean(t *testing.T, b Bed) {
	first := b.Launch(t, TenantA, Source)
	b.mustPut(t, first, "of the first try")
	second := b.Launch(t, TenantA, Source)
	_, err := b.Repo.GetXCom(as(TenantA), keyFor(TenantA, Source), nil, start)
	wantError(t, err, xcom.ErrNotFound)
	wantError(t, b.put(first, "late"), domain.ErrSuperseded)
	b.mustPut(t, second, "of the second try")
	wantError(t, b.put(first, "late"), domain.ErrSuperseded)
	b.wantValue(t, TenantA, Source, "of the second try")
}

func testSettledFetch(t *testing.T, b Bed) {
	from := b.Launch(t, TenantA, Source)
	b.mustPut(t, from, "v")
	first := b.Launch(t, TenantA, Reader)
	second := b.Launch(t, TenantA, Reader)
	_, err := b.Repo.GetXCom(as(TenantA), keyFor(TenantA, Source), &first, start)
	wantError(t, err, domain.ErrSuperseded)
	if _, err = b.Repo.GetXCom(as(TenantA), keyFor(TenantA, Source), &second, start); err != nil {
		t.Fatalf("fetch by the live attempt: %v", err)
	}
	b.Finish(t, second)
	_, err = b.Repo.GetXCom(as(TenantA), keyFor(TenantA, Source), &second, start)
	wantError(t, err, domain.ErrFinished)
}

func testUnknown(t *testing.T, b Bed) {
	from := b.Launch(t, TenantA, Source)
	for _, change := range []func(*domain.AttemptRef){
		func(r *domain.AttemptRef) { r.TaskInstanceID += "x" },
		func(r *domain.AttemptRef) { r.DagID += "x" },
		func(r *domain.AttemptRef) { r.RunID += "x" },
		func(r *domain.AttemptRef) { r.TaskID += "x" },
		func(r *domain.AttemptRef) { r.TryNumber++ },
	} {
		wrong := from
		change(&wrong)
		wantError(t, b.put(wrong, "v"), domain.ErrUnknown)
		_, err := b.Repo.GetXCom(as(TenantA), keyFor(TenantA, Source), &wrong, start)
		wantError(t, err, domain.ErrUnknown)
	}
	_, err := b.Repo.GetXCom(as(TenantA), keyFor(TenantA, Source), nil, start)
	wantError(t, err, xcom.ErrNotFound)
}

func testCurrentAttempt(t *testing.T, b Bed) {
	_, err := b.Repo.CurrentAttempt(as(TenantA), keyFor(TenantA, Source))
	wantError(t, err, xcom.ErrNotFound)
	for range 2 {
		want := b.Launch(t, TenantA, Source)
		got, err := b.Repo.CurrentAttempt(as(TenantA), keyFor(TenantA, Source))
		if err != nil || got != want {
			t.Fatalf("current = %+v, %v; want %+v", got, err, want)
		}
	}
}

func testTenantsApart(t *testing.T, b Bed) {
	inA, inB := b.Launch(t, TenantA, Source), b.Launch(t, TenantB, Source)
	if inA.TaskInstanceID != inB.TaskInstanceID {
		t.Fatalf("ids differ: %q, %q", inA.TaskInstanceID, inB.TaskInstanceID)
	}
	b.mustPut(t, inA, "of A")
	_, err := b.Repo.GetXCom(as(TenantB), keyFor(TenantB, Source), nil, start)
	wantError(t, err, xcom.ErrNotFound)
	b.mustPut(t, inB, "of B")
	b.wantValue(t, TenantA, Source, "of A")
	b.wantValue(t, TenantB, Source, "of B")
	b.Finish(t, inB)
	b.mustPut(t, inA, "again")
	b.wantValue(t, TenantB, Source, "of B")
}

func testNoTenant(t *testing.T, b Bed) {
	from := b.Launch(t, TenantA, Source)
	b.Launch(t, TenantB, Source)
	b.mustPut(t, from, "v")
	foreign := from
	foreign.TenantID = TenantB
	for _, ctx := range []context.Context{context.Background(), as(""), as(TenantB)} {
		wantError(t, b.Repo.PutXCom(ctx, from, name, xcom.Entry{Value: []byte("x"), CreatedAt: start}, expires), domain.ErrNoTenant)
		_, err := b.Repo.GetXCom(ctx, keyFor(TenantA, Source), nil, start)
		wantError(t, err, domain.ErrNoTenant)
		_, err = b.Repo.CurrentAttempt(ctx, keyFor(TenantA, Source))
		wantError(t, err, domain.ErrNoTenant)
	}
	_, err := b.Repo.GetXCom(as(TenantA), keyFor(TenantA, Source), &foreign, start)
	wantError(t, err, domain.ErrNoTenant)
	b.wantValue(t, TenantA, Source, "v")
}

func testRunsApart(t *testing.T, b Bed) {
	here, there := b.Launch(t, TenantA, Source), b.Launch(t, TenantA, OtherRun)
	b.mustPut(t, here, "here")
	_, err := b.Repo.GetXCom(as(TenantA), keyFor(TenantA, OtherRun), nil, start)
	wantError(t, err, xcom.ErrNotFound)
	b.mustPut(t, there, "there")
	b.wantValue(t, TenantA, Source, "here")
}
