package server

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/neochaotic/leoflow/internal/secrets"
	"github.com/neochaotic/leoflow/internal/store"
)

// turning is a keyset whose primary key is set.
type turning struct{ primary atomic.Uint32 }

func (*turning) Reload(context.Context)   {}
func (k *turning) Primary() secrets.KeyID { return secrets.KeyID(k.primary.Load()) }

// passes is a store that tells the given outcomes, one a pass, and then nothing to do.
type passes struct {
	outcomes []error
	made     atomic.Int32
}

func (p *passes) ResealSecrets(context.Context) (store.Resealed, error) {
	made := int(p.made.Add(1))
	if made > len(p.outcomes) {
		return store.Resealed{}, nil
	}
	return store.Resealed{Done: 1}, p.outcomes[made-1]
}

// TestSecretSealingAnewIsTriedUntilItEnds: a pass that fails is made again, and one that
// ended only for another key.
func TestSecretSealingAnewIsTriedUntilItEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		keys, fault := &turning{}, errors.New("disk full")
		p := &passes{outcomes: []error{fault, fault, nil}}
		r := &rotator{keys: keys, store: p, logger: slog.New(slog.NewTextHandler(&log, nil))}
		stop := r.start()
		wait := func(made int32) { // on the bubble's clock
			t.Helper()
			<-time.After(10 * lookAtFilesEvery)
			synctest.Wait()
			if got := p.made.Load(); got != made {
				t.Errorf("%d passes, want %d", got, made)
			}
		}
		wait(3)
		keys.primary.Store(2)
		wait(4)
		wait(4)
		if err := stop(); err != nil {
			t.Error(err)
		}
		if n := strings.Count(log.String(), "disk full"); n != 1 {
			t.Errorf("the fault is told %d times:\n%s", n, log.String())
		}
	})
}

// stuck is a store that heeds no context until it is released.
type stuck struct{ released chan struct{} }

func (s stuck) ResealSecrets(context.Context) (store.Resealed, error) {
	<-s.released
	return store.Resealed{}, nil
}

// TestLog10AHangingRotatorDoesNotKeepFromDraining: the disk may hang under it.
func TestLog10AHangingRotatorDoesNotKeepFromDraining(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stuck{make(chan struct{})}
		stop := (&rotator{keys: &turning{}, store: s, logger: slog.New(slog.DiscardHandler)}).start()
		synctest.Wait()
		if err := stop(); err == nil {
			t.Error("a pass that hangs has ended in order")
		}
		close(s.released)
	})
}
