package server

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/hearsay"
	"github.com/neochaotic/leoflow/internal/reaper"
)

// hanging is a store that heeds no context until it is released.
type hanging struct{ released chan struct{} }

func (h hanging) LiveAttempts(context.Context, int64, func(domain.Attempt, bool)) (int64, error) {
	<-h.released
	return 0, nil
}
func (hanging) ProbeWrite(context.Context, domain.AttemptRef) error { return nil }
func (hanging) ReapAttempt(context.Context, domain.Attempt, domain.Cause, string) (bool, error) {
	return false, nil
}
func (hanging) DeleteExpiredXCom(context.Context, time.Time, int) (int, error) { return 0, nil }

// TestLog10AHangingReaperDoesNotKeepFromDraining: the disk may hang under it.
func TestLog10AHangingReaperDoesNotKeepFromDraining(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := hanging{make(chan struct{})}
		r, err := reaper.New(store, reaper.Config{})
		if err != nil {
			t.Fatal(err)
		}
		stop := (&Server{reaper: r, hearsay: hearsay.New(hearsay.Config{Window: time.Minute})}).reap()
		synctest.Wait()
		stuck := make(chan error, 1)
		go func() { stuck <- stop() }()
		select {
		case err := <-stuck:
			if err == nil {
				t.Error("a reaper that hangs has ended in order")
			}
		case <-time.After(time.Minute): // on the bubble's clock
			t.Error("the end waits for the reaper")
		}
		close(store.released)
	})
}
