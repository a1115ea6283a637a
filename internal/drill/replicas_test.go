package drill

import (
	"context"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	policyv1 "github.com/neochaotic/leoflow/gen/leoflow/policy/v1"
	"github.com/neochaotic/leoflow/internal/pgtest"
)

// TestReplicas kills three servers of one database in turn, under a pipeline and a
// crowd of agents that are cancelled, superseded, tried again and reaped meanwhile. That
// the check of the crowd is worth something is shown on what it has read.
//
// It holds STATE-2, STATE-3, STATE-4, STATE-5, STATE-9, STATE-10, BEAT-5, BEAT-6, XCOM-6,
// XCOM-7, LOG-1 to LOG-4 and LOG-13 under the sudden death of servers that take over from
// each other.
func TestReplicas(t *testing.T) {
	t.Parallel() // it waits more than it works
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	dir := t.TempDir()
	program, err := built()
	if err != nil {
		t.Fatal(err)
	}
	seed := rand.Uint64N(1_000_000)
	t.Logf("seed %d; more by: go run ./tools/crashdrill -replicas 3 -seed %d", seed, seed)
	result, err := Run(ctx, Config{
		Program: program, Dir: dir, Kills: 3, Groups: 1, Parallel: 4, Seed: seed, Out: t.Output(),
		Replicas: 3, Database: pgtest.Database(t),
	})
	if err != nil {
		said, _ := os.ReadFile(filepath.Join(dir, "serve.log"))
		t.Fatalf("%v\n%s", err, said[max(0, len(said)-4096):])
	}
	t.Log(result)
	for _, difference := range result.Differences() {
		t.Error(difference)
	}
	crowd := result.Crowd
	if result.Kills < 3 || len(crowd.Stored.Attempts) < 2*len(kinds) || len(crowd.Cancelled) == 0 || len(crowd.Silent) == 0 {
		t.Errorf("too little to be worth something: %v", result)
	}
	if !t.Failed() {
		for _, harm := range crowdHarms {
			harm.prove(t, crowd)
		}
	}
}

// crowdHarm is a difference made to what is known of a crowd, of which the check must tell.
type crowdHarm struct {
	name string
	do   func(*testing.T, *Crowd)
	tell string
}

// prove shows that the check tells of the harm, and of nothing without it.
func (h crowdHarm) prove(t *testing.T, c *Crowd) {
	t.Helper()
	harmed := c.copy()
	h.do(t, harmed)
	v := &Verdict{}
	harmed.Check(v)
	if !slices.ContainsFunc(v.Differences(), func(told string) bool { return strings.Contains(told, h.tell) }) {
		t.Errorf("%s: it tells %q, and should of %q", h.name, v.Differences(), h.tell)
	}
}

func (c *Crowd) copy() *Crowd {
	out := *c
	out.Silent, out.Cancelled, out.Seen = maps.Clone(c.Silent), maps.Clone(c.Cancelled), maps.Clone(c.Seen)
	stored := *c.Stored
	stored.Values, stored.Tasks = maps.Clone(stored.Values), maps.Clone(stored.Tasks)
	stored.Attempts = map[Attempt]*StoredAttempt{}
	for a, there := range c.Stored.Attempts {
		stored.Attempts[a] = &StoredAttempt{Attempt: proto.CloneOf(there.Attempt)}
	}
	changes := func(all []*controlv1.TaskChange) (out []*controlv1.TaskChange) {
		for _, change := range all {
			out = append(out, proto.CloneOf(change))
		}
		return out
	}
	stored.Changes, out.Heard, out.Stored = changes(stored.Changes), changes(c.Heard), &stored
	return &out
}

// first is an attempt of a kind whose task ended.
func (c *Crowd) first(t *testing.T, kind string, try int32) Attempt {
	t.Helper()
	for _, a := range slices.SortedFunc(maps.Keys(c.Stored.Attempts), byName) {
		if strings.HasPrefix(a.Task, kind+"_") && a.Try == try && c.Seen[a] != nil {
			return a
		}
	}
	t.Fatalf("no attempt of the kind %s", kind)
	return Attempt{}
}

// more adds a change of an attempt's after all others.
func more(kind string, try int32, state policyv1.TaskState) func(*testing.T, *Crowd) {
	return func(t *testing.T, c *Crowd) {
		a := c.first(t, kind, try)
		c.Stored.Changes = append(c.Stored.Changes, &controlv1.TaskChange{
			Revision: int64(len(c.Stored.Changes) + 1), TaskId: a.Task, TryNumber: a.Try, State: state,
		})
	}
}

