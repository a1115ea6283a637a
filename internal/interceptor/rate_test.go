package interceptor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/policy"
)

// attempt is the identity of the nth attempt of a tenant.
func attempt(tenant string, n int) *auth.AgentIdentity {
	return &auth.AgentIdentity{TenantID: tenant, TaskInstanceID: fmt.Sprint("ti-", n), TryNumber: 1}
}

// call makes a call, and returns how long it took, of the clock of the bubble.
func (r *Rates) call(t *testing.T, class policy.RateClass, id *auth.AgentIdentity) (time.Duration, error) {
	t.Helper()
	began := time.Now()
	err := r.admit(t.Context(), class, &Call{Agent: id}, began, slog.New(slog.DiscardHandler))
	return time.Since(began), err
}

// callWith makes a call with a token, that may be refused.
func (r *Rates) callWith(t *testing.T, token *auth.Bearer) error {
	t.Helper()
	call := &Call{Agent: &token.AgentIdentity, bearer: token}
	return r.admit(t.Context(), policy.Refused, call, time.Now(), slog.New(slog.DiscardHandler))
}

// spend makes so many calls, of which none may be held up.
func (r *Rates) spend(t *testing.T, id *auth.AgentIdentity, calls int) {
	t.Helper()
	for i := range calls {
		if took, err := r.call(t, policy.Refused, id); err != nil || took != 0 {
			t.Fatalf("call %d of %d took %v: %v", i+1, calls, took, err)
		}
	}
}

// wantOverRate wants a refusal that tells when to try again.
func wantOverRate(t *testing.T, err error) time.Duration {
	t.Helper()
	wantCode(t, err, codes.ResourceExhausted)
	retry, ok := detail[*errdetails.RetryInfo](err)
	info, _ := detail[*errdetails.ErrorInfo](err)
	if !ok || retry.GetRetryDelay().AsDuration() <= 0 || info.GetReason() != "RATE_EXCEEDED" {
		t.Fatalf("refused with %v", status.Convert(err).Proto())
	}
	return retry.GetRetryDelay().AsDuration()
}

// usedUp are rates at which the attempt of every test may not make another call.
func usedUp() *Rates {
	r := NewRates(1, 1000)
	own := r.attempts.of(attemptKey{testIdentity.TenantID, testIdentity.TaskInstanceID, testIdentity.TryNumber}, time.Now())
	own.spent.Add(int64(time.Hour + own.pace.burst - own.pace.every)) // however slow the test is
	return r
}

func TestLimit2APushOverTheRateIsToldWhenToTryAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRates(2, 100)
		r.spend(t, attempt("acme", 1), 20)
		_, err := r.call(t, policy.Refused, attempt("acme", 1))
		if after := wantOverRate(t, err); after != 500*time.Millisecond {
			t.Errorf("told to try again after %v", after)
		}
		<-time.After(500 * time.Millisecond)
		r.spend(t, attempt("acme", 1), 1)
	})
}

// TestLimit2CallsRefusedAtTheSameTimeUseUpNothing has many calls refused at once: the next
// one is no farther from its turn for that.
func TestLimit2CallsRefusedAtTheSameTimeUseUpNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := usedUp()
		var callers sync.WaitGroup
		for range 16 {
			callers.Go(func() {
				for range 1000 {
					_, err := r.call(t, policy.Refused, attempt("acme", 1))
					if status.Code(err) != codes.ResourceExhausted {
						t.Error(err)
					}
				}
			})
		}
		callers.Wait()
		_, err := r.call(t, policy.Refused, attempt("acme", 1))
		if after := wantOverRate(t, err); after > time.Hour {
			t.Errorf("after calls that were refused, the next turn of one an hour is %v off", after)
		}
	})
}

func TestLimit2OneAttemptDoesNotStarveTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRates(2, 4)
		for range 1000 { // most of them refused, and none of those at the cost of the tenant
			_, _ = r.call(t, policy.Refused, attempt("acme", 1))
		}
		r.spend(t, attempt("acme", 2), 20)
	})
}

func TestLimit2OneTenantDoesNotStarveTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRates(2, 4)
		r.spend(t, attempt("acme", 1), 20)
		r.spend(t, attempt("acme", 2), 20)
		_, err := r.call(t, policy.Refused, attempt("acme", 3))
		wantOverRate(t, err)
		r.spend(t, attempt("evil", 3), 20)
	})
}

func TestLimit2AnotherTryIsAnotherAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRates(1, 100)
		r.spend(t, attempt("acme", 1), 10)
		retry := attempt("acme", 1)
		retry.TryNumber = 2
		r.spend(t, retry, 10)
	})
}

func TestLimit2CallsOfTheStartWaitForTheirTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRates(2, 100)
		r.spend(t, attempt("acme", 1), 20)
		for range 5 {
			if took, err := r.call(t, policy.Waits, attempt("acme", 1)); err != nil || took != 500*time.Millisecond {
				t.Errorf("took %v: %v", took, err)
			}
		}
	})
}

