package store

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/secrets"
)

// TestState8ASilentConnectionIsGivenUp has every connection fall silent, and tell nobody
// of it: what waits on one is given up in time, and done on another.
func TestState8ASilentConnectionIsGivenUp(t *testing.T) {
	for _, way := range ways {
		t.Run(string(way), func(t *testing.T) {
			t.Parallel()
			w, through := wireTo(t, alone["postgres"](t))
			a := newAttempts(t, Config{WritePath: way}.at(through), 3)
			for _, do := range []func() error{
				func() error { return a.report(patiently(t), 0, domain.TaskStateRunning) },
				func() error { return a.heartbeat(patiently(t), a.ids[0]) },
			} {
				if err := do(); err != nil {
					t.Fatal(err)
				}
			}
			w.silence()
			a.patience = time.Second
			beat := make(chan error, 1)
			go func() { beat <- a.RecordHeartbeat(patiently(t), a.ids[1]) }()
			// A caller without a deadline: so do agents in use make theirs.
			read := make(chan error, 1)
			go func() { _, err := a.Run(as("a"), a.run); read <- err }()
			registered := make(chan error, 1)
			go func() { registered <- a.RegisterAgent(as("a"), a.ids[2], domain.AgentInfo{Version: "v"}) }()
			for what, answer := range map[string]<-chan error{"heartbeat": beat, "read": read, "registration": registered} {
				select {
				case err := <-answer: // the pool may have had a connection left that it looked at first
					if err != nil && (!errors.Is(err, domain.ErrUnavailable) || errors.Is(err, domain.ErrNotLive)) {
						t.Errorf("%s: %v", what, err)
					}
				case <-patiently(t).Done():
					t.Fatalf("the %s waits for ever", what)
				}
			}
			if err := a.report(patiently(t), 0, domain.TaskStateSuccess); err != nil { // it outlasts what is silent
				t.Errorf("report: %v", err)
			}
			a.patience = patience
			if err := a.heartbeat(patiently(t), a.ids[1]); err != nil {
				t.Errorf("heartbeat afterwards: %v", err)
			}
			a.wantChanges(t, 0, domain.TaskStateQueued, domain.TaskStateRunning, domain.TaskStateSuccess)
		})
	}
}

// TestUpkeepOverASilentConnectionEnds has the connection of what the server does by itself
// fall silent: nobody waits there for ever, though no call of it has a deadline.
func TestUpkeepOverASilentConnectionEnds(t *testing.T) {
	t.Parallel()
	w, through := wireTo(t, alone["postgres"](t))
	b := newBroken(t, through)
	keys, err := secrets.Ephemeral()
	if err != nil {
		t.Fatal(err)
	}
	key := keys.Primary()
	for what, do := range map[string]func(context.Context) error{
		"sealing anew": func(ctx context.Context) error { _, err := b.ResealSecrets(ctx); return err },
		"count":        func(ctx context.Context) error { _, err := b.CountSecretsNotUnder(ctx, key); return err },
		"sweep":        func(ctx context.Context) error { _, err := b.DeleteExpiredXCom(ctx, time.Now(), 1); return err },
		"look": func(ctx context.Context) error {
			_, err := b.LiveAttempts(ctx, 0, func(domain.Attempt, bool) {})
			return err
		},
	} {
		b.patience = patience
		if err := do(patiently(t)); err != nil { // over a connection that is well
			t.Fatalf("%s: %v", what, err)
		}
		w.silence()
		b.patience = 100 * time.Millisecond
		ended := make(chan error, 1)
		go func() { ended <- do(context.Background()) }()
		select {
		case err := <-ended:
			if !errors.Is(err, domain.ErrUnavailable) {
				t.Errorf("%s: %v", what, err)
			}
		case <-patiently(t).Done():
			t.Fatalf("the %s waits for ever", what)
		}
	}
}
