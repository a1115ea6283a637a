package agents

import (
	"context"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	"github.com/neochaotic/leoflow/internal/mutants/matrix"
)

func beatMutants() []Mutant {
	return []Mutant{
		{
			Name: "beats-too-often", Fault: "it beats each second when nobody asked for an interval", Kills: "A-BEAT-1/default",
			unary: beaten(func(out *agentv1.HeartbeatResponse) {
				if out.GetBeatInterval() == nil {
					out.BeatInterval = durationpb.New(time.Second)
				}
			}),
		},
		{
			Name: "beats-as-it-likes", Fault: "it beats each five seconds, whatever is asked for", Kills: "A-BEAT-1/asked",
			unary: beaten(func(out *agentv1.HeartbeatResponse) { out.BeatInterval = durationpb.New(5 * time.Second) }),
			Also:  matrix.Because("another interval than the usual", "A-BEAT-1/default"),
		},
		{
			Name: "stops-when-a-beat-fails", Fault: "it stops the task when a heartbeat fails", Kills: "A-BEAT-1/goes-on",
			unary: func(_ *relay, p *passing) error {
				err := p.send()
				if out, ok := p.out.(*agentv1.HeartbeatResponse); ok && err != nil && p.ctx.Err() == nil {
					out.ShouldTerminate = true
					return nil
				}
				return err
			},
		},
		{
			Name: "beats-no-more", Fault: "it beats no more once a heartbeat failed", Kills: "A-BEAT-1/goes-on", Slow: true,
			Also: matrix.Because("the heartbeat fails by hanging", "A-BEAT-1/hanging"),
			unary: func(r *relay, p *passing) error {
				if p.method != "Heartbeat" {
					return p.send()
				}
				if r.isBad() {
					return nil
				}
				err := p.send()
				r.set(func(s *state) { s.bad = err != nil })
				return err
			},
		},
		{
			Name: "heeds-no-termination", Fault: "it goes on when a heartbeat says to end", Kills: "A-BEAT-2/kill", Slow: true,
			unary: beaten(func(out *agentv1.HeartbeatResponse) { out.ShouldTerminate = false }), Also: matrix.Because("the same answer to a heartbeat", "A-BEAT-2/polite"),
		},
		{
			Name: "starts-anyway", Fault: "it starts the task though the answer to RUNNING said to end", Kills: "A-BEAT-2/no-start",
			unary: after("ReportState", func(_ *relay, out *agentv1.ReportStateResponse) { out.ShouldTerminate = false }),
		},
		{
			Name: "reports-with-old-token", Fault: "it uses a renewed token for heartbeats alone", Kills: "A-BEAT-3/calls",
			unary: func(r *relay, p *passing) error {
				if p.method != "Heartbeat" {
					p.ctx = withToken(p.ctx, "Bearer "+r.token)
				}
				return p.send()
			},
		},
	}
}

func netMutants() []Mutant {
	return []Mutant{
		{
			Name: "gives-up", Fault: "it does not try again what is UNAVAILABLE", Kills: "A-NET-1/Register",
			Also: matrix.Because("the same of another call", "A-NET-1/GetTaskSpec", "A-NET-1/FetchXCom", "A-NET-1/PushXCom", "A-NET-1/jitter"),
			unary: func(_ *relay, p *passing) error {
				err := p.send()
				if status.Code(err) == codes.Unavailable {
					return status.Error(codes.Internal, "the server is away")
				}
				return err
			},
		},
		{
			Name: "steady-waits", Fault: "its waits between tries do not grow", Kills: "A-NET-1/Register",
			Also: matrix.Because("the same of another call", "A-NET-1/GetTaskSpec", "A-NET-1/FetchXCom", "A-NET-1/PushXCom"),
			unary: func(_ *relay, p *passing) error { // so long that no stir of the machine looks like growth
				return untilWell(p, func(int) time.Duration {
					return time.Second + rand.N(300*time.Millisecond) //nolint:gosec // no secret
				}, codes.Unavailable)
			},
		},
		{
			Name: "in-step", Fault: "its waits between tries grow, and are those of every other agent", Kills: "A-NET-1/jitter",
			unary: func(_ *relay, p *passing) error { // so long that no stir of the machine hides it
				return untilWell(p, func(try int) time.Duration { return 900 * time.Millisecond << try }, codes.Unavailable)
			},
		},
		refusedInVain("tries-for-ever", codes.Unauthenticated),
		refusedInVain("tries-what-is-over", codes.FailedPrecondition, "A-START-2/refused"),
	}
}

// refusedInVain tries again what is refused by a code, until it is killed.
func refusedInVain(name string, code codes.Code, also ...string) Mutant {
	check := func(method string) string { return "A-NET-2/" + code.String() + "/" + method }
	return Mutant{
		Name: name, Fault: "it tries again what is refused by " + code.String(), Kills: check("Register"), Slow: true,
		Also: matrix.Because("the same refusal of another call", check("GetTaskSpec"), check("ReportState")).And("the same refusal", also...),
		unary: func(_ *relay, p *passing) error {
			p.ctx = context.WithoutCancel(p.ctx)
			return untilWell(p, func(int) time.Duration { return 100 * time.Millisecond }, code)
		},
	}
}

// untilWell passes a call on again and again while it fails by the code, after these waits.
func untilWell(p *passing, wait func(try int) time.Duration, while codes.Code) error {
	for try := 0; ; try++ {
		err := p.send()
		if status.Code(err) != while {
			return err
		}
		select {
		case <-time.After(wait(try)):
		case <-p.ctx.Done():
			return err
		}
	}
}
