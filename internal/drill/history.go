package drill

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	policyv1 "github.com/neochaotic/leoflow/gen/leoflow/policy/v1"
)

// Crowd is what a crowd did and saw, and what is stored of it. The store says in which
// order things happened, by the revisions of the run: nothing need be searched for.
type Crowd struct {
	Acts
	Seen   map[Attempt]*Seen
	Heard  []*controlv1.TaskChange // by a watcher, while it happened
	Stored *Stored
}

// String counts.
func (c *Crowd) String() string {
	superseded := 0
	for _, a := range c.Stored.Attempts {
		if a.GetCause() == controlv1.Cause_CAUSE_SUPERSEDED {
			superseded++
		}
	}
	return fmt.Sprintf("%d of a crowd (%d cancelled, %d reaped, %d superseded, %d changes heard of)",
		len(c.Stored.Attempts), len(c.Cancelled), len(c.Silent), superseded, len(c.Heard))
}

// told reads what is stored of a crowd that has ended.
func (c *crowd) told(ctx context.Context, client controlv1.ControlServiceClient, seen map[Attempt]*Seen) (*Crowd, error) {
	stored, err := ReadBack(ctx, client, crowdDag, runID)
	if err != nil {
		return nil, err
	}
	return &Crowd{Acts: c.acts, Seen: seen, Heard: c.heard, Stored: stored}, nil
}

// Check holds the history of every attempt against the state table of the spec
// (STATE-9), and against what was acknowledged, done and heard.
func (c *Crowd) Check(v *Verdict) {
	for _, fault := range c.Faults {
		v.wrong("%s", fault)
	}
	c.checkTasks(v)
	c.checkHeard(v)
	for _, a := range slices.SortedFunc(maps.Keys(c.Seen), byName) {
		for _, fault := range c.Seen[a].Faults {
			v.wrong("%v: %s", a, fault)
		}
		there, ok := c.Stored.Attempts[a]
		if !ok {
			v.lost("%v: the whole attempt", a)
			continue
		}
		c.checkReports(v, a, there)
		c.checkValue(v, a)
	}
	for _, a := range slices.SortedFunc(maps.Keys(c.Stored.Attempts), byName) {
		c.checkCause(v, a, c.Stored.Attempts[a])
	}
}

// next are the states that a state may become, by the options of the protos.
func next(state policyv1.TaskState) []policyv1.TaskState {
	value := state.Descriptor().Values().ByNumber(state.Number())
	policy, _ := proto.GetExtension(value.Options(), policyv1.E_State).(*policyv1.StatePolicy)
	return policy.GetNext()
}

// at is where a task is: its try, and the state of that.
type at struct {
	try   int32
	state policyv1.TaskState
}

// checkTasks follows each task from change to change.
func (c *Crowd) checkTasks(v *Verdict) {
	tasks := map[string]at{}
	for i, change := range c.Stored.Changes {
		if change.GetRevision() != int64(i+1) {
			v.wrong("change %d of the crowd has the revision %d", i+1, change.GetRevision())
		}
		was, ok := tasks[change.GetTaskId()]
		if !ok {
			was = at{0, policyv1.TaskState_TASK_STATE_NONE}
		}
		now := at{change.GetTryNumber(), change.GetState()}
		if fault := was.to(now); fault != "" {
			v.wrong("%s: %s: from %v of try %d to %v of try %d", change.GetTaskId(), fault, was.state, was.try, now.state, now.try)
		}
		tasks[change.GetTaskId()] = now
	}
	for id, task := range c.Stored.Tasks {
		now, ok := tasks[id]
		if !ok {
			now = at{0, policyv1.TaskState_TASK_STATE_NONE}
		}
		if task.GetState() != now.state || ok && task.GetTryNumber() != now.try {
			v.wrong("%s: it is %v of try %d, and its changes end at %v of try %d", id, task.GetState(), task.GetTryNumber(), now.state, now.try)
		}
	}
}

