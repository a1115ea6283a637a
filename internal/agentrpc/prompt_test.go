package agentrpc

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
)

// promptStore decides as the script's PromptHeartbeat says: undecided leaves it to RecordHeartbeat.
type promptStore struct{ plainStore }

var errUndecided = errors.New("undecided")

func (s promptStore) PromptHeartbeat(ctx context.Context, id auth.AgentIdentity) (bool, error) {
	err := s.called(ctx, "PromptHeartbeat", id)
	if errors.Is(err, errUndecided) {
		return false, nil
	}
	return true, err
}

func newPromptRig() *rig {
	s := newScript()
	return rigOf(s, promptStore{plainStore{s}}, plainXCom{s})
}

func TestBeat1APromptStoreIsAskedOnce(t *testing.T) {
	r := newPromptRig()
	wantIndefinite(t, r.beat(t, good(t)))
	if got := r.last("PromptHeartbeat"); got != testIdentity || r.count("RecordHeartbeat") != 0 {
		t.Errorf("asked for %v, and RecordHeartbeat %d times", got, r.count("RecordHeartbeat"))
	}
	r.fail("PromptHeartbeat", errors.New(secret))
	wantIndefinite(t, r.beat(t, good(t)))
	if logged := r.log.lines(t, "heartbeat not recorded"); len(logged) != 1 {
		t.Errorf("logged %v", logged)
	}
}

func TestBeat3WhatAPromptStoreDoesNotDecideIsAskedOfTheStore(t *testing.T) {
	r := newPromptRig()
	r.fail("PromptHeartbeat", errUndecided)
	r.fail("RecordHeartbeat", domain.ErrSuperseded)
	if resp := r.beat(t, good(t)); !resp.GetShouldTerminate() {
		t.Errorf("answer %v, want the store's word", resp)
	}
}

func TestBeat2APromptStoreIsGivenADeadlineThatOutlivesItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newPromptRig()
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
