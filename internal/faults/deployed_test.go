package faults

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
)

// deployed is an agent as they are in use: it makes each call once, whatever comes of
// it, opens no stream again, and goes on beating.
type deployed struct {
	agentv1.AgentServiceClient
	t      *testing.T
	ctx    context.Context //nolint:containedctx // without a deadline, as they make calls
	cancel context.CancelFunc
	logs   agentv1.AgentService_StreamLogsClient
	over   chan struct{}
	beaten sync.WaitGroup
	mu     sync.Mutex
	beats  int
	wrong  []string // what a heartbeat must not bring
}

// deployed launches a task's first try, and begins it as such an agent does, which is to beat
// so often.
func (r *rig) deployed(task string, every time.Duration) *deployed {
	r.t.Helper()
	client, ctx := r.wire(r.launch(task, 1))
	d := &deployed{AgentServiceClient: client, t: r.t, over: make(chan struct{})}
	d.ctx, d.cancel = context.WithCancel(context.WithoutCancel(ctx))
	context.AfterFunc(ctx, d.cancel) // who waits for a call waits no longer than the rig
	r.t.Cleanup(func() {
		d.cancel()
		d.rest()
	})
	d.logs = must[agentv1.AgentService_StreamLogsClient](r.t)(d.StreamLogs(d.ctx))
	must[*agentv1.RegisterResponse](r.t)(d.Register(d.ctx, &agentv1.RegisterRequest{AgentVersion: "deployed", Hostname: "host"}))
	must[*agentv1.TaskSpec](r.t)(d.GetTaskSpec(d.ctx, &agentv1.GetTaskSpecRequest{}))
	must[*agentv1.ReportStateResponse](r.t)(d.ReportState(d.ctx, &agentv1.ReportStateRequest{State: agentv1.TaskState_TASK_STATE_RUNNING}))
	d.log(1)
	d.beaten.Go(func() { d.beatOn(every) })
	return d
}

// beatOn beats until the task is over.
func (d *deployed) beatOn(every time.Duration) {
	next := time.NewTicker(every)
	defer next.Stop()
	for {
		select {
		case <-next.C:
		case <-d.over:
			return
		}
		beat, err := d.Heartbeat(d.ctx, &agentv1.HeartbeatRequest{})
		d.mu.Lock()
		d.beats++
		if err != nil || beat.GetShouldTerminate() || beat.GetReason() != 0 || beat.GetServerTime() == nil {
			d.wrong = append(d.wrong, fmt.Sprint(beat, err))
		}
		d.mu.Unlock()
	}
}

// rest ends the beating.
func (d *deployed) rest() {
	d.mu.Lock()
	select {
	case <-d.over:
	default:
		close(d.over)
	}
	d.mu.Unlock()
	d.beaten.Wait()
}

// log sends the nth line of its task.
func (d *deployed) log(n int64) {
	d.t.Helper()
	if err := d.logs.Send(&agentv1.LogLine{Stream: "stdout", LineNumber: n, Message: fmt.Sprint("line ", n)}); err != nil {
		d.t.Errorf("line %d: %v", n, err)
	}
}

// ends ends the task, as such an agent does, and returns what became of its report.
func (d *deployed) ends() (reported <-chan error) {
	d.t.Helper()
	d.log(2)
	d.rest()
	if err := d.logs.CloseSend(); err != nil {
		d.t.Error(err)
	}
	done := make(chan error, 1)
	go func() {
		for {
			_, err := d.logs.Recv()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				done <- fmt.Errorf("its log ended: %w", err)
				return
			}
		}
		got, err := d.ReportState(d.ctx, &agentv1.ReportStateRequest{State: agentv1.TaskState_TASK_STATE_SUCCESS})
		if err == nil && (!got.GetAcknowledged() || got.GetShouldTerminate()) {
			err = fmt.Errorf("its report is answered %v", got)
		}
		done <- err
	}()
	return done
}

// wantUndisturbed holds that it has beaten so often, and that no answer said more than
// that it was heard (BEAT-2).
func (d *deployed) wantUndisturbed(beats int) {
	d.t.Helper()
	eventually(d.t, fmt.Sprintf("beaten %d times", beats), func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		return d.beats >= beats
	})
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, wrong := range d.wrong {
		d.t.Errorf("BEAT-2: a heartbeat is answered %s", wrong)
	}
}
