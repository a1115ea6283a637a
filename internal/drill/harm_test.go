package drill

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	policyv1 "github.com/neochaotic/leoflow/gen/leoflow/policy/v1"
)

// harm is a difference made between a record and a store that agree, of which the
// comparison must tell in the right list.
type harm struct {
	name string
	do   func(*testing.T, *Stored)
	list func(*Verdict) []string
	tell string // a piece of what it tells
}

func lost(v *Verdict) []string    { return v.Lost }
func doubled(v *Verdict) []string { return v.Doubled }
func wrong(v *Verdict) []string   { return v.Wrong }

var harms = []harm{
	{"a line is missing", cutLog(func(log []*controlv1.LogRecord, i int) []*controlv1.LogRecord {
		return slices.Delete(log, i, i+1)
	}), lost, "m1_2/1: stdout: line 7"},
	{"a line is there twice", cutLog(func(log []*controlv1.LogRecord, i int) []*controlv1.LogRecord {
		return slices.Insert(log, i, log[i])
	}), doubled, "m1_2/1: stdout: line 7"},
	{"a line is there again at the end", cutLog(func(log []*controlv1.LogRecord, i int) []*controlv1.LogRecord {
		return append(log, log[i])
	}), doubled, "m1_2/1: stdout: line 7"},
	{"two lines have changed places", cutLog(func(log []*controlv1.LogRecord, i int) []*controlv1.LogRecord {
		next := lineAt(log, stdout, 8)
		log[i], log[next] = log[next], log[i]
		return log
	}), wrong, "m1_2/1: stdout: line 7 stands after line 8"},
	{"a line has another text", cutLog(func(log []*controlv1.LogRecord, i int) []*controlv1.LogRecord {
		log[i].Message += "!"
		return log
	}), wrong, "m1_2/1: stdout: line 7 was sent as"},
	{"a line is cut", cutLog(func(log []*controlv1.LogRecord, i int) []*controlv1.LogRecord {
		log[i].Cut = true
		return log
	}), wrong, "m1_2/1: stdout: line 7 was sent as"},
	{"a line went to the other stream", cutLog(func(log []*controlv1.LogRecord, i int) []*controlv1.LogRecord {
		log[i].Stream, log[i].LineNumber = stderr, 100_000
		return log
	}), wrong, "m1_2/1: stderr: line 100000, which was never sent"},
	{"a gap is marked", cutLog(func(log []*controlv1.LogRecord, i int) []*controlv1.LogRecord {
		log[i].Mark = controlv1.LogMark_LOG_MARK_GAP
		return log
	}), wrong, "LOG_MARK_GAP of stdout, at line 7"},
	{
		"a whole log is missing", cutLog(func([]*controlv1.LogRecord, int) []*controlv1.LogRecord { return nil }),
		lost, "m1_2/1: stderr: line 1",
	},

	{
		"a success became a failure", editAttempt(func(a *controlv1.Attempt) { a.State = policyv1.TaskState_TASK_STATE_FAILED }),
		lost, "m1_2/1: the report of TASK_STATE_SUCCESS",
	},
	{"an exit code is another", editAttempt(func(a *controlv1.Attempt) { a.ExitCode = 5 }), lost, "m1_2/1: the report of TASK_STATE_SUCCESS"},
	{"a message is another", editAttempt(func(a *controlv1.Attempt) { a.Message = "?" }), lost, "m1_2/1: the report of TASK_STATE_SUCCESS"},
	{"a start is missing", editAttempt(func(a *controlv1.Attempt) { a.StartedAt = nil }), lost, "m1_2/1: the report of TASK_STATE_RUNNING"},
	{"a cause is another", editAttempt(func(a *controlv1.Attempt) { a.Cause = controlv1.Cause_CAUSE_LOST }), wrong, "for CAUSE_LOST"},
	{"an attempt is missing", func(_ *testing.T, s *Stored) { delete(s.Attempts, harmed) }, lost, "m1_2/1: the whole attempt"},
	{"an attempt too many", func(_ *testing.T, s *Stored) {
		s.Attempts[Attempt{harmed.Dag, harmed.Run, harmed.Task, 2}] = s.Attempts[harmed]
	}, wrong, "attempts are stored, and should be"},
	{"a task is missing", func(_ *testing.T, s *Stored) { delete(s.Tasks, "u1") }, wrong, "u1: the task"},
	{
		"a task is in another state", func(_ *testing.T, s *Stored) { s.Tasks["u1"].State = policyv1.TaskState_TASK_STATE_SKIPPED },
		wrong, "u1: it is TASK_STATE_SKIPPED",
	},

	{"a change is missing", func(_ *testing.T, s *Stored) {
		s.Changes = slices.DeleteFunc(s.Changes, func(c *controlv1.TaskChange) bool {
			return c.GetTaskId() == harmed.Task && c.GetState() == policyv1.TaskState_TASK_STATE_RUNNING
		})
	}, lost, "m1_2/1: the report of TASK_STATE_RUNNING: no such change"},
	{
		"a change is there twice", func(_ *testing.T, s *Stored) { s.Changes = append(s.Changes, s.Changes[len(s.Changes)-1]) },
		doubled, "the change to",
	},
	{"the value is another", func(_ *testing.T, s *Stored) {
		s.Values[harmed.Task] = append(bytes.Clone(s.Values[harmed.Task]), ' ')
	}, lost, "m1_2/1: its value"},
	{"the value is missing", func(_ *testing.T, s *Stored) { delete(s.Values, harmed.Task) }, lost, "m1_2/1: its value"},
	{"a value that nobody pushed", func(_ *testing.T, s *Stored) { s.Values["f1"] = []byte("1") }, wrong, "f1/1: a value is stored"},
}

