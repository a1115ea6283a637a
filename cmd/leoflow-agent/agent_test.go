package main

import (
	"os/exec"
	"slices"
	"syscall"
	"testing"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
)

const (
	success = agentv1.TaskState_TASK_STATE_SUCCESS
	failure = agentv1.TaskState_TASK_STATE_FAILED
)

// TestBareServerIsEnough goes through all of an attempt with a control plane that
// knows none of the protocol's later fields.
func TestBareServerIsEnough(t *testing.T) {
	b := newBare(`echo "$LEOFLOW_XCOM_ALL|${LEOFLOW_XCOM_NONE-unset}|$AIRFLOW_VAR_KEY|$OWN|$LEOFLOW_CALL_ARGS_JSON"
printf 'one\n\nlast'; echo oops >&2; echo '{"n": 1}' > "$LEOFLOW_RETURN_VALUE_PATH"`)
	b.values, b.secret = map[string]string{"a": "1", "c": "words"}, "a secret"
	b.spec.Environment = map[string]string{"OWN": "own"}
	b.spec.CallArgsJson = `{"x":1}`
	b.spec.XcomInputMapping = map[string]*agentv1.XComUpstreams{
		"all": {TaskIds: []string{"c", "b", "a"}}, "none": {TaskIds: []string{"b"}},
	}
	r := command(t, b)
	r.start()
	r.end()
	b.wantOutcome(t, success, 0, "")
	b.mu.Lock()
	calls, pushes := slices.Clone(b.calls), b.pushes
	b.mu.Unlock()
	want := []string{
		"Register", "GetTaskSpec", "FetchXCom c", "FetchXCom b", "FetchXCom a",
		"GetVariables", "GetConnections", "TASK_STATE_RUNNING", "PushXCom", "TASK_STATE_SUCCESS",
	}
	// The stream is opened first, but a busy server takes it up when it comes to that.
	if at := slices.Index(calls, "StreamLogs"); at >= 0 {
		calls = slices.Delete(calls, at, at+1)
	} else {
		t.Error("no logs were streamed")
	}
	if !slices.Equal(calls, want) {
		t.Errorf("called %q, want %q", calls, want)
	}
	if got, want := b.texts("stdout"), []string{`["words",null,1]|unset|a secret|own|{"x":1}`, "one", "", "last"}; !slices.Equal(got, want) {
		t.Errorf("stdout %q, want %q", got, want)
	}
	if got := b.texts("stderr"); !slices.Equal(got, []string{"oops"}) {
		t.Errorf("stderr %q", got)
	}
	if len(pushes) != 1 || string(pushes[0].GetValue()) != "{\"n\": 1}\n" || pushes[0].GetContentType() != "application/json" {
		t.Errorf("pushed %v", pushes)
	}
}

func TestBareServerLearnsOfAFailure(t *testing.T) {
	b := newBare("echo why >&2; exit 3")
	r := command(t, b)
	r.start()
	r.end()
	b.wantOutcome(t, failure, 3, "exited with code 3: why")
}

// TestBareServerStops has it ask to stop without a reason.
func TestBareServerStops(t *testing.T) {
	b := newBare("echo up; sleep 1000 & wait")
	b.beaten = func() bool {
		b.awaitLine(t, "stdout", "up")
		return true
	}
	r := command(t, b)
	r.start()
	r.end()
	b.wantOutcome(t, failure, -15, "stopped: the control plane asked to stop (killed by signal 15 (terminated))")
}

func TestBadEnvironmentIsOneLine(t *testing.T) {
	cmd := exec.Command(program)
	cmd.Env = []string{"LEOFLOW_CONTROL_PLANE_ADDR=nowhere", "LEOFLOW_AGENT_TOKEN=" + token}
	out, _ := cmd.CombinedOutput()
	if code := cmd.ProcessState.ExitCode(); code != 2 || string(out) != "leoflow-agent: LEOFLOW_CONTROL_PLANE_ADDR is \"nowhere\": set it to the control plane's host:port, such as localhost:7070\n" {
		t.Errorf("exit code %d, %q", code, out)
	}
}

// TestRun3SignalStopsPolitely also holds that the agent says which signal it was. The
// tasks of these tests are busy, as a shell that begins to wait in the moment of a
// signal may not heed it.
func TestRun3SignalStopsPolitely(t *testing.T) {
	for _, sig := range []struct {
		number syscall.Signal
		name   string
	}{{syscall.SIGTERM, "SIGTERM"}, {syscall.SIGINT, "SIGINT"}} {
		for _, place := range places(t) {
			t.Run(sig.name+" "+place.name, func(t *testing.T) {
				b := newBare(`trap 'echo asked; exit 4' TERM; echo "parent $PPID"; while :; do :; done`)
				r := command(t, b)
				place.put(r.cmd)
				r.start()
				b.awaitLine(t, "stdout", "parent "+place.parent(r.cmd))
				r.signal(sig.number)
				r.end()
				b.wantOutcome(t, failure, 4, "agent was asked to stop by "+sig.name+" (exited with code 4)")
			})
		}
	}
}

// TestRun3SecondSignalKillsAtOnce has a task that heeds no signal.
func TestRun3SecondSignalKillsAtOnce(t *testing.T) {
	for _, place := range places(t) {
		t.Run(place.name, func(t *testing.T) {
			b := newBare(`trap 'echo asked' TERM; echo up; while :; do :; done`)
			r := command(t, b)
			place.put(r.cmd)
			r.start()
			b.awaitLine(t, "stdout", "up")
			r.signal(syscall.SIGTERM)
			b.awaitLine(t, "stdout", "asked")
			r.signal(syscall.SIGTERM)
			r.end()
			b.wantOutcome(t, failure, -9, "agent was asked to stop by SIGTERM (killed by signal 9 (killed))")
		})
	}
}

// TestRunPassesSignalsOn: those that mean nothing to the agent reach the task's group.
func TestRunPassesSignalsOn(t *testing.T) {
	b := newBare(`for s in HUP QUIT USR1 USR2; do trap "echo got $s" $s; done; trap 'exit 0' TERM
echo up; while :; do :; done`)
	r := command(t, b)
	r.start()
	b.awaitLine(t, "stdout", "up")
	for sig, name := range map[syscall.Signal]string{
		syscall.SIGHUP: "HUP", syscall.SIGQUIT: "QUIT", syscall.SIGUSR1: "USR1", syscall.SIGUSR2: "USR2",
	} {
		r.signal(sig)
		b.awaitLine(t, "stdout", "got "+name)
	}
	r.signal(syscall.SIGTERM)
	r.end()
	b.wantOutcome(t, success, 0, "")
}

// place is where an agent may find itself.
type place struct {
	name   string
	put    func(*exec.Cmd)
	parent func(*exec.Cmd) string // the agent's number, as its task sees it
}
