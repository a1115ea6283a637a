package storetest

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
)

var reapTests = []test{
	{"TestBeat5ReapSeesEveryTenant", testReapSeesEveryTenant},
	{"TestBeat5LooksLeaveOutWhatIsSettled", testReapLooks},
	{"TestBeat5ReapSettles", testReapSettles},
	{"TestBeat5SignOfLifeWins", testReapSignOfLife},
	{"TestBeat5TwoReapersSettleOnce", testReapTwice},
	{"TestBeat5BeatAndReapRace", testReapRace},
	{"TestBeat5ReapRefusesOtherCauses", testReapCauses},
	{"TestBeat5ProbeChangesNothing", testReapProbe},
}

// sight is an attempt as a reaper sees it.
type sight struct {
	Attempt    domain.Attempt
	Registered bool
}

// look looks at everything that is live.
func (b *bed) look(t *testing.T, from int64) ([]sight, int64) {
	t.Helper()
	var out []sight
	next, err := b.LiveAttempts(t.Context(), from, func(a domain.Attempt, registered bool) {
		out = append(out, sight{a, registered})
	})
	wantNil(t, err)
	return out, next
}

// only returns the one attempt that is live.
func (b *bed) only(t *testing.T) domain.Attempt {
	t.Helper()
	seen, _ := b.look(t, 0)
	if len(seen) != 1 {
		t.Fatalf("live are %+v", seen)
	}
	return seen[0].Attempt
}

func testReapSeesEveryTenant(t *testing.T, b *bed) {
	inA, inB := b.launched(t, tenantA), b.launched(t, tenantB)
	started := b.pass(time.Second)
	b.mustReport(t, inA, domain.TaskStateRunning, 0, "")
	beat := b.pass(time.Second)
	wantNil(t, b.RecordHeartbeat(as(tenantA), inA))
	b.mustCancel(t, inA, begin.Add(time.Minute))
	wantNil(t, b.RegisterAgent(as(tenantB), inB, domain.AgentInfo{Hostname: "h"}))
	seen, _ := b.look(t, 0)
	short := func(id auth.AgentIdentity) domain.AttemptRef {
		return domain.AttemptRef{TenantID: id.TenantID, TaskInstanceID: id.TaskInstanceID, TryNumber: 1}
	}
	wantEqual(t, seen, []sight{
		{domain.Attempt{
			Ref: short(inA), State: domain.TaskStateRunning, Timeout: 90 * time.Second,
			QueuedAt: begin, StartedAt: started, HeartbeatAt: beat, CancelRequestedAt: beat, StopBy: begin.Add(time.Minute),
		}, false},
		{domain.Attempt{Ref: short(inB), State: domain.TaskStateQueued, Timeout: 90 * time.Second, QueuedAt: begin}, true},
	})
}

func testReapLooks(t *testing.T, b *bed) {
	none, next := b.look(t, 0)
	wantEqual(t, len(none), 0)
	first := b.launched(t, tenantA)
	seen, next := b.look(t, next)
	wantEqual(t, len(seen), 1)
	again, next := b.look(t, next)
	wantEqual(t, again, seen)
	b.mustReport(t, first, domain.TaskStateFailed, 1, "")
	none, next = b.look(t, next)
	wantEqual(t, len(none), 0)
	none, next = b.look(t, next)
	wantEqual(t, len(none), 0)
	b.launch(t, tenantA, 2, false)
	b.launched(t, tenantB)
	seen, next = b.look(t, next)
	if len(seen) != 2 || seen[0].Attempt.Ref.TryNumber != 2 || seen[1].Attempt.Ref.TenantID != tenantB {
		t.Fatalf("live are %+v", seen)
	}
	b.launch(t, tenantA, 3, true)
	seen, _ = b.look(t, next)
	if len(seen) != 2 || seen[0].Attempt.Ref.TenantID != tenantB || seen[1].Attempt.Ref.TryNumber != 3 {
		t.Fatalf("live are %+v", seen)
	}
}

