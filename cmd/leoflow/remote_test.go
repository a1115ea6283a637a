package main

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
)

// wantRows looks for rows of a table, as patterns.
func (o outcome) wantRows(t *testing.T, rows ...string) {
	t.Helper()
	o.wantCode(t, exitOK)
	for _, row := range rows {
		if !regexp.MustCompile(`(?m)^` + row + `$`).MatchString(o.out) {
			t.Errorf("no row %s:\n%s", row, o.out)
		}
	}
}

const aTime = `\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`

func TestRunsAndTheirTasksAreTold(t *testing.T) {
	s := servePlain(t)
	for _, id := range []string{"r1", "r2", "r3"} {
		s.createRun(id, task("extract"), task("load", "extract"))
	}
	a := s.launch("r3", "extract", 1)
	a.report(&agentv1.ReportStateRequest{State: agentv1.TaskState_TASK_STATE_FAILED, ExitCode: 3, ErrorMessage: "broke\x1b[2J\nhere"})

	got := s.leoflow("runs", "list")
	got.wantRows(t, `DAG  RUN  CREATED +TASKS`, `etl  r3   `+aTime+`  1 none, 1 failed`, `etl  r1   `+aTime+`  2 none`)
	if strings.Index(got.out, "r3") > strings.Index(got.out, "r1") {
		t.Errorf("the newest is not the first:\n%s", got.out)
	}
	got = s.leoflow("runs", "list", "etl", "--limit", "2")
	if strings.Count(got.out, "\n") != 3 || !strings.Contains(got.errOut, "more than --limit 2") {
		t.Errorf("limited to 2:\n%s%s", got.out, got.errOut)
	}
	if got := s.leoflow("runs", "list", "other"); got.out != "DAG  RUN  CREATED  TASKS\n" {
		t.Errorf("of another DAG:\n%s", got.out)
	}
	s.leoflow("runs", "show", "etl", "r3").wantRows(t, `DAG  RUN  VERSION  CREATED +REVISION  TASKS`, `etl  r3   v7 +`+aTime+`  \d+ +1 none, 1 failed`)
	s.leoflow("tasks", "etl", "r3").wantRows(t, `TASK +STATE +TRY  OPERATOR  UPSTREAM`, `extract  failed  1    bash      -`, `load     none    -    bash      extract`)
	attempts := s.leoflow("attempts", "etl", "r3", "extract")
	attempts.wantRows(t, `1 +failed +`+aTime+`  \S+s +worker\\x1b\[2J +exit_nonzero \(code 3\): broke\\x1b\[2J …`)
	wantHarmless(t, attempts.out)

	for args, want := range map[string]int{"runs list": 3, "tasks etl r3": 2, "attempts etl r3 extract": 1} {
		if entries := s.leoflow(strings.Fields(args + " -o json")...).entries(t); len(entries) != want {
			t.Errorf("%s: %v", args, entries)
		}
	}
	if doc := s.leoflow("runs", "show", "etl", "r3", "-o", "json").parsed(t); doc["run_id"] != "r3" || doc["dag_version"] != "v7" {
		t.Errorf("shown: %v", doc)
	}
}

// TestPagesAreFollowedToTheEnd lists more than a server gives at once.
func TestPagesAreFollowedToTheEnd(t *testing.T) {
	s := servePlain(t)
	var tasks []*controlv1.TaskDefinition
	for i := range maxPage + 1 {
		tasks = append(tasks, task(fmt.Sprintf("t%05d", i)))
	}
	s.createRun("long", tasks...)
	for flags, want := range map[string]int{"": maxPage + 1, "--limit=1001": maxPage + 1, "--limit=7": 7} {
		got := s.leoflow(strings.Fields("tasks etl long -o json " + flags)...)
		if entries := got.entries(t); len(entries) != want || (got.errOut != "") != (want == 7) {
			t.Errorf("%q: %d tasks, then %q", flags, len(entries), got.errOut)
		}
	}
}

func TestBeat6CancelOfACommandReachesTheAgent(t *testing.T) {
	s := servePlain(t)
	s.createRun("r", task("slow"), task("other"), task("late", "slow"))
	slow, other := s.launch("r", "slow", 1), s.launch("r", "other", 1)
	s.leoflow("cancel", "etl", "r", "slow", "--within", "1h").wantRows(t, `TASK  STATE +STOP BY`, `slow  running  `+aTime)
	for a, want := range map[*attempting]bool{slow: true, other: false} {
		if beat := a.beat(want); beat.GetShouldTerminate() != want {
			t.Errorf("the beat is answered %v; terminate: want %v", beat, want)
		}
	}
	s.leoflow("attempts", "etl", "r", "slow").wantRows(t, `1 .* asked to stop by `+aTime)
	s.leoflow("cancel", "etl", "r").wantRows(t, `RUN  ASKED TO STOP  SKIPPED`, `r    2 +1`)
	if doc := s.leoflow("cancel", "etl", "r", "late", "-o", "json").parsed(t); doc["state"] != "TASK_STATE_SKIPPED" || doc["stop_by"] != nil {
		t.Errorf("cancelled: %v", doc)
	}
	if beat := other.beat(true); beat.GetReason() != agentv1.TerminationReason_TERMINATION_REASON_CANCELLED {
		t.Errorf("the beat is answered %v", beat)
	}
}

