package agentrpc

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	"github.com/neochaotic/leoflow/internal/domain"
)

// beat sends a heartbeat and returns the answer; it must be OK.
func (r *rig) beat(t *testing.T, ctx context.Context) *agentv1.HeartbeatResponse { //nolint:revive // a helper takes t first
	t.Helper()
	resp, err := r.Heartbeat(ctx, &agentv1.HeartbeatRequest{})
	if err != nil {
		t.Errorf("a heartbeat failed: %v", err)
		return &agentv1.HeartbeatResponse{}
	}
	return resp
}

// wantIndefinite wants an answer that asks for nothing.
func wantIndefinite(t *testing.T, resp *agentv1.HeartbeatResponse) {
	t.Helper()
	if resp.GetShouldTerminate() || resp.GetReason() != 0 || resp.GetStopBy() != nil || resp.GetRenewedToken() != "" {
		t.Errorf("answer %v, want an indefinite one", resp)
	}
	if resp.GetServerTime().AsTime().IsZero() || resp.GetBeatInterval().AsDuration() != domain.BeatInterval {
		t.Errorf("answer %v without the clock or the interval", resp)
	}
}

func TestBeat1AHeartbeatIsRecordedAndTellsTheClock(t *testing.T) {
	r := newRig()
	now := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
	r.now = func() time.Time { return now }
	resp := r.beat(t, good(t))
	wantIndefinite(t, resp)
	if !resp.GetServerTime().AsTime().Equal(now) {
		t.Errorf("clock %v", resp.GetServerTime())
	}
	if got := r.last("RecordHeartbeat"); got != testIdentity {
		t.Errorf("recorded %v", got)
	}
}

func TestBeat2AFailingStoreIsLoggedAndNeverTold(t *testing.T) {
	for name, err := range map[string]error{
		"plain":       errors.New(secret),
		"unavailable": fmt.Errorf("%s: %w", secret, domain.ErrUnavailable),
		"overloaded":  fmt.Errorf("%s: %w", secret, domain.ErrOverloaded),
		"no tenant":   fmt.Errorf("%s: %w", secret, domain.ErrNoTenant),
		"not found":   fmt.Errorf("%s: %w", secret, domain.ErrNotFound),
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig()
			r.fail("RecordHeartbeat", err)
			wantIndefinite(t, r.beat(t, good(t)))
			logged := r.log.lines(t, "heartbeat not recorded")
			if len(logged) != 1 || !strings.Contains(logged[0]["cause"].(string), secret) {
				t.Errorf("logged %v", logged)
			}
		})
	}
}

func TestBeat2AStoreThatHangsHeedingNothingIsNotWaitedForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig().hurried()
		release := make(chan struct{})
		r.at("RecordHeartbeat", func(context.Context) error {
			<-release
			return domain.ErrFinished // too late to be an answer to those who left
		})
		began := time.Now()
		for range 3 {
			wantIndefinite(t, r.beat(t, good(t)))
		}
		if took := time.Since(began); took != 3*definitiveWithin {
			t.Errorf("three beats took %v, want %v each", took, definitiveWithin)
		}
		if n := r.count("RecordHeartbeat"); n != 1 {
			t.Errorf("the store was asked %d times, want one goroutine an attempt", n)
		}
		close(release)
		synctest.Wait()
		if resp := r.beat(t, good(t)); !resp.GetShouldTerminate() {
			t.Errorf("after the hang: %v", resp)
		}
	})
}

func TestBeat2TheStoreIsGivenADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig().hurried()
		r.at("RecordHeartbeat", func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		})
		wantIndefinite(t, r.beat(t, good(t)))
		synctest.Wait()
	})
}

func TestBeat2ACallerThatLeavesEndsNobodyElsesBeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig().hurried()
		release := make(chan struct{})
		r.at("RecordHeartbeat", func(ctx context.Context) error {
			select {
			case <-release:
				return domain.ErrSuperseded
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		first, leave := context.WithCancel(good(t))
		var beats sync.WaitGroup
		beats.Go(func() { wantIndefinite(t, r.beat(t, first)) })
		synctest.Wait()
		beats.Go(func() {
			if resp := r.beat(t, good(t)); !resp.GetShouldTerminate() {
				t.Errorf("the other beat was answered %v", resp)
			}
		})
		synctest.Wait()
		leave()
		synctest.Wait()
		close(release)
		beats.Wait()
	})
}

