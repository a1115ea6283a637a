package serversuite

import (
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	policyv1 "github.com/neochaotic/leoflow/gen/leoflow/policy/v1"

	"github.com/neochaotic/leoflow/conformance/suite"
)

// Reports, shortly.
const (
	sayRunning = agentv1.TaskState_TASK_STATE_RUNNING
	saySuccess = agentv1.TaskState_TASK_STATE_SUCCESS
	sayFailed  = agentv1.TaskState_TASK_STATE_FAILED
	saySkipped = agentv1.TaskState_TASK_STATE_SKIPPED
)

// settling are the reports that settle, and outcomes what is stored of them.
var settling = []agentv1.TaskState{saySuccess, sayFailed, saySkipped}

var outcomes = map[agentv1.TaskState]policyv1.TaskState{saySuccess: success, sayFailed: failed, saySkipped: skipped}

func stateChecks(target *Target) []suite.Check {
	var out []suite.Check
	add := func(rule, word, name string, run func(*world)) {
		out = append(out, single(target, rule, word, name, run, reportState))
	}
	for _, one := range []struct {
		word  string
		state agentv1.TaskState
	}{{"unspecified", 0}, {"unknown", 99}, {"negative", -1}, {"upstream-failed", 8}} {
		add("STATE-1", one.word, "a report of "+one.word+" is invalid", func(w *world) {
			state := one.state
			a := w.launch(worker, queued)
			a.accepted(sayRunning)
			before := a.snapshot()
			_, err := w.call(reportState, a.as(), &agentv1.ReportStateRequest{State: state, ExitCode: 1, ErrorMessage: "no state"})
			w.wantCode(err, codes.InvalidArgument, "a report of the state "+state.String())
			a.wantUnchanged(before, "the invalid report")
			a.accepted(saySuccess)
			a.wantState(success, "a valid report")
		})
	}
	add("STATE-2", "queued-running", "a queued attempt runs", func(w *world) {
		a := w.launch(worker, queued)
		a.accepted(sayRunning)
		a.wantState(running, "a report of RUNNING")
	})
	for _, say := range settling {
		stored := outcomes[say]
		for _, from := range []policyv1.TaskState{queued, running} {
			add("STATE-2", lower(from)+"-"+lower(stored), "from "+from.String()+" to "+stored.String(), func(w *world) {
				a := w.launch(worker, from)
				a.wantState(from, "the preparation")
				a.accepted(say)
				a.wantState(stored, "the report")
			})
		}
		add("STATE-3", lower(stored), "repeating the report of "+stored.String()+" changes nothing", func(w *world) { repeatOutcome(w, say) })
		add("STATE-5", lower(stored), "a late RUNNING after "+stored.String()+" reopens nothing", func(w *world) {
			a := w.launch(worker, running)
			a.accepted(say)
			a.wantState(stored, "the report")
			a.overruled(sayRunning)
		})
	}
	add("STATE-3", "running", "repeating RUNNING keeps its first time", repeatRunning)
	add("STATE-4", "settled", "a report against the outcome changes nothing", func(w *world) {
		for _, say := range settling {
			for _, against := range settling {
				if against == say {
					continue
				}
				a := w.launch(worker, running)
				a.accepted(say)
				a.wantState(outcomes[say], "the report")
				a.overruled(against)
			}
		}
	})
	add("STATE-4", "superseded", "a report of a superseded attempt harms no newer one", func(w *world) {
		old := w.launch(worker, running)
		a := w.launch(worker, running)
		before := a.snapshot()
		for _, say := range settling {
			old.overruled(say)
		}
		a.wantUnchanged(before, "a report of an older attempt")
		a.accepted(saySuccess)
		a.wantState(success, "its own report")
	})
	add("STATE-4", "unknown", "a report of nobody's attempt is told to terminate", func(w *world) {
		w.launch(worker, queued).accepted(sayRunning)
		got := w.unknown().report(saySuccess)
		if got.GetAcknowledged() || !got.GetShouldTerminate() {
			w.t.Fatalf("a report of an unknown attempt was answered {%v}", got)
		}
	})
	add("STATE-6", "fields", "exit code, message and time are stored", stateFields)
	add("STATE-6", "long", "a long message is cut at a character", stateLongMessage)
	add("STATE-7", "race", "of two outcomes that race one wins", stateRace)
	return append(out, cancelChecks(target)...)
}

