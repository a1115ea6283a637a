package store

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"entgo.io/ent/dialect/sql"
	"github.com/sethvargo/go-retry"

	"github.com/neochaotic/leoflow/ent"
	"github.com/neochaotic/leoflow/internal/domain"
)

// Await is [Open] that waits for a PostgreSQL database which cannot be reached yet, for
// up to within: a server is often started beside its database, and no faster than it.
// What waiting cannot cure, such as a wrong password or a database that is newer, fails
// at once.
func Await(ctx context.Context, cfg Config, within time.Duration) (*Store, error) {
	return await(ctx, cfg, within, Open)
}

func await(ctx context.Context, cfg Config, within time.Duration, open func(context.Context, Config) (*Store, error)) (s *Store, err error) {
	bounded, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	logger := cfg.withDefaults().Logger
	waits := retry.WithCappedDuration(maxWait, retry.NewExponential(firstWait))
	var cause error
	err = retry.Do(bounded, waits, func(context.Context) error {
		if s, err = open(ctx, cfg); err == nil || !absent(err) {
			return err
		}
		if cause == nil {
			logger.WarnContext(ctx, "the database cannot be reached: waiting for it", "database", Place(cfg.DSN), "for", within, "cause", brief(err).Error())
		}
		cause = brief(err)
		return retry.RetryableError(err)
	})
	switch {
	case err == nil || cause == nil:
		return s, err
	case ctx.Err() != nil:
		return nil, fmt.Errorf("stopped while it waited for the database %s: %w", Place(cfg.DSN), cause)
	case !absent(err): // while the end of the wait looks like one that is
		return nil, err
	}
	return nil, fmt.Errorf("the database %s could not be reached for %v: see that it runs and that this machine may connect to it: %w", Place(cfg.DSN), within, cause)
}

// brief is what the network says, of all that is said of a connection that was not made.
func brief(err error) error {
	var network *net.OpError
	if errors.As(err, &network) {
		return network
	}
	return err
}

// Ready returns nil where the store can be written, and otherwise domain.ErrUnavailable,
// wrapped, or what else is the matter with it. It writes nothing.
func (s *Store) Ready(ctx context.Context) error {
	end, err := s.begin()
	if err != nil {
		return err
	}
	defer end()
	return explain(s.transact(ctx, s.writer, s.writing, s.writable)) // on SQLite it takes the right to write
}

func (s *Store) writable(ctx context.Context, tx *ent.Tx) error {
	if !s.postgres {
		return nil
	}
	rows, err := tx.QueryContext(ctx, "SELECT current_setting('transaction_read_only')")
	if err != nil {
		return err
	}
	defer rows.Close()
	readOnly, err := sql.ScanString(rows)
	if err != nil {
		return err
	}
	if readOnly == "on" {
		return fmt.Errorf("%w: the database is read-only", domain.ErrUnavailable)
	}
	return nil
}