func TestBeat2BeatsOfOneAttemptThatOverlapShareOneAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig().hurried()
		release := make(chan struct{})
		r.at("RecordHeartbeat", func(context.Context) error {
			<-release
			return domain.ErrLost
		})
		other := testIdentity
		other.TenantID = "another" // identical in all else
		var beats sync.WaitGroup
		for range 8 {
			beats.Go(func() {
				if resp := r.beat(t, good(t)); resp.GetReason() != agentv1.TerminationReason_TERMINATION_REASON_LOST {
					t.Errorf("answer %v", resp)
				}
			})
		}
		beats.Go(func() {
			if v := r.beats.record(t.Context(), other, r.lookAt); !errors.Is(v.err, domain.ErrLost) {
				t.Errorf("the other tenant's verdict is %v", v)
			}
		})
		synctest.Wait()
		close(release)
		beats.Wait()
		if n := r.count("RecordHeartbeat"); n != 2 {
			t.Errorf("the store was asked %d times, want once for each attempt", n)
		}
	})
}

func TestErr2APanicOfASharedBeatReachesEachCallerAndIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig().hurried()
		release := make(chan struct{})
		r.at("RecordHeartbeat", func(context.Context) error {
			<-release
			panic(errors.New(secret))
		})
		var beats sync.WaitGroup
		for range 3 {
			beats.Go(func() { wantInternal(t, rpcNamed("Heartbeat").call(good(t), r.Server)) })
		}
		synctest.Wait()
		close(release)
		beats.Wait()
		r.wantPanicLogged(t, rpcNamed("Heartbeat").method)
	})
}

func TestErr2APanicThatNobodyWaitsForAnyMoreIsLoggedStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig().hurried()
		release := make(chan struct{})
		r.at("RecordHeartbeat", func(context.Context) error {
			<-release
			panic(errors.New(secret))
		})
		wantIndefinite(t, r.beat(t, good(t)))
		close(release)
		synctest.Wait()
		r.wantPanicLogged(t, rpcNamed("Heartbeat").method)
	})
}

// cancelStore is a Store that knows the deadline of a cancel.
type cancelStore struct {
	plainStore
	fakeCancels
}

func TestBeat6ACancelComesWithItsDeadline(t *testing.T) {
	stopBy := time.Date(2026, 11, 24, 10, 1, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		beat    error
		stopBy  error
		pending bool
		want    bool // the deadline is told
		asked   bool
	}{
		"pending":               {fmt.Errorf("w: %w", domain.ErrCancelled), nil, true, true, true},
		"not pending any more":  {domain.ErrCancelled, nil, false, false, true},
		"deadline not readable": {domain.ErrCancelled, errors.New(secret), true, false, true},
		"superseded":            {domain.ErrSuperseded, nil, true, false, false},
		"live":                  {nil, nil, true, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScript()
			r := rigOf(s, &cancelStore{plainStore{s}, fakeCancels{s, stopBy, c.pending}}, plainXCom{s})
			s.fail("RecordHeartbeat", c.beat)
			s.fail("StopBy", c.stopBy)
			resp := r.beat(t, good(t))
			if resp.GetShouldTerminate() != (c.beat != nil) {
				t.Errorf("answer %v", resp)
			}
			if told := resp.GetStopBy() != nil; told != c.want || told && !resp.GetStopBy().AsTime().Equal(stopBy) {
				t.Errorf("deadline %v, want told: %v", resp.GetStopBy(), c.want)
			}
			if asked := r.count("StopBy") == 1; asked != c.asked {
				t.Errorf("asked for the deadline: %v", asked)
			}
		})
	}
}

func TestBeat3ADefinitiveWordIsPassedOnThoughItsDeadlineHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript()
		r := rigOf(s, &cancelStore{plainStore{s}, fakeCancels{s, time.Now(), true}}, plainXCom{s}).hurried()
		s.fail("RecordHeartbeat", domain.ErrCancelled)
		s.at("StopBy", func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		})
		resp := r.beat(t, good(t))
		if !resp.GetShouldTerminate() || resp.GetReason() != agentv1.TerminationReason_TERMINATION_REASON_CANCELLED || resp.GetStopBy() != nil {
			t.Errorf("answer %v, want the cancel without its deadline", resp)
		}
		synctest.Wait()
	})
}

func TestErr2APanicAsTheDeadlineIsRead(t *testing.T) {
	s := newScript()
	r := rigOf(s, &cancelStore{plainStore{s}, fakeCancels{s: s}}, plainXCom{s})
	s.fail("RecordHeartbeat", domain.ErrCancelled)
	s.at("StopBy", func(context.Context) error { panic(secret) })
	wantInternal(t, rpcNamed("Heartbeat").call(good(t), r.Server))
}