func testReapSettles(t *testing.T, b *bed) {
	for tenant, c := range map[string]struct {
		cause domain.Cause
		told  error
		bring func(auth.AgentIdentity)
	}{
		"lost": {domain.CauseLost, domain.ErrLost, func(id auth.AgentIdentity) {
			b.mustReport(t, id, domain.TaskStateRunning, 0, "")
			wantNil(t, b.RecordHeartbeat(as(id.TenantID), id))
		}},
		"lost without a beat": {domain.CauseLost, domain.ErrLost, func(id auth.AgentIdentity) {
			b.mustReport(t, id, domain.TaskStateRunning, 0, "")
		}},
		"never started": {domain.CauseLaunchFailed, domain.ErrFinished, func(auth.AgentIdentity) {}},
		"timed out": {domain.CauseTimedOut, domain.ErrTimedOut, func(id auth.AgentIdentity) {
			b.mustReport(t, id, domain.TaskStateRunning, 0, "")
		}},
		"cancelled": {domain.CauseCancelled, domain.ErrCancelled, func(id auth.AgentIdentity) {
			b.mustCancel(t, id, b.clock())
		}},
	} {
		id := b.launched(t, tenant)
		c.bring(id)
		seen := b.only(t)
		changed := b.RunChanged(as(tenant), theRun)
		at := b.pass(time.Second)
		settled, err := b.ReapAttempt(as(tenant), seen, c.cause, "why")
		if err != nil || !settled {
			t.Fatalf("%s: settled %v, %v", tenant, settled, err)
		}
		wantClosed(t, changed)
		if a := b.attempt(t, id); a.State != domain.TaskStateFailed || a.Cause != c.cause || a.Message != "why" || !a.EndedAt.Equal(at) {
			t.Fatalf("%s: stored %+v", tenant, a)
		}
		steps := b.changes(t, tenant)
		if last := steps[len(steps)-1]; last.State != domain.TaskStateFailed || last.Cause != c.cause || !last.At.Equal(at) {
			t.Fatalf("%s: last change %+v", tenant, last)
		}
		if task := b.task(t, tenant); task.State != domain.TaskStateFailed {
			t.Fatalf("%s: task %+v", tenant, task)
		}
		wantError(t, b.RecordHeartbeat(as(tenant), id), c.told)
		settled, err = b.ReapAttempt(as(tenant), seen, c.cause, "again")
		if err != nil || settled {
			t.Fatalf("%s: settled again: %v, %v", tenant, settled, err)
		}
		wantEqual(t, b.changes(t, tenant), steps)
	}
}

// testReapSignOfLife lets something come between the look and the settling.
func testReapSignOfLife(t *testing.T, b *bed) {
	running := func(id auth.AgentIdentity) { b.mustReport(t, id, domain.TaskStateRunning, 0, "") }
	beat := func(id auth.AgentIdentity) { wantNil(t, b.RecordHeartbeat(as(id.TenantID), id)) }
	for tenant, c := range map[string]struct {
		cause           domain.Cause
		before, between func(auth.AgentIdentity)
	}{
		"first beat":  {domain.CauseLost, running, beat},
		"later beat":  {domain.CauseLost, beat, beat},
		"report":      {domain.CauseLost, beat, running},
		"came":        {domain.CauseLaunchFailed, nil, beat},
		"began":       {domain.CauseLaunchFailed, nil, running},
		"began late":  {domain.CauseTimedOut, nil, running},
		"not pending": {domain.CauseCancelled, running, beat},
		"registered": {domain.CauseLaunchFailed, nil, func(id auth.AgentIdentity) {
			wantNil(t, b.RegisterAgent(as(id.TenantID), id, domain.AgentInfo{Version: "v"}))
		}},
		"beat past the deadline": {
			domain.CauseCancelled,
			func(id auth.AgentIdentity) { beat(id); b.mustCancel(t, id, b.clock()) },
			func(id auth.AgentIdentity) { wantError(t, b.RecordHeartbeat(as(id.TenantID), id), domain.ErrCancelled) },
		},
		"earlier deadline": {
			domain.CauseCancelled,
			func(id auth.AgentIdentity) { b.mustCancel(t, id, b.clock().Add(time.Hour)) },
			func(id auth.AgentIdentity) { b.mustCancel(t, id, b.clock().Add(time.Second)) },
		},
	} {
		id := b.launched(t, tenant)
		if c.before != nil {
			c.before(id)
		}
		seen := b.only(t)
		b.pass(time.Second)
		c.between(id)
		steps := b.changes(t, tenant)
		settled, err := b.ReapAttempt(as(tenant), seen, c.cause, "why")
		if err != nil || settled {
			t.Errorf("%s: settled %v, %v", tenant, settled, err)
		}
		if a := b.attempt(t, id); !a.State.Live() {
			t.Errorf("%s: stored %+v", tenant, a)
		}
		wantEqual(t, b.changes(t, tenant), steps)
		b.mustReport(t, id, domain.TaskStateSuccess, 0, "")
	}
}