func lower(s policyv1.TaskState) string {
	return strings.ToLower(strings.TrimPrefix(s.String(), "TASK_STATE_"))
}

// overruled wants a report of a settled attempt to be told so, and to change nothing.
func (a *attempt) overruled(say agentv1.TaskState) {
	before := a.snapshot()
	got := a.report(say)
	if !got.GetAcknowledged() || !got.GetShouldTerminate() {
		a.w.t.Fatalf("the report of %s against an outcome was answered {%v}", say, got)
	}
	a.wantUnchanged(before, "the report of "+say.String())
}

func repeatRunning(w *world) {
	a := w.launch(worker, queued)
	at := time.Now().Add(-time.Hour).Truncate(time.Second)
	var first *timestamppb.Timestamp
	for turn := range 3 {
		request := &agentv1.ReportStateRequest{State: sayRunning, OccurredAt: timestamppb.New(at.Add(time.Duration(turn) * time.Minute))}
		got := typed[*agentv1.ReportStateResponse](a, reportState, request)
		if !got.GetAcknowledged() || got.GetShouldTerminate() {
			w.t.Fatalf("RUNNING, sent for the %d. time, was answered {%v}", turn+1, got)
		}
		stored := a.stored()
		if turn == 0 {
			first = stored.GetStartedAt()
		}
		if stored.GetState() != running || first == nil || !proto.Equal(first, stored.GetStartedAt()) {
			w.t.Fatalf("RUNNING, sent for the %d. time, left {%v}; its first time was %v", turn+1, stored, first.AsTime())
		}
	}
}

func repeatOutcome(w *world, say agentv1.TaskState) {
	a := w.launch(worker, running)
	request := &agentv1.ReportStateRequest{State: say, ExitCode: 3, ErrorMessage: "as it was", OccurredAt: timestamppb.Now()}
	var before snapshot
	repeat := func(when string) {
		got := typed[*agentv1.ReportStateResponse](a, reportState, request)
		if !got.GetAcknowledged() || got.GetShouldTerminate() {
			w.t.Fatalf("the report, %s, was answered {%v}", when, got)
		}
	}
	repeat("sent for the first time")
	a.wantState(outcomes[say], "the report")
	before = a.snapshot()
	repeat("repeated")
	a.wantUnchanged(before, "the repeated report")
	newer := w.launch(worker, running)
	of := newer.snapshot()
	repeat("repeated after a newer attempt began")
	a.wantUnchanged(before, "the report repeated after a newer attempt began")
	newer.wantUnchanged(of, "the repeated report of the older attempt")
}

func stateFields(w *world) {
	for _, code := range []int32{1, 255, -1, -2147483648} {
		a := w.launch(worker, running)
		at := time.Now().Add(-10 * time.Minute).Truncate(time.Millisecond)
		message := "line 1\nline 2 \"ü\" 🚀"
		request := &agentv1.ReportStateRequest{State: sayFailed, ExitCode: code, ErrorMessage: message, OccurredAt: timestamppb.New(at)}
		if got := typed[*agentv1.ReportStateResponse](a, reportState, request); !got.GetAcknowledged() {
			w.t.Fatalf("the report was answered {%v}", got)
		}
		stored := a.stored()
		if stored.GetState() != failed || stored.GetExitCode() != code || stored.GetErrorMessage() != message {
			w.t.Fatalf("of a report of FAILED with exit code %d and the message %q is stored {%v}", code, message, stored)
		}
		w.wantNear(stored.GetEndedAt(), at)
	}
}