func TestLimit2CallsOfTheStartWaitForTheirTenant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRates(10, 2)
		r.spend(t, attempt("acme", 1), 20)
		if took, err := r.call(t, policy.Waits, attempt("acme", 2)); err != nil || took != 500*time.Millisecond {
			t.Errorf("took %v: %v", took, err)
		}
	})
}

// TestLimit2NoMoreWaitThanHaveATurn holds that what waits is bounded.
func TestLimit2NoMoreWaitThanHaveATurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRates(2, 100)
		r.spend(t, attempt("acme", 1), 20)
		var served, refused int
		var mu sync.Mutex
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				took, err := r.call(t, policy.Waits, attempt("acme", 1))
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err != nil && took == 0:
					refused++
				case err == nil && took <= patience:
					served++
				default:
					t.Errorf("took %v: %v", took, err)
				}
			})
		}
		all.Wait()
		if served != 20 || refused != 80 { // the turns of ten seconds
			t.Errorf("%d were served and %d refused", served, refused)
		}
	})
}

func TestLimit2NobodyWaitsForATurnAfterTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRates(1, 100)
		r.spend(t, attempt("acme", 1), 10)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		wantOverRate(t, r.admit(ctx, policy.Waits, &Call{Agent: attempt("acme", 1)}, time.Now(), slog.New(slog.DiscardHandler)))
		if ctx.Err() != nil {
			t.Error("it was waited for the deadline")
		}
	})
}

func TestLimit2WhoGivesUpGivesTheTurnBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRates(1, 100)
		r.spend(t, attempt("acme", 1), 10)
		ctx, cancel := context.WithCancel(t.Context())
		gaveUp := make(chan error)
		go func() {
			gaveUp <- r.admit(ctx, policy.Waits, &Call{Agent: attempt("acme", 1)}, time.Now(), slog.New(slog.DiscardHandler))
		}()
		synctest.Wait()
		cancel()
		if err := <-gaveUp; !errors.Is(err, context.Canceled) {
			t.Errorf("who gave up got %v", err)
		}
		if took, err := r.call(t, policy.Waits, attempt("acme", 1)); err != nil || took != time.Second {
			t.Errorf("the turn was kept: took %v: %v", took, err)
		}
	})
}

// TestLimit2BeatsAreServedWhateverTheRate makes beats in a loop of an attempt and a tenant
// that are over their rates: each is served, and the loop is a slow one.
func TestLimit2BeatsAreServedWhateverTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRates(1, 2)
		r.spend(t, attempt("acme", 1), 10)
		r.spend(t, attempt("acme", 2), 10)
		_, err := r.call(t, policy.Refused, attempt("acme", 2))
		wantOverRate(t, err)
		if took, err := r.call(t, policy.Paced, attempt("acme", 3)); err != nil || took != 0 {
			t.Errorf("the first beat of an attempt waited for its tenant for %v: %v", took, err)
		}
		for range 100 {
			if took, err := r.call(t, policy.Paced, attempt("acme", 1)); err != nil || took == 0 || took > pause {
				t.Fatalf("a beat took %v: %v", took, err)
			}
		}
		if took, err := r.call(t, policy.Waits, attempt("acme", 1)); err != nil || took > 2*time.Second {
			t.Errorf("what waits waited for beats that did not, for %v: %v", took, err)
		}
	})
}

// TestLimit2AnotherTokenOfAnAttemptIsNoOtherAttempt has an attempt call with one token and
// then another: the rate is its own, and not that of what it calls with.
func TestLimit2AnotherTokenOfAnAttemptIsNoOtherAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRates(1, 100)
		tokens := [3]*auth.Bearer{}
		for i := range tokens {
			tokens[i] = &auth.Bearer{AgentIdentity: *attempt("acme", 1)}
		}
		for i := range 12 {
			err := r.callWith(t, tokens[i%len(tokens)])
			if i < 10 && err != nil {
				t.Errorf("call %d is refused: %v", i, err)
			} else if i >= 10 {
				wantOverRate(t, err)
			}
		}
	})
}

// TestLimit2WhatATokenIsNotedForIsNotUsedOnceForgotten has the bucket of a token's attempt
// forgotten, and found anew by another token: the two go on to share one.
func TestLimit2WhatATokenIsNotedForIsNotUsedOnceForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRates(1, 100)
		one, other := &auth.Bearer{AgentIdentity: *attempt("acme", 1)}, &auth.Bearer{AgentIdentity: *attempt("acme", 1)}
		if err := r.callWith(t, one); err != nil {
			t.Fatal(err)
		}
		noted := one.Note.Load()
		<-time.After(idleAfter)
		r.spend(t, attempt("acme", 2), 1)
		for range 5 {
			if err := errors.Join(r.callWith(t, other), r.callWith(t, one)); err != nil {
				t.Error(err)
			}
		}
		wantOverRate(t, r.callWith(t, one))
		wantOverRate(t, r.callWith(t, other))
		if now := one.Note.Load(); now == noted || now != other.Note.Load() {
			t.Error("a bucket that was forgotten is in use")
		}
	})
}

