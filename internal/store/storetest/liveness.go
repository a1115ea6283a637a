package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
)

var livenessTests = []test{
	{"TestBeat1MovesTheStamp", testBeat},
	{"TestBeat3NotLive", testBeatNotLive},
	{"TestBeat4AfterTheEnd", testBeatAfterEnd},
	{"TestBeat6CancelPending", testBeatCancel},
	{"TestBeat1MovesTheStampPromptly", promptly(testBeat)},
	{"TestBeat3NotLivePromptly", promptly(testBeatNotLive)},
	{"TestBeat4AfterTheEndPromptly", promptly(testBeatAfterEnd)},
	{"TestBeat6CancelPendingPromptly", promptly(testBeatCancel)},
	{"TestReg2AndReg3Register", testRegister},
	{"TestLog9MayLog", testMayLog},
}

// promptly has the heartbeats of a test take the way on which none waits long.
func promptly(do func(*testing.T, *bed)) func(*testing.T, *bed) {
	return func(t *testing.T, b *bed) {
		b.Store = prompt{b.Store}
		do(t, b)
	}
}

// prompt is a store whose heartbeats are prompt, and alone where that decides nothing.
type prompt struct{ Store }

func (p prompt) RecordHeartbeat(ctx context.Context, id auth.AgentIdentity) error {
	if decided, err := p.PromptHeartbeat(ctx, id); decided {
		return err
	}
	return p.LoneHeartbeat(ctx, id)
}

// inTime is a store that is asked for a heartbeat again where it said nothing in time: on a
// machine that stood still meanwhile it has given that up, which tells nothing of the attempt.
type inTime struct{ Store }

// beatsWithin is the least time that a store gives a heartbeat.
const beatsWithin = 2 * time.Second

func (s inTime) RecordHeartbeat(ctx context.Context, id auth.AgentIdentity) error {
	return answered(func() error { return s.Store.RecordHeartbeat(ctx, id) })
}

func (s inTime) PromptHeartbeat(ctx context.Context, id auth.AgentIdentity) (decided bool, err error) {
	err = answered(func() (err error) { decided, err = s.Store.PromptHeartbeat(ctx, id); return err })
	return decided, err
}

func answered(beat func() error) (err error) {
	for range 10 {
		began := time.Now()
		if err = beat(); !errors.Is(err, domain.ErrUnavailable) || time.Since(began) < beatsWithin {
			break
		}
	}
	return err
}

func testBeat(t *testing.T, b *bed) {
	id := b.launched(t, tenantA)
	for range 2 {
		at := b.pass(time.Second)
		wantNil(t, b.RecordHeartbeat(as(tenantA), id))
		if a := b.attempt(t, id); !a.HeartbeatAt.Equal(at) || a.State != domain.TaskStateQueued {
			t.Fatalf("attempt %+v", a)
		}
	}
	b.mustReport(t, id, domain.TaskStateRunning, 0, "")
	at := b.pass(time.Second)
	wantNil(t, b.RecordHeartbeat(as(tenantA), id))
	if a := b.attempt(t, id); !a.HeartbeatAt.Equal(at) {
		t.Fatalf("attempt %+v", a)
	}
	b.wantSteps(t, tenantA, plain(1, domain.TaskStateQueued), plain(1, domain.TaskStateRunning))
}

func testBeatNotLive(t *testing.T, b *bed) {
	id := b.launched(t, tenantA)
	for _, wrong := range strangers(id) {
		wantError(t, b.RecordHeartbeat(as(tenantA), wrong), domain.ErrUnknown)
	}
	b.mustReport(t, id, domain.TaskStateFailed, 1, "")
	wantError(t, b.RecordHeartbeat(as(tenantA), id), domain.ErrFinished)
	b.launch(t, tenantA, 2, false)
	wantError(t, b.RecordHeartbeat(as(tenantA), id), domain.ErrSuperseded)
}