// edit changes a stored attempt.
func edit(kind string, change func(*StoredAttempt)) func(*testing.T, *Crowd) {
	return func(t *testing.T, c *Crowd) { change(c.Stored.Attempts[c.first(t, kind, 1)]) }
}

var crowdHarms = []crowdHarm{
	{"an ended attempt runs again", more("plain", 1, policyv1.TaskState_TASK_STATE_RUNNING), "an attempt that had ended came back"},
	{"an attempt ends twice", more("plain", 1, policyv1.TaskState_TASK_STATE_FAILED), "a second end"},
	{"a superseded attempt ends", more("late", 1, policyv1.TaskState_TASK_STATE_SUCCESS), "a try that was over changed"},
	{"a try begins before the one before has ended", func(t *testing.T, c *Crowd) {
		a := c.first(t, "retry", 1)
		c.Stored.Changes = slices.DeleteFunc(c.Stored.Changes, func(change *controlv1.TaskChange) bool {
			return change.GetTaskId() == a.Task && change.GetTryNumber() == 1 && change.GetState() != policyv1.TaskState_TASK_STATE_QUEUED
		})
	}, "a try began as it must not"},
	{"a change is missing", func(_ *testing.T, c *Crowd) { c.Stored.Changes = slices.Delete(c.Stored.Changes, 3, 4) }, "change 4 of the crowd has the revision 5"},
	{"a change is another than a watcher saw", func(_ *testing.T, c *Crowd) { c.Stored.Changes[3].ExitCode++ }, "a watcher was told of"},
	{"a change that a watcher saw is gone", func(_ *testing.T, c *Crowd) {
		c.Stored.Changes = c.Stored.Changes[:len(c.Stored.Changes)-1]
	}, "which a watcher was told of"},
	{"a watcher missed the last change", func(_ *testing.T, c *Crowd) { c.Heard = c.Heard[:len(c.Heard)-1] }, "a watcher was told of"},
	{"a report is lost", edit("plain", func(a *StoredAttempt) { a.State = policyv1.TaskState_TASK_STATE_FAILED }), "the report of TASK_STATE_SUCCESS"},
	{"an exit code is lost", edit("retry", func(a *StoredAttempt) { a.ExitCode = 0 }), "the report of TASK_STATE_FAILED"},
	{"a start is lost", edit("plain", func(a *StoredAttempt) { a.StartedAt = nil }), "the report of TASK_STATE_RUNNING"},
	{"an attempt is lost", func(t *testing.T, c *Crowd) { delete(c.Stored.Attempts, c.first(t, "plain", 1)) }, "the whole attempt"},
	{"a value is lost", func(t *testing.T, c *Crowd) { delete(c.Stored.Values, c.first(t, "plain", 1).Task) }, "its value"},
	{"a value is an older one", func(t *testing.T, c *Crowd) {
		a := c.first(t, "plain", 1)
		c.Stored.Values[a.Task] = []byte(`"` + a.String() + ` value 0"`)
	}, "value 3"},
	{"a superseded attempt's value is served", func(t *testing.T, c *Crowd) {
		a := c.first(t, "retry", 2)
		c.Seen[a] = newSeen()
	}, "none was taken"},
	{"an attempt that beats is lost", edit("plain", func(a *StoredAttempt) { a.Cause = controlv1.Cause_CAUSE_LOST }), "lost, though its agent beat"},
	{"a silent attempt is not lost", edit("silent", func(a *StoredAttempt) { a.Cause = controlv1.Cause_CAUSE_SUPERSEDED }), "silent, and not lost"},
	{"a cancel has no effect", edit("cancel", func(a *StoredAttempt) { a.Cause = controlv1.Cause_CAUSE_EXIT_NONZERO }), "cancelled, and failed"},
	{"an attempt never ends", edit("plain", func(a *StoredAttempt) { a.State = policyv1.TaskState_TASK_STATE_RUNNING }), "it never ended"},
	{"two ends are acknowledged", func(t *testing.T, c *Crowd) {
		a := c.first(t, "plain", 1)
		seen := *c.Seen[a]
		seen.Reports = append(slices.Clone(seen.Reports), Report{State: failed, ExitCode: 1})
		c.Seen[a] = &seen
	}, "two ends were acknowledged"},
	{"a task is in a state that no change led to", func(t *testing.T, c *Crowd) {
		a := c.first(t, "plain", 1)
		task := proto.CloneOf(c.Stored.Tasks[a.Task])
		task.State = policyv1.TaskState_TASK_STATE_SKIPPED
		c.Stored.Tasks[a.Task] = task
	}, "and its changes end at"},
	{"an answer was wrong", func(_ *testing.T, c *Crowd) { c.Faults = []string{"told to end"} }, "told to end"},
}
