package serversuite

import (
	"context"
	"time"

	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
)

// endWithCheck has the attempt settled once its check has ended, whatever became of it:
// one left running falls silent, and silence of most attempts at once is no silence to a
// server (BEAT-5). Of a task's tries only the newest can be live.
func (a *attempt) endWithCheck() {
	task := a.ref.GetRunId() + "/" + a.ref.GetTaskId()
	if _, known := a.w.live[task]; !known {
		a.w.t.Cleanup(func() { a.w.leave(task) })
	}
	a.w.live[task] = a.ref
}

// leave settles the newest try of a task. It may have ended, or the fixtures may not be
// able to, which is no matter.
func (w *world) leave(task string) {
	ctx, cancel := w.afterwards()
	defer cancel()
	_, _ = w.target.Fixtures.SettleAttempt(ctx, &conformancev1.SettleAttemptRequest{
		Attempt: w.live[task], Cause: controlv1.Cause_CAUSE_LOST,
	})
}

// afterwards is time for what must be done though the check is over.
func (w *world) afterwards() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(w.t.Context()), w.t.Scale(5*time.Second))
}
