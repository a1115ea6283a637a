package server

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/neochaotic/leoflow/internal/secrets"
	"github.com/neochaotic/leoflow/internal/store"
)

// resealer is what seals secrets anew; the store is one.
type resealer interface {
	ResealSecrets(ctx context.Context) (store.Resealed, error)
}

// keyring is what may have another primary key after a look at its file.
type keyring interface {
	Reload(ctx context.Context)
	Primary() secrets.KeyID
}

// rotator follows the keyset's file, and seals what older keys have sealed anew.
type rotator struct {
	keys   keyring
	store  resealer
	logger *slog.Logger

	done  bool // a pass under key has ended: there is nothing left to seal anew
	key   secrets.KeyID
	fault string // of the last pass, as logged; empty: none
}

// run looks at once, so that what an earlier process has left is gone on with, and
// then as often as the files of a certificate are looked at, until ctx ends.
func (r *rotator) run(ctx context.Context) {
	ticker := time.NewTicker(lookAtFilesEvery)
	defer ticker.Stop()
	for {
		r.look(ctx)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// look makes a pass if the primary key is another than that of the last one that ended.
func (r *rotator) look(ctx context.Context) {
	r.keys.Reload(ctx)
	key := r.keys.Primary()
	if r.done && key == r.key {
		return
	}
	resealed, err := r.store.ResealSecrets(ctx)
	if resealed.Done > 0 {
		r.logger.InfoContext(ctx, "secrets sealed anew", "primary", key, "secrets", resealed.Done)
	}
	if err != nil {
		if ctx.Err() == nil && r.fault != err.Error() { // tried again with the next look
			r.fault = err.Error()
			r.logger.WarnContext(ctx, "secrets not sealed anew yet", "primary", key, "cause", err.Error())
		}
		return
	}
	if resealed.Failed > 0 {
		r.logger.ErrorContext(ctx, "secrets that no key of the keyset file opens; put the file back that was used when they were stored, or store them again",
			"secrets", resealed.Failed)
	}
	r.done, r.key, r.fault = true, key, ""
}

// start runs the rotator until stop is called, as reap does the reaper.
func (r *rotator) start() (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.run(ctx)
	}()
	return func() error {
		cancel()
		if !endsInTime(ended) {
			return errors.New("sealing secrets anew does not end: the store hangs")
		}
		return nil
	}
}

func (s *Server) rotate() (stop func() error) {
	if s.keyring == nil {
		return func() error { return nil }
	}
	return (&rotator{keys: s.keyring, store: s.store, logger: s.cfg.Logger}).start()
}