// to tells what is wrong with a change; empty: nothing.
func (was at) to(now at) string {
	waits := was.state == policyv1.TaskState_TASK_STATE_UP_FOR_RETRY
	switch {
	case now.try < was.try:
		return "a try that was over changed"
	case now.try > was.try+1:
		return "a try was left out"
	case now.try == was.try+1:
		if now.state != policyv1.TaskState_TASK_STATE_QUEUED || was.try > 0 && !waits && !terminal(was.state) {
			return "a try began as it must not"
		}
		return ""
	case now.state == policyv1.TaskState_TASK_STATE_UP_FOR_RETRY && terminal(was.state):
		return ""
	case terminal(was.state) && terminal(now.state):
		return "a second end"
	case terminal(was.state):
		return "an attempt that had ended came back"
	case !slices.Contains(next(was.state), now.state):
		return "the state table has no such change"
	}
	return ""
}

// checkHeard holds what a watcher was told against what is stored: every change once,
// in order, and as it still is.
func (c *Crowd) checkHeard(v *Verdict) {
	for i, change := range c.Heard {
		switch {
		case i >= len(c.Stored.Changes):
			v.lost("change %d, to %v of %s, which a watcher was told of", i+1, change.GetState(), change.GetTaskId())
		case !proto.Equal(change, c.Stored.Changes[i]):
			v.wrong("a watcher was told of %v as change %d, and stored is %v", change, i+1, c.Stored.Changes[i])
		}
	}
	if n := len(c.Heard); n < len(c.Stored.Changes) {
		v.wrong("a watcher was told of %d changes, of %d", n, len(c.Stored.Changes))
	}
}

// checkReports holds that what was acknowledged is stored, and of ends only one.
func (c *Crowd) checkReports(v *Verdict, a Attempt, there *StoredAttempt) {
	var end *Report
	for i, report := range c.Seen[a].Reports {
		state := states[report.State]
		if report.Terminate || slices.Contains(c.Seen[a].Reports[:i], report) {
			continue
		}
		v.Reports++
		if !terminal(state) {
			if there.GetStartedAt() == nil {
				v.lost("%v: the report of %v", a, state)
			}
			continue
		}
		if end != nil {
			v.wrong("%v: two ends were acknowledged, %v and %v", a, states[end.State], state)
		}
		end = &report
		if there.GetState() != state || there.GetExitCode() != report.ExitCode || there.GetMessage() != report.Message {
			v.lost("%v: the report of %v, code %d, %q: stored is %v, code %d, %q", a,
				state, report.ExitCode, report.Message, there.GetState(), there.GetExitCode(), there.GetMessage())
		}
	}
}

// checkValue holds that the last value which was taken of a current try is stored.
func (c *Crowd) checkValue(v *Verdict, a Attempt) {
	if c.Stored.Tasks[a.Task].GetTryNumber() != a.Try {
		return
	}
	want, pushed := c.Seen[a].Values[returnValue]
	there, ok := c.Stored.Values[a.Task]
	if pushed {
		v.Values++
	}
	switch {
	case pushed && !ok:
		v.lost("%v: its value", a)
	case pushed && !bytes.Equal(want, there):
		v.lost("%v: its value %q: stored is %q", a, want, there)
	case !pushed && ok:
		v.wrong("%v: a value %q is stored, and none was taken", a, there)
	}
}

// checkCause holds the end of an attempt against what was done to it.
func (c *Crowd) checkCause(v *Verdict, a Attempt, there *StoredAttempt) {
	lost := there.GetCause() == controlv1.Cause_CAUSE_LOST
	switch {
	case !terminal(there.GetState()):
		v.wrong("%v: it never ended: %v", a, there.GetState())
	case lost && !c.Silent[a]:
		v.wrong("%v: lost, though its agent beat", a)
	case c.Silent[a] && !lost:
		v.wrong("%v: silent, and not lost: %v for %v", a, there.GetState(), there.GetCause())
	case c.Cancelled[a] && there.GetState() == policyv1.TaskState_TASK_STATE_FAILED && there.GetCause() != controlv1.Cause_CAUSE_CANCELLED:
		v.wrong("%v: cancelled, and failed for %v", a, there.GetCause())
	}
}
