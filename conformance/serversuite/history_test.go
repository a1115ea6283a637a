package serversuite

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	policyv1 "github.com/neochaotic/leoflow/gen/leoflow/policy/v1"
)

const (
	none       = policyv1.TaskState_TASK_STATE_NONE
	scheduled  = policyv1.TaskState_TASK_STATE_SCHEDULED
	upForRetry = policyv1.TaskState_TASK_STATE_UP_FOR_RETRY
)

// seen is a state that was observed within a span of seconds.
type seen struct {
	begun, known int
	state        policyv1.TaskState
}

func historyOf(all ...seen) *history {
	h, origin := &history{}, time.Unix(1_000_000_000, 0)
	for _, s := range all {
		at := func(seconds int) time.Time { return origin.Add(time.Duration(seconds) * time.Second) }
		h.seen = append(h.seen, observation{at(s.begun), at(s.known), s.state, "a look"})
	}
	return h
}

func TestState9PlantedViolationsAreFound(t *testing.T) {
	for name, tc := range map[string]struct {
		history *history
		want    string // empty: it is possible
	}{
		"nothing":                      {historyOf(), ""},
		"as it should be":              {historyOf(seen{0, 1, queued}, seen{2, 3, running}, seen{4, 5, success}), ""},
		"a step that nobody saw":       {historyOf(seen{0, 1, queued}, seen{2, 3, success}), ""},
		"seen again":                   {historyOf(seen{0, 1, failed}, seen{2, 3, failed}), ""},
		"a look that took long":        {historyOf(seen{0, 9, queued}, seen{2, 3, running}, seen{4, 5, success}), ""},
		"two that overlap":             {historyOf(seen{0, 5, success}, seen{5, 6, running}), ""},
		"a success that runs":          {historyOf(seen{0, 1, running}, seen{2, 3, success}, seen{4, 5, running}), "SUCCESS (a look), and then TASK_STATE_RUNNING"},
		"a second outcome":             {historyOf(seen{0, 1, failed}, seen{2, 3, success}), "FAILED (a look), and then TASK_STATE_SUCCESS"},
		"a retry of the same attempt":  {historyOf(seen{0, 1, failed}, seen{2, 3, queued}), "FAILED (a look), and then TASK_STATE_QUEUED"},
		"one that waits again":         {historyOf(seen{0, 1, running}, seen{2, 3, queued}), "RUNNING (a look), and then TASK_STATE_QUEUED"},
		"what no attempt is":           {historyOf(seen{0, 1, queued}, seen{2, 3, upForRetry}), "QUEUED (a look), and then TASK_STATE_UP_FOR_RETRY"},
		"long after, out of order":     {historyOf(seen{8, 9, running}, seen{4, 5, success}, seen{0, 1, queued}), "SUCCESS (a look), and then TASK_STATE_RUNNING"},
		"between two observers":        {historyOf(seen{0, 9, running}, seen{1, 2, skipped}, seen{3, 4, success}), "SKIPPED (a look), and then TASK_STATE_SUCCESS"},
		"no state":                     {historyOf(seen{0, 1, 0}), "UNSPECIFIED (a look) is no state"},
		"a state of a later edition":   {historyOf(seen{0, 1, 99}), "99 (a look) is no state"},
		"a task before its attempt":    {historyOf(seen{0, 1, none}, seen{2, 3, scheduled}, seen{4, 5, queued}), ""},
		"a task that forgets its plan": {historyOf(seen{0, 1, scheduled}, seen{2, 3, none}), "SCHEDULED (a look), and then TASK_STATE_NONE"},
	} {
		got := tc.history.impossible(readStateTable())
		if (got == "") != (tc.want == "") || !strings.Contains(got, tc.want) {
			t.Errorf("%s: %q, not %q", name, got, tc.want)
		}
	}
}

// TestState9WalksOfTheTableArePossibleAndNoOthers lets any number of observers look at a
// walk of the table, and then at one with a step that the table has not.
func TestState9WalksOfTheTableArePossibleAndNoOthers(t *testing.T) {
	table := readStateTable()
	rapid.Check(t, func(t *rapid.T) {
		states := []policyv1.TaskState{rapid.SampledFrom([]policyv1.TaskState{none, scheduled, queued, running}).Draw(t, "first")}
		for range rapid.IntRange(0, 4).Draw(t, "steps") {
			last := states[len(states)-1]
			states = append(states, rapid.SampledFrom(reachable(table, last, true)).Draw(t, "next"))
		}
		// State i is there from second 10i to 10i+9; a look begins and ends around a moment of it.
		var looks []seen
		for i := range states {
			moment := 10*i + rapid.IntRange(0, 9).Draw(t, "moment")
			looks = append(looks, seen{moment - rapid.IntRange(0, 30).Draw(t, "before"), moment + rapid.IntRange(0, 30).Draw(t, "after"), states[i]})
		}
		looks = rapid.Permutation(looks).Draw(t, "order")
		if got := historyOf(looks...).impossible(table); got != "" {
			t.Fatalf("a walk of the table is impossible: %s", got)
		}
		from := rapid.SampledFrom(states).Draw(t, "from")
		wrong := reachable(table, from, false)
		if len(wrong) == 0 {
			return
		}
		planted := rapid.SampledFrom(wrong).Draw(t, "planted")
		h := historyOf(append(looks, seen{1000, 1001, from}, seen{1002, 1003, planted})...)
		if h.impossible(table) == "" {
			t.Fatalf("%s after %s was not found", planted, from)
		}
	})
}

// reachable are the states that a state may become, or those that it may not.
func reachable(table stateTable, from policyv1.TaskState, may bool) []policyv1.TaskState {
	var out []policyv1.TaskState
	for number := range policyv1.TaskState_name {
		if state := policyv1.TaskState(number); number != 0 && table[from][state] == may {
			out = append(out, state)
		}
	}
	slices.Sort(out)
	return out
}

func TestState9TheTableIsThatOfTheProtos(t *testing.T) {
	table := readStateTable()
	if len(table) != len(policyv1.TaskState_name)-1 { // but UNSPECIFIED
		t.Errorf("the table has %d states", len(table))
	}
	for _, settled := range []policyv1.TaskState{success, failed, skipped} {
		if len(table[settled]) != 1 || !table[settled][settled] {
			t.Errorf("%s becomes %v", settled, table[settled])
		}
	}
	if !table[queued][running] || !table[queued][failed] || table[running][queued] {
		t.Errorf("a queued attempt becomes %v, and a running one %v", table[queued], table[running])
	}
}
