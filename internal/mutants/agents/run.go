package agents

import (
	"context"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	"github.com/neochaotic/leoflow/internal/agent"
	"github.com/neochaotic/leoflow/internal/mutants/matrix"
)

const (
	running = agentv1.TaskState_TASK_STATE_RUNNING
	success = agentv1.TaskState_TASK_STATE_SUCCESS
)

func runMutants() []Mutant {
	return []Mutant{
		{
			Name: "starts-before-report", Fault: "it starts the task, then reports RUNNING", Kills: "A-RUN-1/before",
			unary: announcesLate, Also: matrix.Because("RUNNING is refused once the task has started", "A-BEAT-2/no-start"),
		},
		{
			Name: "reports-twice", Fault: "it reports the outcome again after it was acknowledged", Kills: "A-RUN-1/after",
			unary: func(_ *relay, p *passing) error {
				err := p.send()
				if in, ok := p.in.(*agentv1.ReportStateRequest); ok && in.GetState() > running && err == nil {
					return p.send()
				}
				return err
			},
		},
		{
			Name: "succeeds-early", Fault: "it reports the success of a task that does nothing but wait before that has ended", Kills: "A-RUN-1/after",
			unary: succeedsEarly,
		},
		{
			Name: "exit-is-failure", Fault: "it takes a task that says at its end that it exits well for one that failed", Kills: "A-RUN-2/success",
			unary: specified(func(_ *relay, spec *agentv1.TaskSpec) {
				if script, ok := strings.CutSuffix(spec.GetEntrypoint(), "exit 0\n"); ok {
					spec.Entrypoint = script + "exit 1\n"
				}
			}),
		},
		{
			Name: "code-one", Fault: "it reports each exit code as 1", Kills: "A-RUN-2/code",
			unary: reported(func(in *agentv1.ReportStateRequest) { in.ExitCode = min(in.GetExitCode(), 1) }),
		},
		{
			Name: "no-message", Fault: "its failures have no message", Kills: "A-RUN-2/code",
			unary: reported(func(in *agentv1.ReportStateRequest) {
				if strings.HasPrefix(in.GetErrorMessage(), "exited") {
					in.ErrorMessage = ""
				}
			}),
			Also: matrix.Because("it fails a task, and reads why", "A-START-1/kept", "A-LOG-1/last"),
		},
		{
			Name: "signal-is-success", Fault: "it takes a task that a signal killed for one that ended well", Kills: "A-RUN-2/signal",
			unary: reported(func(in *agentv1.ReportStateRequest) {
				if strings.HasPrefix(in.GetErrorMessage(), "killed") {
					in.State, in.ExitCode, in.ErrorMessage = success, 0, ""
				}
			}),
		},
		{
			Name: "time-out-is-zero", Fault: "it reports a time-out with exit code 0", Kills: "A-RUN-2/time-out",
			unary: reported(func(in *agentv1.ReportStateRequest) {
				if strings.HasPrefix(in.GetErrorMessage(), "timed out") {
					in.ExitCode = 0
				}
			}),
		},
	}
}

// stopMutants do not stop a task as they should.
func stopMutants() []Mutant {
	return []Mutant{
		{
			Name: "no-time-out", Fault: "it enforces no time-out", Kills: "A-RUN-3/kill", Slow: true,
			unary: specified(func(_ *relay, spec *agentv1.TaskSpec) { spec.ExecutionTimeoutSeconds = 0 }),
			Also:  matrix.Because("its task would run for ever", "A-RUN-2/time-out", "A-RUN-3/polite", "A-RUN-3/group"),
		},
		{
			Name: "kills-at-once", Fault: "it gives a task no time to stop", Kills: "A-RUN-3/polite",
			config: func(cfg *agent.Config) { cfg.Grace = time.Nanosecond },
			Also:   matrix.Because("its task is asked to stop first", "A-RUN-3/kill", "A-BEAT-2/polite", "A-BEAT-2/kill"),
		},
		{
			Name: "stops-leader-alone", Fault: "it stops the task's first process alone", Kills: "A-RUN-3/group",
			unary: wrapped("set -m"), Also: matrix.Because("its task has children, which live on", "A-RUN-3/polite", "A-RUN-3/kill", "A-BEAT-2/polite", "A-BEAT-2/kill"),
		},
	}
}

