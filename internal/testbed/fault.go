package testbed

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"
)

// What a fault is called here.
const (
	storeDown  = conformancev1.Fault_FAULT_STORE_DOWN
	storeHangs = conformancev1.Fault_FAULT_STORE_HANGS
	panics     = conformancev1.Fault_FAULT_PANIC
	restarts   = conformancev1.Fault_FAULT_RESTART
	shutsDown  = conformancev1.Fault_FAULT_SHUTDOWN
	noSecrets  = conformancev1.Fault_FAULT_NO_SECRETS
	unaudited  = conformancev1.Fault_FAULT_NO_AUDIT
)

// bedFaults are those that a Bed makes; a [Supervisor] can also kill it.
var bedFaults = []conformancev1.Fault{storeDown, storeHangs, panics, shutsDown, noSecrets, unaudited}

// settings are what was set by FixtureService and outlives a restart.
type settings struct {
	// Ahead is by how much the clock is advanced.
	Ahead time.Duration
	// Silence is the window of silence; 0: the server's own.
	Silence time.Duration
	// Faults are there.
	Faults map[conformancev1.Fault]bool
}

func (s settings) copy() settings {
	s.Faults = maps.Clone(s.Faults)
	if s.Faults == nil {
		s.Faults = map[conformancev1.Fault]bool{}
	}
	return s
}

// SetFault implements FixtureService.
func (b *Bed) SetFault(ctx context.Context, req *conformancev1.SetFaultRequest) (*conformancev1.SetFaultResponse, error) {
	fault, active := req.GetFault(), req.GetActive()
	if !slices.Contains(bedFaults, fault) {
		return nil, status.Errorf(codes.Unimplemented, "the fault %s cannot be made", fault)
	}
	b.change.Lock()
	defer b.change.Unlock()
	if fault == shutsDown {
		if !active {
			return &conformancev1.SetFaultResponse{}, nil
		}
		return &conformancev1.SetFaultResponse{}, b.restart(ctx)
	}
	before := b.set.Faults[fault]
	if before == active {
		return &conformancev1.SetFaultResponse{}, nil
	}
	b.set.Faults[fault] = active
	err := b.take(ctx, fault)
	if err != nil {
		b.set.Faults[fault] = before
	}
	return &conformancev1.SetFaultResponse{}, err
}

// take has the server meet a fault, or not any more.
func (b *Bed) take(ctx context.Context, fault conformancev1.Fault) error {
	switch fault {
	case panics:
		b.panicking.Store(b.set.Faults[panics])
		return nil
	case noSecrets:
		return b.restart(ctx)
	default:
		return b.harm(ctx)
	}
}

// harm brings the database into the state that the settings want.
func (b *Bed) harm(ctx context.Context) error {
	if err := b.heal(ctx); err != nil {
		return err
	}
	if err := b.database.harm(ctx, b.set.Faults[storeDown], b.set.Faults[unaudited]); err != nil {
		return err
	}
	if b.set.Faults[storeHangs] {
		return b.database.hold(ctx)
	}
	return nil
}

// heal ends all harm to the database, whatever the settings want.
func (b *Bed) heal(ctx context.Context) error {
	return errors.Join(b.database.release(), b.database.harm(ctx, false, false))
}

// SetSilence implements FixtureService. A server knows its window from its start on.
func (b *Bed) SetSilence(ctx context.Context, req *conformancev1.SetSilenceRequest) (*conformancev1.SetSilenceResponse, error) {
	b.change.Lock()
	defer b.change.Unlock()
	before := b.set.Silence
	if b.set.Silence = req.GetLostAfter().AsDuration(); b.set.Silence == before {
		return &conformancev1.SetSilenceResponse{}, nil
	}
	if err := b.settingsFit(); err != nil {
		b.set.Silence = before
		return nil, err
	}
	return &conformancev1.SetSilenceResponse{}, b.restart(ctx)
}

// settingsFit refuses what the server would not start with.
func (b *Bed) settingsFit() error {
	if _, err := b.config().Complete(); err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	return nil
}

// AdvanceClock implements FixtureService.
func (b *Bed) AdvanceClock(_ context.Context, req *conformancev1.AdvanceClockRequest) (*conformancev1.AdvanceClockResponse, error) {
	b.ahead.Store(int64(req.GetAhead().AsDuration()))
	return &conformancev1.AdvanceClockResponse{}, nil
}
