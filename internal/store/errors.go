package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/neochaotic/leoflow/ent"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/xcom"
)

// answers are the sentinels that a method may return on purpose.
var answers = []error{
	domain.ErrNotLive, domain.ErrNotFound, domain.ErrConflict, domain.ErrPrecondition, domain.ErrOtherCaller,
	domain.ErrQuota, domain.ErrNoTenant, domain.ErrUnavailable, xcom.ErrNotFound,
}

// explain makes domain.ErrUnavailable of what a retry may cure, and leaves
// everything else as it is.
func explain(err error) error {
	if err == nil {
		return nil
	}
	for _, answer := range answers {
		if errors.Is(err, answer) {
			return err
		}
	}
	if curable(err) {
		return fmt.Errorf("%w: %w", domain.ErrUnavailable, err)
	}
	return err
}

// curable reports whether the same call may well succeed later.
func curable(err error) bool {
	for _, passing := range []error{context.DeadlineExceeded, context.Canceled, driver.ErrBadConn, sql.ErrTxDone} {
		if errors.Is(err, passing) { // the last one: rolled back as the caller's context ended
			return true
		}
	}
	return curableSQLite(err) || curablePostgres(err)
}

// none reports whether err says that a query found no row. Under a tenant that is
// an absence within the tenant.
func none(err error) bool { return ent.IsNotFound(err) || errors.Is(err, sql.ErrNoRows) }