func TestXCom4ValueIsWrittenByteForByte(t *testing.T) {
	s := servePlain(t)
	s.createRun("r", task("t"))
	a := s.launch("r", "t", 1)
	for key, value := range map[string]string{"": "\x00\x1b[2J\xff no line end", "text": "π\n"} {
		resp, err := a.client.PushXCom(a.ctx, &agentv1.PushXComRequest{Key: key, Value: []byte(value), ContentType: "application/octet-stream"})
		if err != nil || !resp.GetAccepted() {
			t.Fatalf("push: %v, %v", resp, err)
		}
		got := s.leoflow(append([]string{"value", "etl", "r", "t"}, strings.Fields(key)...)...)
		got.wantCode(t, exitOK)
		if got.out != value {
			t.Errorf("value %q is written as %q", value, got.out)
		}
	}
	got := s.leoflow("value", "etl", "r", "t", "none")
	got.wantCode(t, exitFailed)
	got.wantOneLine(t, "not found", `value "none" of task "t" of run "r" of "etl"`, "(request ")
}

// TestTerminalsGetPlainTextAlone holds what value writes to a terminal.
func TestTerminalsGetPlainTextAlone(t *testing.T) {
	for text, want := range map[string]bool{"": true, "π\tx\n": true, "\x1b[2J": false, "\xff": false, "a\u202e": false} {
		if got := plain(text); got != want {
			t.Errorf("plain(%q) = %v", text, got)
		}
	}
}

func TestTheServersRefusalsAreOneLine(t *testing.T) {
	s := servePlain(t)
	s.createRun("r", task("t"))
	viewer := []string{"--token", s.token("viewer")}
	for name, tc := range map[string]struct {
		args string
		more []string
		code int
		want []string
	}{
		"no run":        {"runs show etl none", nil, exitFailed, []string{"not found", `run "none" of "etl"`, "tenant", "(request "}},
		"no task":       {"attempts etl r none", nil, exitFailed, []string{"not found", `task "none" of run "r"`}},
		"no try":        {"logs etl r t --try 4", nil, exitFailed, []string{"not found", `try 4 of task "t"`}},
		"not launched":  {"logs etl r t", nil, exitFailed, []string{`task "t"`, "not launched"}},
		"field":         {"cancel etl", []string{"a\x01b"}, exitBadInput, []string{"invalid argument", "run_id", "(request "}},
		"token":         {"runs list --token wrong", nil, exitFailed, []string{"unauthenticated", s.addr, "leoflow token", "(request "}},
		"role":          {"audit", viewer, exitFailed, []string{"permission denied", "admin", "--role"}},
		"plaintext":     {"variable set k=s3cret", nil, exitFailed, []string{`variable "k"`, "permission denied", "--tls-cert", "--ca"}},
		"nobody":        {"runs list --server 127.0.0.1:1", nil, exitFailed, []string{"unavailable", "127.0.0.1:1", "plaintext", "--server"}},
		"TLS of none":   {"runs list --ca " + serveTLS(t).ca, nil, exitFailed, []string{"unavailable", s.addr, "in TLS"}},
		"no such thing": {"variable delete none", nil, exitFailed, []string{"not found", `variable "none"`}},
	} {
		t.Run(name, func(t *testing.T) {
			got := s.leoflow(append(strings.Fields(tc.args), tc.more...)...)
			got.wantCode(t, tc.code)
			got.wantOneLine(t, tc.want...)
			for _, secret := range []string{"s3cret", viewer[1], s.env[1][len("LEOFLOW_TOKEN="):]} {
				if strings.Contains(got.errOut, secret) {
					t.Errorf("the error holds a secret: %s", got.errOut)
				}
			}
		})
	}
}

// TestTheCommandLineGoesBeforeTheEnvironment holds which of two tokens counts.
func TestTheCommandLineGoesBeforeTheEnvironment(t *testing.T) {
	s := servePlain(t)
	good, bad := filepath.Join(t.TempDir(), "good"), filepath.Join(t.TempDir(), "bad")
	token := s.token("viewer")
	writeFile(t, good, token+"\n")
	writeFile(t, bad, "bad\n")
	for _, tc := range []struct {
		env, args []string
		code      int
	}{
		{nil, []string{"--token-file", good}, exitOK},
		{nil, []string{"--token", token}, exitOK},
		{[]string{"LEOFLOW_TOKEN_FILE=" + good}, nil, exitOK},
		{[]string{"LEOFLOW_TOKEN=bad"}, []string{"--token-file", good}, exitOK},
		{[]string{"LEOFLOW_TOKEN_FILE=" + bad}, []string{"--token", token}, exitOK},
		{[]string{"LEOFLOW_TOKEN=" + token}, []string{"--token-file", bad}, exitFailed},
	} {
		got := start(t, append(tc.env, "LEOFLOW_SERVER="+s.addr), append([]string{"runs", "list"}, tc.args...)...).end()
		got.wantCode(t, tc.code)
	}
}
