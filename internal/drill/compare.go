package drill

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	policyv1 "github.com/neochaotic/leoflow/gen/leoflow/policy/v1"
)

// Verdict is what a comparison came to.
type Verdict struct {
	// Reports, Values and Lines count what was acknowledged, each once.
	Reports, Values, Lines int
	// Lost is what was acknowledged and is not stored as it was, Doubled what is stored
	// more than once, Wrong every other difference; each in a line of words.
	Lost, Doubled, Wrong []string
}

// Clean reports whether nothing differs.
func (v *Verdict) Clean() bool { return len(v.Lost)+len(v.Doubled)+len(v.Wrong) == 0 }

// Differences lists what differs, each with its kind: the wrong first, which may
// explain the others.
func (v *Verdict) Differences() []string {
	var out []string
	for _, kind := range []struct {
		name   string
		faults []string
	}{{"wrong", v.Wrong}, {"lost", v.Lost}, {"doubled", v.Doubled}} {
		for _, fault := range kind.faults {
			out = append(out, kind.name+": "+fault)
		}
	}
	return out
}

func (v *Verdict) lost(format string, args ...any) {
	v.Lost = append(v.Lost, fmt.Sprintf(format, args...))
}

func (v *Verdict) doubled(format string, args ...any) {
	v.Doubled = append(v.Doubled, fmt.Sprintf(format, args...))
}

func (v *Verdict) wrong(format string, args ...any) {
	v.Wrong = append(v.Wrong, fmt.Sprintf(format, args...))
}

// Compare holds what agents saw acknowledged against what is stored: each report and
// each value of a current try (XCOM-7) is there as it was acknowledged, each
// acknowledged line exactly once and in order, each other line at most once, and
// nothing is there that no agent sent.
func Compare(seen map[Attempt]*Seen, stored *Stored) *Verdict {
	v := &Verdict{}
	history := histories(v, stored)
	for _, a := range slices.SortedFunc(maps.Keys(seen), byName) {
		of := seen[a]
		for _, fault := range of.Faults {
			v.wrong("%v: %s", a, fault)
		}
		there, ok := stored.Attempts[a]
		if !ok {
			there = &StoredAttempt{Attempt: &controlv1.Attempt{}}
			v.lost("%v: the whole attempt", a)
		}
		compareReports(v, a, of.Reports, there, history[a])
		compareValues(v, a, of.Values, stored)
		compareLog(v, a, of.Streams, there.Log)
	}
	for id := range stored.Values {
		a := Attempt{stored.Dag, stored.Run, id, stored.Tasks[id].GetTryNumber()}
		if of, ok := seen[a]; !ok || of.Values[returnValue] == nil {
			v.wrong("%v: a value is stored, and none was accepted", a)
		}
	}
	return v
}

func byName(a, b Attempt) int { return bytes.Compare([]byte(a.String()), []byte(b.String())) }

// states are an agent's states, as they are stored.
var states = map[agentv1.TaskState]policyv1.TaskState{
	agentv1.TaskState_TASK_STATE_RUNNING: policyv1.TaskState_TASK_STATE_RUNNING,
	agentv1.TaskState_TASK_STATE_SUCCESS: policyv1.TaskState_TASK_STATE_SUCCESS,
	agentv1.TaskState_TASK_STATE_FAILED:  policyv1.TaskState_TASK_STATE_FAILED,
	agentv1.TaskState_TASK_STATE_SKIPPED: policyv1.TaskState_TASK_STATE_SKIPPED,
}

func terminal(s policyv1.TaskState) bool {
	switch s { //nolint:exhaustive // all others are not
	case policyv1.TaskState_TASK_STATE_SUCCESS, policyv1.TaskState_TASK_STATE_FAILED,
		policyv1.TaskState_TASK_STATE_SKIPPED, policyv1.TaskState_TASK_STATE_UPSTREAM_FAILED:
		return true
	default:
		return false
	}
}

// histories sorts the changes by attempt. A change that is there twice is doubled,
// and a hole in the revisions is a change lost.
func histories(v *Verdict, stored *Stored) map[Attempt]map[policyv1.TaskState]*controlv1.TaskChange {
	all := map[Attempt]map[policyv1.TaskState]*controlv1.TaskChange{}
	for i, change := range stored.Changes {
		if change.GetRevision() != int64(i+1) {
			v.wrong("change %d has the revision %d", i+1, change.GetRevision())
		}
		a := Attempt{stored.Dag, stored.Run, change.GetTaskId(), change.GetTryNumber()}
		of := all[a]
		if of == nil {
			of = map[policyv1.TaskState]*controlv1.TaskChange{}
			all[a] = of
		}
		if of[change.GetState()] != nil {
			v.doubled("%v: the change to %v", a, change.GetState())
		}
		of[change.GetState()] = change
	}
	return all
}