// noteHarms are done to a line that agents send once: a killed server may lose it.
var noteHarms = []harm{
	{"an unnumbered line is missing", cutNotes(func(_, others []*controlv1.LogRecord) []*controlv1.LogRecord {
		return others
	}), lost, "f1/1: agent: 1 times"},
	{"an unnumbered line is there twice", cutNotes(func(notes, others []*controlv1.LogRecord) []*controlv1.LogRecord {
		return slices.Concat(others, notes, notes)
	}), doubled, "f1/1: agent: "},
}

// harmed is the attempt that most harms are done to.
var harmed = Attempt{"drill", runID, "m1_2", 1}

func lineAt(log []*controlv1.LogRecord, stream string, number int64) int {
	return slices.IndexFunc(log, func(r *controlv1.LogRecord) bool {
		return r.GetStream() == stream && r.GetLineNumber() == number
	})
}

func cutLog(change func(log []*controlv1.LogRecord, i int) []*controlv1.LogRecord) func(*testing.T, *Stored) {
	return func(t *testing.T, s *Stored) {
		t.Helper()
		a := s.Attempts[harmed]
		i := lineAt(a.Log, stdout, 7)
		if i < 0 {
			t.Fatal("the log has no line 7")
		}
		a.Log = change(a.Log, i)
	}
}

// cutNotes changes what the agent of a task that failed said of it.
func cutNotes(change func(notes, others []*controlv1.LogRecord) []*controlv1.LogRecord) func(*testing.T, *Stored) {
	return func(t *testing.T, s *Stored) {
		t.Helper()
		a := s.Attempts[Attempt{harmed.Dag, harmed.Run, "f1", 1}]
		var notes, others []*controlv1.LogRecord
		for _, record := range a.Log {
			if record.GetLineNumber() == 0 {
				notes = append(notes, record)
			} else {
				others = append(others, record)
			}
		}
		if len(notes) == 0 {
			t.Fatal("the agent said nothing")
		}
		a.Log = change(notes, others)
	}
}

func editAttempt(change func(*controlv1.Attempt)) func(*testing.T, *Stored) {
	return func(_ *testing.T, s *Stored) { change(s.Attempts[harmed].Attempt) }
}

// prove does the harm to a copy of what is stored, and looks for it in the verdict.
func (h harm) prove(t *testing.T, plan *Plan, seen map[Attempt]*Seen, stored *Stored) {
	t.Helper()
	stored = copyOf(stored)
	h.do(t, stored)
	v := Compare(seen, stored)
	plan.Check(v, stored)
	if !slices.ContainsFunc(h.list(v), func(fault string) bool { return strings.Contains(fault, h.tell) }) {
		t.Errorf("%s: nobody tells %q; lost %q, doubled %q, wrong %q", h.name, h.tell, v.Lost, v.Doubled, v.Wrong)
	}
}