// returnMutants do not hand over a return value as they should.
func returnMutants() []Mutant {
	return []Mutant{
		{
			Name: "pushes-late", Fault: "it reports SUCCESS, then pushes the return value", Kills: "A-RUN-4/before",
			unary: pushesLate, Also: matrix.Because("the push does not come before the outcome", "A-RUN-4/rejected", "A-NET-1/PushXCom"),
		},
		{
			Name: "never-pushes", Fault: "it pushes no return value", Kills: "A-RUN-4/before", Also: matrix.Because("it wants a push", "A-RUN-4/rejected", "A-NET-1/PushXCom", "A-START-1/every-rpc", "A-BEAT-3/calls"),
			unary: func(_ *relay, p *passing) error {
				if out, ok := p.out.(*agentv1.PushXComResponse); ok {
					out.Accepted = true
					return nil
				}
				return p.send()
			},
		},
		{
			Name: "heeds-no-rejection", Fault: "it reports SUCCESS when the return value was rejected", Kills: "A-RUN-4/rejected",
			unary: after("PushXCom", func(_ *relay, out *agentv1.PushXComResponse) { out.Accepted = true }),
		},
	}
}

// early is when succeedsEarly has waited for long enough.
const early = 250 * time.Millisecond

// succeedsEarly reports a success a while after RUNNING, and passes on nothing after it.
func succeedsEarly(r *relay, p *passing) error {
	if spec, ok := p.out.(*agentv1.TaskSpec); ok {
		err := p.send()
		script := spec.GetEntrypoint()
		r.set(func(s *state) { s.limited = !strings.HasSuffix(script, "gate\n") || strings.Contains(script, "echo") })
		return err
	}
	in, ok := p.in.(*agentv1.ReportStateRequest)
	if !ok || r.limited {
		return p.send()
	}
	if in.GetState() > running {
		over := false
		r.set(func(s *state) { over, s.bad = s.bad, true })
		if over {
			p.out.(*agentv1.ReportStateResponse).Acknowledged = true
			return nil
		}
		return p.send()
	}
	ctx := context.WithoutCancel(p.ctx)
	time.AfterFunc(early, func() {
		over := false
		r.set(func(s *state) { over, s.bad = s.bad, true })
		if over {
			return
		}
		if _, err := r.up.ReportState(ctx, &agentv1.ReportStateRequest{State: success}); err != nil {
			r.set(func(s *state) { s.bad = false })
		}
	})
	return p.send()
}

// announcesLate passes the report of RUNNING on with the next one.
func announcesLate(r *relay, p *passing) error {
	in, ok := p.in.(*agentv1.ReportStateRequest)
	if !ok {
		return p.send()
	}
	if in.GetState() == running {
		r.set(func(s *state) { s.kept = &passing{in: proto.CloneOf(in)} })
		p.out.(*agentv1.ReportStateResponse).Acknowledged = true
		return nil
	}
	var kept *passing
	r.set(func(s *state) { kept, s.kept = s.kept, nil })
	if kept != nil {
		_, _ = r.up.ReportState(p.ctx, kept.in.(*agentv1.ReportStateRequest))
	}
	return p.send()
}

// pushesLate passes a push on after the next report.
func pushesLate(r *relay, p *passing) error {
	if in, ok := p.in.(*agentv1.PushXComRequest); ok {
		r.set(func(s *state) { s.kept = &passing{in: proto.CloneOf(in)} })
		p.out.(*agentv1.PushXComResponse).Accepted = true
		return nil
	}
	err := p.send()
	var kept *passing
	r.set(func(s *state) { kept = s.kept })
	if in, ok := p.in.(*agentv1.ReportStateRequest); ok && in.GetState() > running && kept != nil {
		_, _ = r.up.PushXCom(p.ctx, kept.in.(*agentv1.PushXComRequest))
	}
	return err
}
