package testbed

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"
)

// hold keeps the server's database locked, so that nothing can be written to it.
type hold struct {
	mu  sync.Mutex
	db  *sql.DB
	end *sql.Conn // holds the lock; nil: nobody does
}

// SetFault implements FixtureService.
func (b *Bed) SetFault(_ context.Context, req *conformancev1.SetFaultRequest) (*conformancev1.SetFaultResponse, error) {
	if req.GetFault() != conformancev1.Fault_FAULT_STORE_HANGS {
		return nil, status.Errorf(codes.Unimplemented, "the fault %s cannot be made", req.GetFault())
	}
	if req.GetActive() {
		return &conformancev1.SetFaultResponse{}, b.hold.begin(b.dataDir)
	}
	return &conformancev1.SetFaultResponse{}, b.hold.release()
}

// begin takes the lock that a writer takes.
func (h *hold) begin(dir string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.end != nil {
		return nil
	}
	found, err := filepath.Glob(filepath.Join(dir, "*.db"))
	if err != nil || len(found) != 1 {
		return fmt.Errorf("%d databases are in the data directory: %w", len(found), err)
	}
	ctx := context.Background() // the lock outlives the call
	dsn := "file:" + (&url.URL{Path: found[0]}).EscapedPath() + "?_pragma=busy_timeout(10000)"
	if h.db, err = sql.Open("sqlite", dsn); err != nil {
		return err
	}
	conn, err := h.db.Conn(ctx)
	if err == nil {
		_, err = conn.ExecContext(ctx, "BEGIN IMMEDIATE")
	}
	if err != nil {
		return errors.Join(err, h.db.Close())
	}
	h.end = conn
	return nil
}

func (h *hold) release() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.end == nil {
		return nil
	}
	_, err := h.end.ExecContext(context.Background(), "ROLLBACK")
	err = errors.Join(err, h.end.Close(), h.db.Close())
	h.end, h.db = nil, nil
	return err
}
