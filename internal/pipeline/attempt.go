package pipeline

import (
	"fmt"
	"sync"
	"time"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
)

// attempt is an attempt that this driver launched.
type attempt struct {
	taskID string
	try    int
	begun  bool // the control plane knows it

	once    sync.Once
	settled chan struct{} // closed once the watch told its outcome
	over    chan struct{} // closed once it has a process no more, and an outcome
}

// settle says that the watch told the attempt's outcome.
func (a *attempt) settle() { a.once.Do(func() { close(a.settled) }) }

// launch begins a task's next attempt.
func (d *driver) launch(t *task) {
	a := &attempt{taskID: t.id, try: t.try + 1, settled: make(chan struct{}), over: make(chan struct{})}
	t.begun, t.attempt = true, a
	d.slots++
	d.pending++
	d.others.Go(func() {
		logRead, err := d.attempt(a)
		close(a.over)
		d.post(func() {
			d.slots--
			if err == nil {
				return
			}
			if t.lost = a.begun; !a.begun { // as if it had not been tried
				t.begun, t.attempt = false, nil
			}
			d.stop(err)
		})
		<-logRead
		d.post(func() { d.pending-- })
	})
}

// attempt goes with an attempt until its process has ended and it is settled. The
// channel is closed once its log is read to the end.
func (d *driver) attempt(a *attempt) (logRead <-chan struct{}, err error) {
	resp, _, err := call(d.calls, d.opts.pace, d.opts.Client.LaunchAttempt, &controlv1.LaunchAttemptRequest{
		DagId: d.opts.Pipeline.Name, RunId: d.opts.RunID, TaskId: a.taskID, TryNumber: int32(a.try), //nolint:gosec // small
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
// asked to end when the run is stopped, or it lives on though its attempt is over.
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
	case <-d.stopping:
		return false
	case <-a.settled:
	}
	timer := time.NewTimer(d.opts.StopWait)
	defer timer.Stop()
	select {
	case <-p.Ended():
		return true
	case <-d.stopping:
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
			d.out.agent(a.taskID, line)
		}
	}
	return nil
}
