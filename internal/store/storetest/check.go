package storetest

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/neochaotic/leoflow/internal/domain"
)

func wantError(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error = %v; want %v", err, want)
	}
}

func wantEqual(t *testing.T, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("differs (-want +got):\n%s", diff)
	}
}

func wantNil(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// step is a change without its time.
type step struct {
	Task    string
	Try     int
	State   domain.TaskState
	Cause   domain.Cause
	Code    int
	Message string
}

// wantSteps holds the history of theRun against steps, and its revisions against
// the counting from 1.
func (b *bed) wantSteps(t *testing.T, tenant string, want ...step) {
	t.Helper()
	got := []step{}
	for i, c := range b.changes(t, tenant) {
		if c.Revision != int64(i+1) {
			t.Fatalf("revision %d stands at %d", c.Revision, i+1)
		}
		got = append(got, step{c.TaskID, c.TryNumber, c.State, c.Cause, c.ExitCode, c.Message})
	}
	wantEqual(t, got, append([]step{}, want...))
}

// of returns a step of theTask.
func of(try int, state domain.TaskState, cause domain.Cause, code int, message string) step {
	return step{theTask.TaskID, try, state, cause, code, message}
}

// plain returns a step of theTask without an outcome's details.
func plain(try int, state domain.TaskState) step { return of(try, state, "", 0, "") }
