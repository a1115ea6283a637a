package main

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	policyv1 "github.com/neochaotic/leoflow/gen/leoflow/policy/v1"
)

// settle records that tasks of a run of "etl" will not be launched.
func (s *served) settle(run string, state policyv1.TaskState, tasks ...string) {
	s.t.Helper()
	for _, id := range tasks {
		if _, err := s.client.SettleTask(s.ctx, &controlv1.SettleTaskRequest{DagId: "etl", RunId: run, TaskId: id, State: state}); err != nil {
			s.t.Fatal(err)
		}
	}
}

// failedRun is a run whose extract failed in its first try: what takes values from it
// was given up, or skipped; side succeeded, and its own taker was skipped for another
// reason.
func failedRun(t *testing.T) *served {
	t.Helper()
	s := servePlain(t)
	s.createRun("r", task("extract"), task("a", "b", "extract"), task("b", "extract"), task("end", "a"),
		task("side"), task("aside", "side"))
	s.launch("r", "extract", 1).report(&agentv1.ReportStateRequest{State: agentv1.TaskState_TASK_STATE_FAILED, ExitCode: 1})
	s.launch("r", "side", 1).succeed()
	s.settle("r", policyv1.TaskState_TASK_STATE_UPSTREAM_FAILED, "b", "a")
	s.settle("r", policyv1.TaskState_TASK_STATE_SKIPPED, "end", "aside")
	return s
}

func TestRetryOpensWhatIsBelow(t *testing.T) {
	s := failedRun(t)
	got := s.leoflow("retry", "etl", "r", "extract")
	got.wantRows(t, `TASK +WAS +NEXT TRY  RESULT`, `extract  failed +2 +waits for its next try`,
		`b +upstream_failed  1 +opened again, below a task that is tried again`, `end +skipped +1 +opened again.*`)
	var order []string
	for line := range strings.SplitSeq(strings.TrimSpace(got.out), "\n") {
		order = append(order, strings.Fields(line)[0])
	}
	if want := []string{"TASK", "extract", "b", "a", "end"}; !slices.Equal(order, want) {
		t.Errorf("retried in the order %v, want %v", order, want)
	}
	s.leoflow("tasks", "etl", "r").wantRows(t, `extract  up_for_retry +1 .*`, `b +up_for_retry +- .*`, `end +up_for_retry .*`,
		`side +success .*`, `aside +skipped .*`)
	s.leoflow("retry", "etl", "r", "extract").wantRows(t, `extract  up_for_retry  2 +waited for it before`)
	s.launch("r", "extract", 2).succeed()
	s.launch("r", "b", 1).succeed()
}

func TestRetryOfAllThatFailed(t *testing.T) {
	s := failedRun(t)
	got := s.leoflow("retry", "etl", "r", "--failed", "-o", "json")
	got.wantCode(t, exitOK)
	reopened := map[string]bool{}
	for line := range strings.SplitSeq(strings.TrimSpace(got.out), "\n") {
		doc := parse(t, line)
		reopened[doc["task_id"].(string)] = doc["reopened"].(bool)
		if doc["changed"] != true || doc["state"] == "" || doc["next_try_number"] == nil {
			t.Errorf("told: %v", doc)
		}
	}
	if want := map[string]bool{"extract": false, "b": false, "a": false, "end": true}; !maps.Equal(reopened, want) {
		t.Errorf("reopened: %v, want %v", reopened, want)
	}
	again := s.leoflow("retry", "etl", "r", "--failed", "-o", "json")
	again.wantCode(t, exitOK)
	if again.out != "" || !strings.Contains(again.errOut, `no task of run "r" of "etl" failed`) {
		t.Errorf("said %q, %q", again.out, again.errOut)
	}
}

func TestRetryTakesTheLiveByForceOnly(t *testing.T) {
	s := servePlain(t)
	s.createRun("r", task("slow"), task("other"))
	slow := s.launch("r", "slow", 1)
	got := s.leoflow("retry", "etl", "r", "other", "slow")
	got.wantCode(t, exitFailed)
	got.wantOneLine(t, `task "slow"`, "running", "try 1", "--force")
	s.leoflow("tasks", "etl", "r").wantRows(t, `other +none .*`, `slow +running .*`)
	s.leoflow("retry", "etl", "r", "slow", "--force").wantRows(t, `slow  running  2 +waits for its next try`)
	if beat := slow.beat(true); beat.GetReason() != agentv1.TerminationReason_TERMINATION_REASON_SUPERSEDED {
		t.Errorf("the beat is answered %v", beat)
	}
	none := s.leoflow("retry", "etl", "r", "none")
	none.wantCode(t, exitFailed)
	none.wantOneLine(t, "not found", `task "none" of run "r"`)
}

// TestRetryThenResume does what the help teaches: what failed is mended, waits for
// another try, and is launched by a run that goes on, which also opens again what only
// the file says is below.
func TestRetryThenResume(t *testing.T) {
	s := servePlain(t)
	file := pipelineFile(t, `
name: mended
tasks:
  - {id: load, bash: 'test -e mended && echo 3 >"$LEOFLOW_RETURN_VALUE_PATH"'}
  - {id: report, bash: 'echo "got $LEOFLOW_XCOM_N"', inputs: {n: load}}
  - {id: tidy, bash: 'echo tidied', after: [report]}
`)
	broken := s.leoflow("run", "--server", s.addr, "--run-id", "r", file)
	broken.wantCode(t, exitFailed)
	writeFile(t, filepath.Join(filepath.Dir(file), "mended"), "")
	s.leoflow("retry", "mended", "r", "load").wantRows(t, `load +failed +2 .*`, `report  upstream_failed  1 .*`)
	got := s.leoflow("run", "--server", s.addr, "--resume", "r", file)
	got.wantCode(t, exitOK)
	got.wantIn(t, "report │ got 3\n", "tidy   │ tidied\n")
	s.leoflow("tasks", "mended", "r").wantRows(t, `load +success  2 .*`, `report +success  1 .*`)
}