// TestLimit2RatesAreOfTheirServer holds that one token has a rate at each of two servers.
func TestLimit2RatesAreOfTheirServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		token := &auth.Bearer{AgentIdentity: *attempt("acme", 1)}
		slow, fast := NewRates(1, 100), NewRates(5, 100)
		for range 10 {
			if err := errors.Join(slow.callWith(t, token), fast.callWith(t, token)); err != nil {
				t.Error(err)
			}
		}
		wantOverRate(t, slow.callWith(t, token))
		if err := fast.callWith(t, token); err != nil {
			t.Error(err)
		}
	})
}

// TestLimit2WhoHasUsedUpTheMostIsForgottenLast has one attempt over its rate while so many
// others come that some are forgotten.
func TestLimit2WhoHasUsedUpTheMostIsForgottenLast(t *testing.T) {
	r := NewRates(1, 1)
	now := time.Now()
	over := r.tenants.of("over", now)
	over.spent.Add(int64(time.Hour))
	for i := range 2 * mostBuckets {
		r.tenants.of(fmt.Sprint(i), now)
	}
	if len(r.tenants.byKey) != mostBuckets || r.tenants.of("over", now) != over {
		t.Errorf("of %d, who is over the rate begins anew", len(r.tenants.byKey))
	}
}

// TestLimit2OneTurnIsGivenToOne has calls with one token take turns at the same time.
func TestLimit2OneTurnIsGivenToOne(t *testing.T) {
	r := NewRates(1, 1000)
	token := &auth.Bearer{AgentIdentity: *attempt("acme", 1)}
	began := time.Now()
	var served atomic.Int64
	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() {
			for range 100 {
				call := &Call{Agent: &token.AgentIdentity, bearer: token}
				if r.admit(t.Context(), policy.Refused, call, began, slog.New(slog.DiscardHandler)) == nil {
					served.Add(1)
				}
			}
		})
	}
	callers.Wait()
	if n := served.Load(); n != 10 {
		t.Errorf("%d calls were served at once, of a rate of one", n)
	}
}

func TestLimit2IdleBucketsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRates(1, 1)
		for i := range 100 {
			r.spend(t, attempt(fmt.Sprint("tenant-", i), i), 1)
		}
		<-time.After(idleAfter)
		for range 100 {
			_, _ = r.call(t, policy.Refused, attempt("acme", 1))
		}
		if a, b := len(r.attempts.all), len(r.tenants.all); a != 1 || b != 1 {
			t.Errorf("%d attempts and %d tenants are remembered", a, b)
		}
	})
}

func TestLimit2BucketsAreBounded(t *testing.T) {
	r := NewRates(1, 1)
	now := time.Now()
	for i := range mostBuckets + 100 {
		r.tenants.of(fmt.Sprint(i), now)
	}
	if n := len(r.tenants.all); n != mostBuckets {
		t.Errorf("%d buckets are held", n)
	}
}

// TestLimit2ALoopOfRefusedCallsDoesNotFillTheLog sees one warning, that names the attempt,
// and nothing else above the level for debugging.
func TestLimit2ALoopOfRefusedCallsDoesNotFillTheLog(t *testing.T) {
	b := newBench(t, setup{rates: usedUp()})
	for range 20 {
		_, err := b.agent.PushXCom(b.asAgent(), &agentv1.PushXComRequest{})
		wantOverRate(t, err)
	}
	b.stop()
	told := b.log.lines(t, "calls are over their rate, and refused for it")
	if len(told) != 1 || told[0]["level"] != "WARN" || told[0]["task_instance_id"] != testIdentity.TaskInstanceID {
		t.Errorf("told as %v", told)
	}
	if loud := strings.Count(b.log.String(), `"level":"`) - strings.Count(b.log.String(), `"level":"DEBUG"`); loud != 1 {
		t.Errorf("%d lines are above the level for debugging:\n%s", loud, b.log.String())
	}
}

func TestLimit2OperatorsHaveNoRate(t *testing.T) {
	b := newBench(t, setup{rates: usedUp()})
	for range 50 {
		if err := b.watch(b.asOperator(auth.RoleViewer), &controlv1.WatchRunRequest{DagId: "d", RunId: "r"}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestLimit2AnyRateIsOne: a rate that is as good as none holds nobody up.
func TestLimit2AnyRateIsOne(t *testing.T) {
	for _, rate := range []int{1, 1_000_000_000, math.MaxInt64 / 10} {
		synctest.Test(t, func(t *testing.T) {
			NewRates(rate, rate).spend(t, attempt("acme", 1), 5)
		})
	}
}
