package agentrpc

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/neochaotic/leoflow/internal/domain"
)

// TestState8AReportWaitsForTheStoreWithinBounds: to the call's deadline, or for 60 s and
// for what a store needs to come back after them.
func TestState8AReportWaitsForTheStoreWithinBounds(t *testing.T) {
	for _, within := range []time.Duration{0, time.Second, 90 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig()
			r.at("ReportState", func(ctx context.Context) error {
				<-ctx.Done()
				return fmt.Errorf("%s: %w", secret, domain.ErrUnavailable)
			})
			ctx, want := bearing(context.Background(), "good"), 75*time.Second
			if within > 0 {
				bounded, cancel := context.WithTimeout(ctx, within)
				defer cancel()
				ctx, want = bounded, within
			}
			began := time.Now()
			wantCode(t, rpcNamed("ReportState").call(ctx, r.Server), codes.Unavailable)
			if took := time.Since(began); took != want {
				t.Errorf("deadline %v: waited %v, want %v", within, took, want)
			}
		})
	}
}
