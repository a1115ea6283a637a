package agentrpc

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
)

// promptStore decides as the script's PromptHeartbeat says: undecided leaves it to LoneHeartbeat.
type promptStore struct{ plainStore }

var errUndecided = errors.New("undecided")

func (s promptStore) PromptHeartbeat(ctx context.Context, id auth.AgentIdentity) (bool, error) {
	err := s.called(ctx, "PromptHeartbeat", id)
	if errors.Is(err, errUndecided) {
		return false, nil
	}
	return true, err
}

func (s promptStore) LoneHeartbeat(ctx context.Context, id auth.AgentIdentity) error {
	return s.called(ctx, "LoneHeartbeat", id)
}

func newPromptRig() *rig {
	s := newScript()
	return rigOf(s, promptStore{plainStore{s}}, plainXCom{s})
}

func TestBeat1APromptStoreIsAskedOnce(t *testing.T) {
	r := newPromptRig()
	wantIndefinite(t, r.beat(t, good(t)))
	if got := r.last("PromptHeartbeat"); got != testIdentity || r.count("LoneHeartbeat") != 0 {
		t.Errorf("asked for %v, and LoneHeartbeat %d times", got, r.count("LoneHeartbeat"))
	}
	r.fail("PromptHeartbeat", errors.New(secret))
	wantIndefinite(t, r.beat(t, good(t)))
	if logged := r.log.lines(t, "heartbeat not recorded"); len(logged) != 1 {
		t.Errorf("logged %v", logged)
	}
}

func TestBeat3WhatAPromptStoreDoesNotDecideIsAskedOfItAlone(t *testing.T) {
	r := newPromptRig()
	r.fail("PromptHeartbeat", errUndecided)
	r.fail("LoneHeartbeat", domain.ErrSuperseded)
	if resp := r.beat(t, good(t)); !resp.GetShouldTerminate() {
		t.Errorf("answer %v, want the store's word", resp)
	}
	if n := r.count("RecordHeartbeat"); r.last("LoneHeartbeat") != testIdentity || n != 0 {
		t.Errorf("asked for %v, and RecordHeartbeat %d times, which begins anew", r.last("LoneHeartbeat"), n)
	}
}

func TestBeat2APromptStoreThatDecidesNothingInTheEndIsGivenNoMoreTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newPromptRig().hurried()
		r.at("PromptHeartbeat", func(context.Context) error {
			<-time.After(definitiveWithin - time.Millisecond) // on the bubble's clock
			return errUndecided
		})
		hang := func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}
		r.at("LoneHeartbeat", hang)
		r.at("RecordHeartbeat", hang)
		began := time.Now()
		wantIndefinite(t, r.beat(t, good(t)))
		if took := time.Since(began); took != definitiveWithin {
			t.Errorf("took %v, want %v", took, definitiveWithin)
		}
		<-time.After(definitiveWithin) // the question, which others may have joined, has all its time
	})
}

// TestBeat2BeatsShareDeadlinesAndHaveTheirTime has beats come one after the other to a store
// that hangs: each is answered in time, and none much before.
func TestBeat2BeatsShareDeadlinesAndHaveTheirTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newPromptRig().hurried()
		given := make(chan (<-chan struct{}), 50)
		r.at("PromptHeartbeat", func(ctx context.Context) error {
			given <- ctx.Done()
			<-ctx.Done()
			if at, bounded := ctx.Deadline(); !bounded || time.Now().Before(at) || !errors.Is(ctx.Err(), context.DeadlineExceeded) {
				t.Errorf("the end at %v, for %v, is not that of the deadline", at, ctx.Err())
			}
			return ctx.Err()
		})
		var beats sync.WaitGroup
		for range cap(given) {
			beats.Go(func() {
				began := time.Now()
				wantIndefinite(t, r.beat(t, good(t)))
				if took := time.Since(began); took > definitiveWithin || took <= definitiveWithin-together {
					t.Errorf("took %v of %v", took, definitiveWithin)
				}
			})
			<-time.After(time.Millisecond)
		}
		beats.Wait()
		close(given)
		ends := map[<-chan struct{}]bool{}
		for end := range given {
			ends[end] = true
		}
		if len(ends) != 3 { // of 50 in 50 ms
			t.Errorf("%d deadlines", len(ends))
		}
	})
}

func TestBeat2APromptStoreIsGivenADeadlineThatOutlivesItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newPromptRig().hurried()
		r.at("PromptHeartbeat", func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		})
		ctx, leave := context.WithCancel(good(t))
		leave()
		began := time.Now()
		wantIndefinite(t, r.beat(t, ctx))
		if took := time.Since(began); took != definitiveWithin {
			t.Errorf("took %v, want %v", took, definitiveWithin)
		}
	})
}
