package controlrpc

import (
	"testing"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/logs"
)

// TestEveryCauseHasItsValueAndBack holds the enum and the domain to the same words.
func TestEveryCauseHasItsValueAndBack(t *testing.T) {
	for number, name := range controlv1.Cause_name {
		value := controlv1.Cause(number)
		if value == controlv1.Cause_CAUSE_UNSPECIFIED {
			continue
		}
		cause, ok := causeOfProto[value]
		if !ok {
			t.Errorf("%s means no cause", name)
		}
		if protoOfCause[cause] != value {
			t.Errorf("%s means %q, which means %v", name, cause, protoOfCause[cause])
		}
	}
	if len(protoOfCause) != len(domain.Causes()) {
		t.Errorf("%d causes on the wire, %d in the domain", len(protoOfCause), len(domain.Causes()))
	}
	if protoOfCause[domain.CauseNone] != controlv1.Cause_CAUSE_UNSPECIFIED {
		t.Error("no cause means one")
	}
}

func TestLog4EveryMarkHasItsValue(t *testing.T) {
	for _, mark := range []string{logs.MarkGap, logs.MarkRestart} {
		if protoOfMark[mark] == controlv1.LogMark_LOG_MARK_UNSPECIFIED {
			t.Errorf("mark %q is told as a line", mark)
		}
	}
}