// wantNear fails the check unless a stored time is the agent's, or was moved to where it
// can be: an attempt does not end before it began.
func (w *world) wantNear(got *timestamppb.Timestamp, want time.Time) {
	if got == nil {
		w.t.Fatalf("no time of the report is stored")
	}
	if got.AsTime().Before(want.Add(-time.Millisecond)) || got.AsTime().After(time.Now().Add(time.Hour)) {
		w.t.Fatalf("the time of the report is stored as %v, not as %v", got.AsTime(), want)
	}
}

func stateLongMessage(w *world) {
	const limit = 16 << 10
	a := w.launch(worker, running)
	message := "x" + strings.Repeat("ü", limit) // a cut at an even number of bytes is within a character
	request := &agentv1.ReportStateRequest{State: sayFailed, ErrorMessage: message}
	if got := typed[*agentv1.ReportStateResponse](a, reportState, request); !got.GetAcknowledged() || got.GetShouldTerminate() {
		w.t.Fatalf("the report with a long message was answered {%v}", got)
	}
	got := a.stored().GetErrorMessage()
	if len(got) > limit || len(got) < limit-4 || !utf8.ValidString(got) || !strings.HasPrefix(message, got) {
		w.t.Fatalf("of a message of %d bytes %d are stored, or it is cut within a character", len(message), len(got))
	}
	a.wantState(failed, "the report")
}

func stateRace(w *world) {
	a := w.launch(worker, running)
	says := []agentv1.TaskState{saySuccess, sayFailed}
	got := make([]*agentv1.ReportStateResponse, len(says))
	errs := make(chan error, len(says))
	for i, say := range says {
		go func() {
			reply, err := w.call(reportState, a.as(), &agentv1.ReportStateRequest{State: say})
			got[i], _ = reply.(*agentv1.ReportStateResponse)
			errs <- err
		}()
	}
	for range says {
		w.wantCode(<-errs, codes.OK, "a report that races another")
	}
	stored := a.stored().GetState()
	for i, say := range says {
		if won := stored == outcomes[say]; !got[i].GetAcknowledged() || got[i].GetShouldTerminate() == won {
			w.t.Fatalf("%s is stored, and the report of %s was answered {%v}", stored, say, got[i])
		}
	}
	if stored != success && stored != failed {
		w.t.Fatalf("after two reports of an outcome %s is stored", stored)
	}
}

// cancelChecks are of what is reported while a cancel is pending.
func cancelChecks(target *Target) []suite.Check {
	pending := func(word, name string, from policyv1.TaskState, run func(*world, *attempt)) suite.Check {
		return single(target, "STATE-10", word, name, func(w *world) {
			w.needs("cancel")
			a := w.launch(worker, from)
			a.control(register, 1)
			a.cancel()
			run(w, a)
		}, reportState)
	}
	return []suite.Check{
		pending("success", "a SUCCESS stays a success", running, func(w *world, a *attempt) {
			if got := a.report(saySuccess); !got.GetAcknowledged() {
				w.t.Fatalf("SUCCESS was answered {%v}", got)
			}
			a.wantState(success, "SUCCESS while a cancel is pending")
		}),
		pending("failed", "a FAILED has the cause cancelled", running, func(w *world, a *attempt) {
			if got := a.report(sayFailed); !got.GetAcknowledged() {
				w.t.Fatalf("FAILED was answered {%v}", got)
			}
			if got := a.stored(); got.GetState() != failed || got.GetCause() != controlv1.Cause_CAUSE_CANCELLED {
				w.t.Fatalf("after FAILED while a cancel is pending, {%v} is stored", got)
			}
		}),
		pending("running", "a RUNNING stores nothing and is told to terminate", queued, func(w *world, a *attempt) {
			before := a.snapshot()
			if got := a.report(sayRunning); got.GetAcknowledged() || !got.GetShouldTerminate() {
				w.t.Fatalf("RUNNING while a cancel is pending was answered {%v}", got)
			}
			a.wantUnchanged(before, "the report of RUNNING")
		}),
	}
}