func copyOf(s *Stored) *Stored {
	out := &Stored{
		Dag: s.Dag, Run: s.Run, Values: maps.Clone(s.Values), Changes: slices.Clone(s.Changes),
		Tasks: map[string]*controlv1.Task{}, Attempts: map[Attempt]*StoredAttempt{},
	}
	for id, task := range s.Tasks {
		out.Tasks[id] = proto.CloneOf(task)
	}
	for a, attempt := range s.Attempts {
		log := make([]*controlv1.LogRecord, len(attempt.Log))
		for i, record := range attempt.Log {
			log[i] = proto.CloneOf(record)
		}
		out.Attempts[a] = &StoredAttempt{proto.CloneOf(attempt.Attempt), log}
	}
	return out
}

// TestCompareTellsEachHarm proves the comparison on a record and a store that were made
// to agree, without any server.
func TestCompareTellsEachHarm(t *testing.T) {
	plan := NewPlan(rand.New(rand.NewPCG(1, 2)), 3)
	seen, stored := agreeing(plan)
	v := Compare(seen, stored)
	plan.Check(v, stored)
	if !v.Clean() || v.Lines <= plan.Lines() || v.Reports == 0 || v.Values == 0 {
		t.Fatalf("a record and a store that agree: %+v", v)
	}
	for _, harm := range slices.Concat(harms, noteHarms) {
		t.Run(harm.name, func(t *testing.T) { harm.prove(t, plan, seen, stored) })
	}
}

// TestCompareTellsUnacknowledgedLinesApart holds that a line that was not acknowledged
// may be missing, and may not be there twice.
func TestCompareTellsUnacknowledgedLinesApart(t *testing.T) {
	plan := NewPlan(rand.New(rand.NewPCG(1, 2)), 1)
	seen, stored := agreeing(plan)
	stream := seen[harmed].Streams[stdout]
	stream.Acked = 6
	for n := int64(7); n <= int64(len(stream.Sent)); n++ {
		i := lineAt(stored.Attempts[harmed].Log, stdout, n)
		stored.Attempts[harmed].Log = slices.Delete(stored.Attempts[harmed].Log, i, i+1)
		if n == 7 {
			if v := Compare(seen, stored); !v.Clean() {
				t.Fatalf("a line that nobody acknowledged is missing: %+v", v)
			}
		}
	}
	last := stored.Attempts[harmed].Log[0]
	stored.Attempts[harmed].Log = append(stored.Attempts[harmed].Log, last, last)
	if v := Compare(seen, stored); len(v.Doubled) == 0 {
		t.Errorf("a line is there again: %+v", v)
	}
}

// TestCompareTellsAgentsFaults holds what an agent may not do.
func TestCompareTellsAgentsFaults(t *testing.T) {
	plan := NewPlan(rand.New(rand.NewPCG(1, 2)), 1)
	seen, stored := agreeing(plan)
	of := seen[harmed]
	of.Faults = []string{"a fault"}
	of.Reports = append(of.Reports,
		Report{State: agentv1.TaskState_TASK_STATE_FAILED, Message: "after all"},
		Report{State: agentv1.TaskState_TASK_STATE_SKIPPED, Terminate: true})
	v := Compare(seen, stored)
	got := strings.Join(slices.Concat(v.Wrong, v.Lost), "\n")
	for _, want := range []string{"m1_2/1: a fault", "m1_2/1: told to end", "the report of TASK_STATE_FAILED: no such change"} {
		if !strings.Contains(got, want) {
			t.Errorf("nobody tells %q:\n%s", want, got)
		}
	}
}

// agreeing returns a record and a store of a run in which everything went as planned.
func agreeing(plan *Plan) (map[Attempt]*Seen, *Stored) {
	seen := map[Attempt]*Seen{}
	stored := &Stored{
		Dag: plan.Dag, Run: runID,
		Tasks: map[string]*controlv1.Task{}, Attempts: map[Attempt]*StoredAttempt{}, Values: map[string][]byte{},
	}
	change := func(id string, try int, state policyv1.TaskState) {
		stored.Changes = append(stored.Changes, &controlv1.TaskChange{
			Revision: int64(len(stored.Changes) + 1), TaskId: id, TryNumber: int32(try), State: state,
		})
	}
	for _, task := range plan.Tasks {
		stored.Tasks[task.ID] = &controlv1.Task{TaskId: task.ID, State: task.State, TryNumber: int32(len(task.Tries))}
		for i, try := range task.Tries {
			a := Attempt{plan.Dag, runID, task.ID, int32(i + 1)}
			change(task.ID, i+1, policyv1.TaskState_TASK_STATE_RUNNING)
			change(task.ID, i+1, try.State)
			seen[a], stored.Attempts[a] = attempted(plan, a, try)
		}
		if task.Value != nil {
			stored.Values[task.ID] = task.Value
			seen[Attempt{plan.Dag, runID, task.ID, int32(len(task.Tries))}].Values[returnValue] = task.Value
		}
		if len(task.Tries) == 0 {
			change(task.ID, 0, task.State)
		}
	}
	return seen, stored
}