// compareReports holds each report that was acknowledged against the attempt and its
// changes. Repeats count once (STATE-3).
func compareReports(v *Verdict, a Attempt, reports []Report, there *StoredAttempt, history map[policyv1.TaskState]*controlv1.TaskChange) {
	ended := 0
	for i, report := range reports {
		if slices.Contains(reports[:i], report) {
			continue
		}
		v.Reports++
		state := states[report.State]
		change := history[state]
		switch {
		case report.Terminate:
			v.wrong("%v: told to end when it reported %v", a, state)
			continue
		case change == nil:
			v.lost("%v: the report of %v: no such change is stored", a, state)
			continue
		case !terminal(state):
			if there.GetStartedAt() == nil {
				v.lost("%v: the report of %v: no start is stored", a, state)
			}
			continue
		}
		if ended++; ended > 1 {
			v.wrong("%v: it reported a second end, %v", a, state)
		}
		if there.GetState() != state || there.GetExitCode() != report.ExitCode || there.GetMessage() != report.Message {
			v.lost("%v: the report of %v, code %d, %q: stored is %v, code %d, %q", a,
				state, report.ExitCode, report.Message, there.GetState(), there.GetExitCode(), there.GetMessage())
		}
		if change.GetExitCode() != report.ExitCode || change.GetMessage() != report.Message {
			v.wrong("%v: the change to %v has code %d, %q", a, state, change.GetExitCode(), change.GetMessage())
		}
	}
}

func compareValues(v *Verdict, a Attempt, values map[string][]byte, stored *Stored) {
	if stored.Tasks[a.Task].GetTryNumber() != a.Try {
		return
	}
	for key, value := range values {
		v.Values++
		there, ok := stored.Values[a.Task]
		switch {
		case key != returnValue:
			v.wrong("%v: a value %q, which no task of the plan hands on", a, key)
		case !ok:
			v.lost("%v: its value of %d bytes", a, len(value))
		case !bytes.Equal(there, value):
			v.lost("%v: its value of %d bytes: stored is another, of %d bytes", a, len(value), len(there))
		}
	}
}

// compareLog holds the log of an attempt against what its agent sent.
func compareLog(v *Verdict, a Attempt, sent map[string]*Stream, log []*controlv1.LogRecord) {
	kept := map[string][]*controlv1.LogRecord{}
	for _, record := range log {
		name := record.GetStream()
		if record.GetMark() != controlv1.LogMark_LOG_MARK_UNSPECIFIED {
			v.wrong("%v: a mark %v of %s, at line %d", a, record.GetMark(), name, record.GetLineNumber())
			continue
		}
		if sent[name] == nil {
			v.wrong("%v: a line of %s, which it never sent: %q", a, name, record.GetMessage())
			continue
		}
		kept[name] = append(kept[name], record)
	}
	for _, name := range slices.Sorted(maps.Keys(sent)) {
		compareStream(v, fmt.Sprintf("%v: %s", a, name), sent[name], kept[name])
	}
}

func compareStream(v *Verdict, where string, sent *Stream, kept []*controlv1.LogRecord) {
	there, loose, last := map[int64]bool{}, map[string]int{}, int64(0)
	for _, record := range kept {
		number, text := record.GetLineNumber(), record.GetMessage()
		if number == 0 {
			loose[text]++
			continue
		}
		was, ok := sent.Sent[number]
		switch {
		case there[number]:
			v.doubled("%s: line %d", where, number)
		case number < last:
			v.wrong("%s: line %d stands after line %d", where, number, last)
		case !ok:
			v.wrong("%s: line %d, which was never sent: %q", where, number, text)
		case was != text || record.GetCut():
			v.wrong("%s: line %d was sent as %q and is stored as %q", where, number, was, text)
		}
		there[number], last = true, max(last, number)
	}
	for number := int64(1); number <= sent.Acked; number++ {
		v.Lines++
		if !there[number] {
			v.lost("%s: line %d", where, number)
		}
	}
	compareLoose(v, where, sent.Loose, loose)
}

func compareLoose(v *Verdict, where string, sent map[string]Loose, kept map[string]int) {
	for _, text := range slices.Sorted(maps.Keys(sent)) {
		count := sent[text]
		v.Lines += count.Acked
		switch n := kept[text]; {
		case n < count.Acked:
			v.lost("%s: %d times %q, of which %d are stored", where, count.Acked, text, n)
		case n > count.Sent:
			v.doubled("%s: %q, sent %d times, is stored %d times", where, text, count.Sent, n)
		}
		delete(kept, text)
	}
	for text := range kept {
		v.wrong("%s: a line that was never sent: %q", where, text)
	}
}
