package domain_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/neochaotic/leoflow/internal/domain"
)

func TestBeat3EveryNotLiveErrorHasItsReason(t *testing.T) {
	for err, want := range map[error]domain.Termination{
		domain.ErrCancelled:  domain.TerminationCancelled,
		domain.ErrSuperseded: domain.TerminationSuperseded,
		domain.ErrFinished:   domain.TerminationFinished,
		domain.ErrLost:       domain.TerminationLost,
		domain.ErrTimedOut:   domain.TerminationTimedOut,
		domain.ErrUnknown:    domain.TerminationUnknown,
	} {
		wrapped := fmt.Errorf("store: %w", err)
		if got, ok := domain.TerminationOf(wrapped); !ok || got != want {
			t.Errorf("%v: reason %q %v, want %q", err, got, ok, want)
		}
		if !errors.Is(wrapped, domain.ErrNotLive) || !errors.Is(wrapped, err) {
			t.Errorf("%v does not match itself and ErrNotLive", err)
		}
	}
}

// TestBeat2NoOtherErrorEndsAnAttempt: a failing store is no answer.
func TestBeat2NoOtherErrorEndsAnAttempt(t *testing.T) {
	for _, err := range []error{
		nil, errors.New("disk full"), context.DeadlineExceeded, domain.ErrUnavailable, domain.ErrNotFound,
		domain.ErrNoTenant, domain.ErrPrecondition, domain.ErrOtherCaller, domain.ErrConflict, domain.ErrAborted, domain.ErrOverloaded, domain.ErrQuota, domain.ErrNotLive,
	} {
		if reason, ok := domain.TerminationOf(err); ok {
			t.Errorf("%v ends an attempt as %q", err, reason)
		}
	}
	if errors.Is(domain.ErrCancelled, domain.ErrSuperseded) {
		t.Error("one reason matches another")
	}
}

func TestTenantComesFromTheContextAlone(t *testing.T) {
	if _, ok := domain.TenantFrom(t.Context()); ok {
		t.Error("a bare context has a tenant")
	}
	if _, ok := domain.TenantFrom(domain.WithTenant(t.Context(), "")); ok {
		t.Error("an empty tenant counts as one")
	}
	if got, ok := domain.TenantFrom(domain.WithTenant(t.Context(), "acme")); !ok || got != "acme" {
		t.Errorf("got %q %v", got, ok)
	}
}

func TestXcom5OnlyNamedSourcesAreDeclared(t *testing.T) {
	spec := domain.TaskSpec{XComInputMapping: map[string][]string{"a": {"one"}, "b": {"two", "three"}}}
	for task, want := range map[string]bool{"one": true, "three": true, "a": false, "four": false, "": false} {
		if got := spec.Declares(task); got != want {
			t.Errorf("%q declared: %v, want %v", task, got, want)
		}
	}
}

func TestState6MessagesAreCutAtACharacter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "text")
		limit := rapid.IntRange(0, 40).Draw(t, "limit")
		cut := domain.CutString(s, limit)
		if len(cut) > limit && len(s) > limit {
			t.Fatalf("%d bytes, limit %d", len(cut), limit)
		}
		if !strings.HasPrefix(s, cut) || !utf8.ValidString(cut) {
			t.Fatalf("%q is no prefix of whole characters of %q", cut, s)
		}
		if len(s) > limit && len(cut)+utf8.UTFMax <= limit {
			t.Fatalf("cut to %d bytes where %d fit", len(cut), limit)
		}
	})
}

func TestAEnv4VariableOfAParameter(t *testing.T) {
	for param, want := range map[string]string{
		"rows":        "LEOFLOW_XCOM_ROWS",
		"Max_2":       "LEOFLOW_XCOM_MAX_2",
		"a.b-c d=e":   "LEOFLOW_XCOM_A_B_C_D_E",
		"größe":       "LEOFLOW_XCOM_GR__E",
		"\x00\nü\xff": "LEOFLOW_XCOM_____",
		"":            "LEOFLOW_XCOM_",
	} {
		if got := domain.XComVariable(param); got != want {
			t.Errorf("%q comes in %q, want %q", param, got, want)
		}
	}
}

func TestIso1TheInnermostTenantCounts(t *testing.T) {
	type key struct{}
	outer := domain.WithTenant(context.WithValue(t.Context(), key{}, "kept"), "acme")
	if tenant, ok := domain.TenantFrom(outer); !ok || tenant != "acme" || outer.Value(key{}) != "kept" {
		t.Errorf("tenant %q, and %v of who is around", tenant, outer.Value(key{}))
	}
	inner, cancel := context.WithCancel(domain.WithTenant(outer, "other"))
	cancel()
	if tenant, ok := domain.TenantFrom(inner); !ok || tenant != "other" || inner.Err() == nil || outer.Err() != nil {
		t.Errorf("tenant %q", tenant)
	}
	for name, none := range map[string]context.Context{
		"no context of a tenant": t.Context(), "a tenant without a name": domain.WithTenant(outer, ""), "one that is not known yet": &domain.Tenanted{Context: t.Context()},
	} {
		if tenant, ok := domain.TenantFrom(none); ok {
			t.Errorf("%s: tenant %q", name, tenant)
		}
	}
}