func attempted(plan *Plan, a Attempt, try Try) (*Seen, *StoredAttempt) {
	seen := newSeen()
	there := &StoredAttempt{Attempt: &controlv1.Attempt{
		TryNumber: a.Try, State: try.State, Cause: try.Cause, StartedAt: timestamppb.Now(),
	}}
	for agents, state := range states {
		if state == try.State {
			seen.Reports = []Report{{State: agentv1.TaskState_TASK_STATE_RUNNING}, {State: agents}, {State: agents}}
		}
	}
	for stream, lines := range map[string]int{stdout: try.Lines, stderr: try.Lines / 2} {
		sent := seen.stream(stream)
		sent.Acked = int64(lines)
		for n := 1; n <= lines; n++ {
			sent.Sent[int64(n)] = plan.line(a, stream, n)
			there.Log = append(there.Log, &controlv1.LogRecord{Stream: stream, LineNumber: int64(n), Message: plan.line(a, stream, n)})
		}
	}
	seen.stream("agent").Loose["a note"] = Loose{Sent: 1, Acked: 1}
	there.Log = append(there.Log, &controlv1.LogRecord{Stream: "agent", Message: "a note"})
	return seen, there
}

// TestCheckShownTellsWhatWasNotShown alters what leoflow run printed.
func TestCheckShownTellsWhatWasNotShown(t *testing.T) {
	plan := NewPlan(rand.New(rand.NewPCG(1, 2)), 1)
	seen, _ := agreeing(plan)
	var out strings.Builder
	for a, of := range seen {
		for stream, mark := range map[string]string{stdout: "│", stderr: "┃"} {
			for n := 1; n <= len(of.Streams[stream].Sent); n++ {
				out.WriteString(a.Task + "  " + mark + " " + plan.line(a, stream, n) + "\n")
			}
		}
	}
	line := "m1_2  │ " + plan.line(harmed, stdout, 7) + "\n"
	for name, c := range map[string]struct{ output, want string }{
		"all":      {out.String(), ""},
		"one less": {strings.Replace(out.String(), line, "", 1), "m1_2/1 o: lines 7 to 7 were not shown"},
		"one more": {out.String() + line, "m1_2/1 o: line 7 was shown again"},
		"nothing":  {"", "m1_2/1: 0 and 0 lines were shown"},
	} {
		v := &Verdict{}
		plan.CheckShown(v, c.output)
		if got := strings.Join(v.Wrong, "\n"); (c.want == "") != v.Clean() || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// TestCheckBegunTellsATaskThatRanTwice looks at the marks that tasks leave.
func TestCheckBegunTellsATaskThatRanTwice(t *testing.T) {
	plan, dir := NewPlan(rand.New(rand.NewPCG(1, 2)), 1), t.TempDir()
	if _, err := plan.Write(dir); err != nil {
		t.Fatal(err)
	}
	begin := func(name string) {
		t.Helper()
		if err := os.Mkdir(filepath.Join(dir, "tries", name), 0o750); err != nil {
			t.Fatal(err)
		}
	}
	for _, task := range plan.Tasks {
		for i := range task.Tries {
			begin(fmt.Sprintf("%s.%d", task.ID, i+1))
		}
	}
	v := &Verdict{}
	if err := plan.CheckBegun(v, dir); err != nil || !v.Clean() {
		t.Errorf("as planned: %v, %q", err, v.Wrong)
	}
	begin("r1.2")
	if err := plan.CheckBegun(v, dir); err != nil || len(v.Wrong) != 1 {
		t.Errorf("a task that ran twice: %v, %q", err, v.Wrong)
	}
}