func testBeatAfterEnd(t *testing.T, b *bed) {
	id := b.launched(t, tenantA)
	wantNil(t, b.RecordHeartbeat(as(tenantA), id))
	b.mustReport(t, id, domain.TaskStateSuccess, 0, "")
	before := b.attempt(t, id)
	b.pass(time.Minute)
	wantError(t, b.RecordHeartbeat(as(tenantA), id), domain.ErrNotLive)
	wantEqual(t, b.attempt(t, id), before)
}

func testBeatCancel(t *testing.T, b *bed) {
	id := b.launched(t, tenantA)
	if _, pending, err := b.StopBy(as(tenantA), id); err != nil || pending {
		t.Fatalf("pending %v, %v", pending, err)
	}
	stopBy := begin.Add(time.Minute)
	b.mustCancel(t, id, stopBy)
	at := b.pass(time.Second)
	wantError(t, b.RecordHeartbeat(as(tenantA), id), domain.ErrCancelled)
	if a := b.attempt(t, id); !a.HeartbeatAt.Equal(at) || a.State != domain.TaskStateQueued {
		t.Fatalf("attempt %+v", a)
	}
	if got, pending, err := b.StopBy(as(tenantA), id); err != nil || !pending || !got.Equal(stopBy) {
		t.Fatalf("stop by %v, %v, %v", got, pending, err)
	}
	b.mustReport(t, id, domain.TaskStateFailed, -15, "")
	if _, pending, err := b.StopBy(as(tenantA), id); err != nil || pending {
		t.Fatalf("after the end: pending %v, %v", pending, err)
	}
	for _, wrong := range strangers(id) {
		_, _, err := b.StopBy(as(tenantA), wrong)
		wantError(t, err, domain.ErrUnknown)
	}
}

func testRegister(t *testing.T, b *bed) {
	id := b.launched(t, tenantA)
	before := b.attempt(t, id)
	info := domain.AgentInfo{Version: "\x01 odd", Hostname: string(make([]byte, 1000))}
	for range 2 {
		wantNil(t, b.RegisterAgent(as(tenantA), id, info))
	}
	b.mustReport(t, id, domain.TaskStateRunning, 0, "")
	wantNil(t, b.RegisterAgent(as(tenantA), id, domain.AgentInfo{}))
	for _, wrong := range strangers(id) {
		wantError(t, b.RegisterAgent(as(tenantA), wrong, info), domain.ErrUnknown)
	}
	b.mustCancel(t, id, begin)
	wantError(t, b.RegisterAgent(as(tenantA), id, info), domain.ErrCancelled)
	b.mustReport(t, id, domain.TaskStateSuccess, 0, "")
	wantError(t, b.RegisterAgent(as(tenantA), id, info), domain.ErrFinished)
	b.launch(t, tenantA, 2, false)
	wantError(t, b.RegisterAgent(as(tenantA), id, info), domain.ErrSuperseded)
	if after := b.attempt(t, id); !after.QueuedAt.Equal(before.QueuedAt) || !after.HeartbeatAt.IsZero() {
		t.Fatalf("attempt %+v", after)
	}
}

func testMayLog(t *testing.T, b *bed) {
	id := b.launched(t, tenantA)
	want := func(until time.Time) {
		t.Helper()
		got, err := b.MayLog(as(tenantA), id)
		if err != nil || !got.Equal(until) {
			t.Fatalf("until %v, %v; want %v", got, err, until)
		}
	}
	want(time.Time{})
	b.mustCancel(t, id, begin)
	want(time.Time{})
	ended := b.pass(time.Second)
	b.mustReport(t, id, domain.TaskStateSuccess, 0, "")
	want(ended.Add(domain.LogGrace))
	b.launch(t, tenantA, 2, false)
	b.pass(time.Hour)
	want(ended.Add(domain.LogGrace))
	for _, wrong := range strangers(id)[:4] {
		_, err := b.MayLog(as(tenantA), wrong)
		wantError(t, err, domain.ErrUnknown)
	}
}
