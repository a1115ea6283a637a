package otherplane

import (
	"context"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"
)

// fixtures are the adapter that the suite asks for.
type fixtures struct {
	conformancev1.UnimplementedFixtureServiceServer
	plane *Plane
}

func cannot(what string) error { return status.Error(codes.Unimplemented, "this plane has no "+what) }

// abilities are the ids of what a plane of these choices offers.
func (c Choices) abilities() []string {
	var out []string
	for name, has := range map[string]bool{
		"cancel": c.Cancel, "renewal": c.Renewal, "resume": c.Resume, "schema": c.Schema, "secrets": c.Secrets, "declared_scope": c.DeclaredScope,
	} {
		if has {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// GetCapabilities tells what the plane offers.
func (f *fixtures) GetCapabilities(context.Context, *conformancev1.GetCapabilitiesRequest) (*conformancev1.GetCapabilitiesResponse, error) {
	c := f.plane.choices
	told := &conformancev1.GetCapabilitiesResponse{
		Server: c.Name, Abilities: c.abilities(), Clock: c.Clock,
		Faults: []conformancev1.Fault{
			conformancev1.Fault_FAULT_STORE_DOWN, conformancev1.Fault_FAULT_STORE_HANGS, conformancev1.Fault_FAULT_PANIC,
			conformancev1.Fault_FAULT_RESTART, conformancev1.Fault_FAULT_SHUTDOWN, conformancev1.Fault_FAULT_NO_SECRETS,
			conformancev1.Fault_FAULT_NO_AUDIT,
		},
		XcomMaxBytes: int64(c.ValueMax), XcomTtl: durationpb.New(c.ValueLife), LogGrace: durationpb.New(c.LogGrace),
		MaxMessageBytes: int64(c.MessageMax), PlaintextSecrets: c.PlaintextSecrets,
		PushesOverRate: pushesOverRate, HandshakeWithin: durationpb.New(handshakeWithin),
	}
	if c.TellsNothing {
		told.XcomMaxBytes, told.XcomTtl, told.LogGrace, told.MaxMessageBytes, told.PushesOverRate, told.HandshakeWithin = 0, nil, nil, 0, 0, nil
	}
	return told, nil
}

// SetFault makes a fault, or ends it.
func (f *fixtures) SetFault(_ context.Context, req *conformancev1.SetFaultRequest) (*conformancev1.SetFaultResponse, error) {
	p, on := f.plane, req.GetActive()
	condition := map[conformancev1.Fault]condition{
		conformancev1.Fault_FAULT_STORE_DOWN: down, conformancev1.Fault_FAULT_STORE_HANGS: hanging,
	}[req.GetFault()]
	var err error
	switch req.GetFault() {
	case conformancev1.Fault_FAULT_STORE_DOWN, conformancev1.Fault_FAULT_STORE_HANGS:
		if !on {
			condition = well
		}
		p.store.gate.set(condition)
	case conformancev1.Fault_FAULT_PANIC:
		p.panics.Store(on)
	case conformancev1.Fault_FAULT_NO_SECRETS:
		p.noSecrets.Store(on)
	case conformancev1.Fault_FAULT_NO_AUDIT:
		p.noAudit.Store(on)
	case conformancev1.Fault_FAULT_RESTART:
		if on {
			err = p.again(p.kill)
		}
	case conformancev1.Fault_FAULT_SHUTDOWN:
		if on {
			err = p.again(p.end)
		}
	default:
		err = cannot("fault " + req.GetFault().String())
	}
	return &conformancev1.SetFaultResponse{}, err
}

// AdvanceClock moves the plane's time of day.
func (f *fixtures) AdvanceClock(_ context.Context, req *conformancev1.AdvanceClockRequest) (*conformancev1.AdvanceClockResponse, error) {
	if !f.plane.choices.Clock {
		return nil, cannot("clock that moves")
	}
	f.plane.clock.advance(req.GetAhead().AsDuration())
	return &conformancev1.AdvanceClockResponse{}, nil
}

// SetSilence begins to watch for another silence.
func (f *fixtures) SetSilence(_ context.Context, req *conformancev1.SetSilenceRequest) (*conformancev1.SetSilenceResponse, error) {
	p := f.plane
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.silence = req.GetLostAfter().AsDuration(); p.silence == 0 {
		p.silence = p.choices.LostAfter
	}
	p.watch.stop()
	p.watch = watching(p.service, p.silence)
	return &conformancev1.SetSilenceResponse{}, nil
}
