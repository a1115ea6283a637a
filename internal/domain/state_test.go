package domain_test

import (
	"slices"
	"testing"

	"github.com/neochaotic/leoflow/internal/domain"
)

// TestState5NothingLeavesATerminalState holds the table to what the rules say of it,
// written out again by hand.
func TestState5NothingLeavesATerminalState(t *testing.T) {
	terminal := []domain.TaskState{
		domain.TaskStateSuccess, domain.TaskStateFailed, domain.TaskStateSkipped, domain.TaskStateUpstreamFailed,
	}
	for _, s := range domain.States() {
		if got, want := s.Terminal(), slices.Contains(terminal, s); got != want {
			t.Errorf("%s terminal: %v, want %v", s, got, want)
		}
		if s.Terminal() != (len(s.Next()) == 0) {
			t.Errorf("%s is terminal and has successors, or neither", s)
		}
		for _, next := range s.Next() {
			if !slices.Contains(domain.Sources(next), s) {
				t.Errorf("%s may become %s, but is no source of it", s, next)
			}
		}
	}
	if len(domain.States()) != 9 {
		t.Errorf("%d states, want 9", len(domain.States()))
	}
}

func TestState2WhatAnAttemptMayBecome(t *testing.T) {
	live := []domain.TaskState{domain.TaskStateQueued, domain.TaskStateRunning}
	ends := []domain.TaskState{domain.TaskStateSuccess, domain.TaskStateFailed, domain.TaskStateSkipped}
	for _, end := range ends {
		if got := domain.Sources(end); !slices.Contains(got, live[0]) || !slices.Contains(got, live[1]) {
			t.Errorf("%s comes from %v, want queued and running among them", end, got)
		}
	}
	if got := domain.Sources(domain.TaskStateRunning); !slices.Equal(got, []domain.TaskState{domain.TaskStateQueued}) {
		t.Errorf("running comes from %v, want queued alone", got)
	}
	for _, s := range domain.States() {
		if got, want := s.Live(), slices.Contains(live, s); got != want {
			t.Errorf("%s live: %v, want %v", s, got, want)
		}
	}
}

func TestState1WhatAnAgentMayReport(t *testing.T) {
	want := []domain.TaskState{
		domain.TaskStateRunning, domain.TaskStateSuccess, domain.TaskStateFailed, domain.TaskStateSkipped,
	}
	for _, s := range append(domain.States(), "", "nonsense") {
		if got := s.Reportable(); got != slices.Contains(want, s) {
			t.Errorf("%q reportable: %v", s, got)
		}
	}
	if domain.TaskState("nonsense").Valid() || domain.TaskState("nonsense").Terminal() {
		t.Error("a word that is no state is one")
	}
}

func TestNextIsTheCallersOwn(t *testing.T) {
	domain.TaskStateQueued.Next()[0] = domain.TaskStateNone
	if domain.TaskStateQueued.Next()[0] != domain.TaskStateRunning {
		t.Error("a caller changed the table")
	}
}

func TestNextOfAWordThatIsNoState(t *testing.T) {
	for _, s := range []domain.TaskState{"", "nonsense"} {
		if next := s.Next(); next != nil {
			t.Errorf("%q may become %v", s, next)
		}
	}
}

// TestCausesAreEachOnce holds the list against the causes written out by hand.
func TestCausesAreEachOnce(t *testing.T) {
	want := []domain.Cause{
		"exit_nonzero", "signalled", "timed_out", "cancelled", "lost", "superseded", "launch_failed", "rejected_output",
	}
	if got := domain.Causes(); !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))) {
		t.Errorf("causes %v, want %v", got, want)
	}
	if slices.Contains(domain.Causes(), domain.CauseNone) {
		t.Error("no cause is listed as one")
	}
}