func testReapTwice(t *testing.T, b *bed) {
	id := b.launched(t, tenantA)
	for try := 1; try <= 5; try++ {
		b.mustReport(t, id, domain.TaskStateRunning, 0, "")
		seen := b.only(t)
		var winners atomic.Int32
		var wg sync.WaitGroup
		for range 6 {
			wg.Go(func() {
				settled, err := b.ReapAttempt(as(tenantA), seen, domain.CauseLost, "")
				if err != nil {
					t.Error(err)
				}
				if settled {
					winners.Add(1)
				}
			})
		}
		wg.Wait()
		if n := winners.Load(); n != 1 {
			t.Fatalf("settled %d times", n)
		}
		wantPath(t, b.changes(t, tenantA))
		id = b.launch(t, tenantA, try+1, false)
	}
}

// testReapRace lets a beat and a reaper race: the beat is told what is stored.
func testReapRace(t *testing.T, b *bed) {
	id := b.launched(t, tenantA)
	for try := 1; try <= 10; try++ {
		b.mustReport(t, id, domain.TaskStateRunning, 0, "")
		seen := b.only(t)
		b.pass(time.Second)
		var beat, reap error
		var settled bool
		var wg sync.WaitGroup
		wg.Go(func() { beat = b.RecordHeartbeat(as(tenantA), id) })
		wg.Go(func() { settled, reap = b.ReapAttempt(as(tenantA), seen, domain.CauseLost, "") })
		wg.Wait()
		wantNil(t, reap)
		if settled {
			wantError(t, beat, domain.ErrLost)
		} else {
			wantNil(t, beat)
		}
		if a := b.attempt(t, id); a.State.Live() == settled {
			t.Fatalf("settled %v, stored %+v", settled, a)
		}
		id = b.launch(t, tenantA, try+1, true)
	}
	wantPath(t, b.changes(t, tenantA))
}

func testReapCauses(t *testing.T, b *bed) {
	id := b.launched(t, tenantA)
	for _, cause := range append(domain.Causes(), "", "odd") {
		switch cause {
		case domain.CauseLost, domain.CauseLaunchFailed, domain.CauseTimedOut, domain.CauseCancelled:
			continue
		}
		_, err := b.ReapAttempt(as(tenantA), b.only(t), cause, "")
		wantError(t, err, domain.ErrPrecondition)
	}
	if a := b.attempt(t, id); !a.State.Live() {
		t.Fatalf("stored %+v", a)
	}
}

func testReapProbe(t *testing.T, b *bed) {
	id := b.launched(t, tenantA)
	before := b.see(t, id, 1)
	wantNil(t, b.ProbeWrite(as(tenantA), id.Attempt()))
	wantEqual(t, b.see(t, id, 1), before)
	wantError(t, b.ProbeWrite(as(tenantB), domain.AttemptRef{TenantID: tenantB, TaskInstanceID: "x", TryNumber: 1}), domain.ErrUnknown)
	b.mustReport(t, id, domain.TaskStateSuccess, 0, "")
	wantNil(t, b.ProbeWrite(as(tenantA), id.Attempt()))
}
