package serversuite

import (
	"fmt"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	policyv1 "github.com/neochaotic/leoflow/gen/leoflow/policy/v1"
)

// stateTable is what each state may become, in any number of steps and none included, as
// the protos say it by their options (STATE-9).
type stateTable map[policyv1.TaskState]map[policyv1.TaskState]bool

// readStateTable reads the options of leoflow.policy.v1.TaskState.
func readStateTable() stateTable {
	values := policyv1.TaskState(0).Descriptor().Values()
	next := map[policyv1.TaskState][]policyv1.TaskState{}
	for i := range values.Len() {
		if policy, ok := proto.GetExtension(values.Get(i).Options(), policyv1.E_State).(*policyv1.StatePolicy); ok && policy != nil {
			next[policyv1.TaskState(values.Get(i).Number())] = policy.GetNext()
		}
	}
	table := stateTable{}
	for state := range next {
		table[state] = map[policyv1.TaskState]bool{}
		reach(next, table[state], state)
	}
	return table
}

func reach(next map[policyv1.TaskState][]policyv1.TaskState, reached map[policyv1.TaskState]bool, state policyv1.TaskState) {
	if reached[state] {
		return
	}
	reached[state] = true
	for _, to := range next[state] {
		reach(next, reached, to)
	}
}

// observation is that an attempt was in a state at some moment from begun to known.
type observation struct {
	begun, known time.Time
	state        policyv1.TaskState
	by           string // who saw it
}

func (o observation) String() string { return fmt.Sprintf("%s (%s)", o.state, o.by) }

// history is what was observed of one attempt, by any number of observers at once.
type history struct {
	mu   sync.Mutex
	seen []observation
}

// saw adds an observation that began at a time and is known now.
func (h *history) saw(begun time.Time, state policyv1.TaskState, by string) {
	known := time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seen = append(h.seen, observation{begun, known, state, by})
}

// impossible finds two observations, the one known before the other began, of which the
// later state does not follow from the earlier by any path of the table; empty: there
// are none. Of those that overlap either may have been first.
func (h *history) impossible(table stateTable) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, earlier := range h.seen {
		if table[earlier.state] == nil {
			return fmt.Sprintf("%s is no state", earlier)
		}
		for _, later := range h.seen {
			if earlier.known.Before(later.begun) && !table[earlier.state][later.state] {
				return fmt.Sprintf("%s, and then %s", earlier, later)
			}
		}
	}
	return ""
}
