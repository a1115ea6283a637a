package server_test

import (
	"strings"
	"testing"
	"time"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	policyv1 "github.com/neochaotic/leoflow/gen/leoflow/policy/v1"
	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/server"
)

// untilEnd returns the change that ends the first try of a task of dag/run.
func (o *operator) untilEnd(task string) *controlv1.TaskChange {
	o.t.Helper()
	watch := must[controlv1.ControlService_WatchRunClient](o.t)(o.WatchRun(o.ctx, &controlv1.WatchRunRequest{DagId: "dag", RunId: "run"}))
	for {
		for _, c := range must[*controlv1.WatchRunResponse](o.t)(watch.Recv()).GetChanges() {
			if c.GetTaskId() == task && domain.TaskState(stateWord(c.GetState())).Terminal() {
				return c
			}
		}
	}
}

func stateWord(s policyv1.TaskState) string {
	return strings.ToLower(strings.TrimPrefix(s.String(), "TASK_STATE_"))
}

// TestBeat5SilentIsReapedAndBeatingIsNot goes through the whole server: one agent
// beats until the other, which fell silent, was found to be lost.
func TestBeat5SilentIsReapedAndBeatingIsNot(t *testing.T) {
	p := start(t, server.Config{SilenceWindow: 4 * time.Second}, false)
	o := p.operator("acme", auth.RoleOperator)
	o.createRun(bash("silent", "true"), bash("beating", "true"))
	silent, beating := p.launch(o, "silent", 1, false), p.launch(o, "beating", 1, false)
	for _, a := range []*agent{silent, beating} {
		a.report(t, running, 0)
		a.beat(t)
	}
	ended := make(chan *controlv1.TaskChange, 1)
	go func() {
		defer close(ended)
		ended <- o.untilEnd("silent")
	}()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for waiting := true; waiting; {
		select {
		case c := <-ended:
			waiting = false
			if c.GetState() != policyv1.TaskState_TASK_STATE_FAILED || c.GetCause() != controlv1.Cause_CAUSE_LOST || c.GetMessage() == "" {
				t.Fatalf("ended as %v", c)
			}
		case <-ticker.C:
			if beat := beating.beat(t); beat.GetShouldTerminate() {
				t.Fatalf("a beating agent was answered %v", beat)
			}
		}
	}
	if beat := silent.beat(t); !beat.GetShouldTerminate() || beat.GetReason() != agentv1.TerminationReason_TERMINATION_REASON_LOST {
		t.Errorf("BEAT-3: the lost one was answered %v", beat)
	}
	if got := beating.report(t, success, 0); !got.GetAcknowledged() || got.GetShouldTerminate() {
		t.Errorf("the beating one reported, and was answered %v", got)
	}
}

func TestBeat5NeverStartedIsSettled(t *testing.T) {
	p := start(t, server.Config{SilenceWindow: 4 * time.Second, QueueWindow: time.Second}, false)
	o := p.operator("acme", auth.RoleOperator)
	o.createRun(bash("t", "true"))
	p.launch(o, "t", 1, false)
	if c := o.untilEnd("t"); c.GetState() != policyv1.TaskState_TASK_STATE_FAILED || c.GetCause() != controlv1.Cause_CAUSE_LAUNCH_FAILED {
		t.Errorf("ended as %v", c)
	}
}

func TestBeat5WindowsAreChecked(t *testing.T) {
	for _, cfg := range []server.Config{{SilenceWindow: -time.Minute}, {SilenceWindow: time.Millisecond}, {QueueWindow: -1}, {Grace: time.Millisecond}} {
		if _, err := cfg.Complete(); err == nil || !strings.Contains(err.Error(), "one second") {
			t.Errorf("%v, %v and %v: %v", cfg.SilenceWindow, cfg.QueueWindow, cfg.Grace, err)
		}
	}
	// A token that ends with the wait would end before the task.
	if _, err := (server.Config{QueueWindow: auth.QueueAllowance + time.Second}).Complete(); err == nil || !strings.Contains(err.Error(), "queue window") {
		t.Errorf("a queue window beyond what tokens allow for: %v", err)
	}
	cfg, err := server.Config{}.Complete()
	if err != nil || cfg.SilenceWindow != 2*time.Minute || cfg.QueueWindow != 24*time.Hour || cfg.Grace != 5*time.Minute {
		t.Errorf("completed to %v, %v and %v, %v", cfg.SilenceWindow, cfg.QueueWindow, cfg.Grace, err)
	}
}

// TestBeat7TheIntervalFitsTheWindow: who beats as asked is heard several times in it.
func TestBeat7TheIntervalFitsTheWindow(t *testing.T) {
	for window, want := range map[time.Duration]time.Duration{0: domain.BeatInterval, time.Hour: domain.BeatInterval, 4 * time.Second: 500 * time.Millisecond} {
		p := start(t, server.Config{SilenceWindow: window}, false)
		o := p.operator("acme", auth.RoleOperator)
		o.createRun(bash("t", "true"))
		a := p.launch(o, "t", 1, false)
		a.report(t, running, 0)
		if got := a.beat(t).GetBeatInterval().AsDuration(); got != want {
			t.Errorf("window %v: asked to beat every %v, want %v", window, got, want)
		}
	}
}

// TestBeat5AWindowTooShortForDeployedAgentsIsTold: they beat every 15 s whatever they are
// asked, and their healthy work would be lost.
func TestBeat5AWindowTooShortForDeployedAgentsIsTold(t *testing.T) {
	for window, want := range map[time.Duration]bool{
		2*domain.BeatInterval - time.Second: true, 2 * domain.BeatInterval: false, 0: false,
	} {
		log := newTold()
		start(t, server.Config{SilenceWindow: window, Logger: log.logger()}, false)
		log.mu.Lock()
		if got := strings.Contains(log.text.String(), "window of silence"); got != want {
			t.Errorf("window %v: told %v in:\n%s", window, got, log.text.String())
		}
		log.mu.Unlock()
	}
}
