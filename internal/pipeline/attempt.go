package pipeline

import (
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
)

// attempt is an attempt that this driver launched.
type attempt struct {
	taskID string
	try    int
	begun  bool // the control plane knows it

	once     sync.Once
	replaced bool          // valid once settled: nobody waits for what it does
	settled  chan struct{} // closed once the watch told its outcome
	over     chan struct{} // closed once it has a process no more, and an outcome
}

// settle says that the watch told the attempt's outcome, and if another is to follow.
func (a *attempt) settle(replaced bool) {
	a.once.Do(func() {
		a.replaced = replaced
		close(a.settled)
	})
}

// launch begins a task's next attempt.
func (d *driver) launch(t *task) {
	a := &attempt{taskID: t.id, try: t.try + 1, settled: make(chan struct{}), over: make(chan struct{})}
	t.act()
	t.attempt = a
	d.slots++
	d.pending++
	d.others.Go(func() {
		logRead, err := d.attempt(a)
		close(a.over)
		d.post(func() {
			d.slots--
			t.busy = false
			d.launched(t, a, err)
		})
		<-logRead
		d.post(func() { d.pending-- })
	})
}

// launched takes over how an attempt's process, or its launch, ended.
func (d *driver) launched(t *task, a *attempt, err error) {
	switch {
	case err == nil:
		return
	case a.begun:
		t.lost = true
	case status.Code(err) == codes.FailedPrecondition:
		t.attempt = nil
		return // somebody else has moved the task on: the watch tells
	default: // as if it had not been tried
		t.attempt, t.acted = nil, never
	}
	d.stop(err)
}

// attempt goes with an attempt until its process has ended and it is settled. The
// channel is closed once its log is read to the end.
func (d *driver) attempt(a *attempt) (logRead <-chan struct{}, err error) {
	resp, _, err := call(d.calls, d.opts.pace, d.opts.Client.LaunchAttempt, &controlv1.LaunchAttemptRequest{
		DagId: d.opts.Pipeline.Name, RunId: d.opts.RunID, TaskId: a.taskID, TryNumber: int32(a.try), //nolint:gosec // small
		IdempotencyKey: d.key,
	})
	if err != nil {
		return closed(), fmt.Errorf("launch task %q: %w", a.taskID, err)
	}
	a.begun = true
	if d.stopped() {
		return closed(), d.settleAttempt(a, controlv1.Cause_CAUSE_CANCELLED, Exit{}, "the run was stopped before the agent started")
	}
	process, err := d.opts.Launcher.Launch(Attempt{TaskID: a.taskID, Try: a.try, Token: resp.GetAgentToken()})
	if err != nil {
		return closed(), d.settleAttempt(a, controlv1.Cause_CAUSE_LAUNCH_FAILED, Exit{}, fmt.Sprintf("the agent could not be started: %v", err))
	}
	logRead = d.follow(a)
	killed := d.await(a, process)
	return logRead, d.settleEnded(a, process.Exit(), killed)
}

func closed() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

// await returns once the process has ended, and whether it had to be killed. It is
// asked to end when the run is cancelled, or it lives on though its attempt is over.
func (d *driver) await(a *attempt, p Process) (killed bool) {
	if d.enough(a, p) {
		return false
	}
	p.Terminate()
	timer := time.NewTimer(d.opts.StopWait)
	defer timer.Stop()
	select {
	case <-p.Ended():
		return false
	case <-timer.C:
	case <-d.killing:
	}
	p.Kill()
	<-p.Ended()
	return true
}

// enough returns true once the process has ended, false once it should.
func (d *driver) enough(a *attempt, p Process) bool {
	select {
	case <-p.Ended():
		return true
	case <-d.cancelled:
		return false
	case <-d.killing:
		return false
	case <-a.settled:
	}
	if a.replaced { // the next try waits for it
		return false
	}
	timer := time.NewTimer(d.opts.StopWait)
	defer timer.Stop()
	select {
	case <-p.Ended():
		return true
	case <-d.cancelled:
	case <-d.killing:
	case <-timer.C:
	}
	return false
}

// settleEnded settles an attempt whose process has ended, unless it has an outcome:
// what counts is what the control plane knows, never how the process ended (STATE-11).
func (d *driver) settleEnded(a *attempt, exit Exit, killed bool) error {
	select {
	case <-a.settled:
		return nil
	default:
	}
	cause, message := controlv1.Cause_CAUSE_LOST, "the agent was "
	if exit.Signal == "" {
		message = "the agent "
	}
	message += exit.String() + " before it reported an outcome"
	if d.stopped() {
		cause = controlv1.Cause_CAUSE_CANCELLED
		message += ", while the run was being stopped"
	}
	if killed {
		message += "; it had not ended in time"
	}
	if n := len(exit.Said); n > 0 {
		message += ": " + exit.Said[n-1]
	}
	return d.settleAttempt(a, cause, exit, message)
}

// settleAttempt gives an attempt an outcome, where it has none. What its agent said
// of itself is printed then: nothing else tells why.
func (d *driver) settleAttempt(a *attempt, cause controlv1.Cause, exit Exit, message string) error {
	resp, _, err := call(d.calls, d.opts.pace, d.opts.Client.SettleAttempt, &controlv1.SettleAttemptRequest{
		DagId: d.opts.Pipeline.Name, RunId: d.opts.RunID, TaskId: a.taskID, TryNumber: int32(a.try), //nolint:gosec // small
		Cause: cause, ExitCode: int32(exit.Code), Message: message, //nolint:gosec // an exit code
	})
	if err != nil {
		return fmt.Errorf("settle task %q: %w", a.taskID, err)
	}
	if resp.GetSettled() {
		for _, line := range exit.Said {
			d.out.agent(a.taskID, a.try, line)
		}
	}
	return nil
}
