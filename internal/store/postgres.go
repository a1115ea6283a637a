package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"runtime"
	"strings"
	"time"

	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/neochaotic/leoflow/ent"
	"github.com/neochaotic/leoflow/internal/store/migrations"
)

const (
	// connectTimeout bounds the making of a connection, unless the DSN says otherwise.
	connectTimeout = 5 * time.Second
	// idleInTransaction is after how long the database ends a transaction whose client
	// is gone, and with it the locks that others wait for.
	idleInTransaction = time.Minute
)

// Transactions on PostgreSQL. A write sees what was committed before each of its
// statements, takes the rows that it decides by (hold.go), and its conditional UPDATEs
// look again at a row that another has just changed. A read sees one moment.
var (
	postgresWrite = &sql.TxOptions{Isolation: sql.LevelReadCommitted}
	postgresRead  = &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}
)

// openPostgres connects to the database and migrates it. The data directory, where
// there is one, keeps a note of it.
func (s *Store) openPostgres(ctx context.Context, dir, dsn string) error {
	cfg, err := parseDSN(dsn)
	if err != nil {
		return err
	}
	if err := migratePostgres(ctx, cfg, migrations.Postgres()); err != nil {
		return err
	}
	for name, limit := range map[string]time.Duration{
		"lock_timeout": busyTimeout, "idle_in_transaction_session_timeout": idleInTransaction,
	} {
		if _, given := cfg.RuntimeParams[name]; !given {
			cfg.RuntimeParams[name] = fmt.Sprint(limit.Milliseconds())
		}
	}
	db := stdlib.OpenDB(*cfg, stdlib.OptionAfterConnect(durable))
	s.conns = max(16, 4*runtime.NumCPU())
	db.SetMaxOpenConns(s.conns)
	db.SetMaxIdleConns(s.conns)
	db.SetConnMaxIdleTime(5 * time.Minute)
	s.postgres, s.writing, s.reading = true, postgresWrite, postgresRead
	s.writer = ent.NewClient(ent.Driver(entsql.OpenDB(dialect.Postgres, db)))
	s.reader = s.writer
	if err := checkPostgres(ctx, db, cfg); err != nil {
		return err
	}
	if s.path == Batched {
		s.openGathering(&gathering{db: one(cfg, durable), postgres: true},
			&gathering{db: one(cfg, hasty), postgres: true}, &gathering{db: one(cfg, hasty), postgres: true})
	}
	s.wakes = openWakes(ctx, s.watches, cfg, s.logger)
	if dir == "" {
		return nil
	}
	return markPlace(dir, placeOf(cfg))
}

// rowByRow has a statement for many rows find each by its key, whatever the database knows
// of its tables, and plan that once: it knows nothing of how few rows the arrays bring, and
// would read whole tables for them.
var rowByRow = map[string]string{
	"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off",
	"join_collapse_limit": "1", "jit": "off",
}

// one is a connection for many rows at once, which do not wait for one of them.
func one(cfg *pgx.ConnConfig, after func(context.Context, *pgx.Conn) error) *sql.DB {
	cfg = cfg.Copy()
	cfg.RuntimeParams["lock_timeout"] = fmt.Sprint(heldTimeout.Milliseconds())
	maps.Copy(cfg.RuntimeParams, rowByRow)
	return single(cfg, after)
}

// single is a connection, and another one where it broke.
func single(cfg *pgx.ConnConfig, after func(context.Context, *pgx.Conn) error) *sql.DB {
	db := stdlib.OpenDB(*cfg, stdlib.OptionAfterConnect(after))
	db.SetMaxOpenConns(1)
	db.SetMaxIdleConns(1)
	return db
}

// hasty has no commit wait for the disk.
func hasty(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, "SET synchronous_commit = off")
	return err
}

// durable has a commit wait for the disk: an acknowledged write survives the database's
// sudden death (STATE-2), whatever its default is. A stricter one stays.
func durable(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'")
	return err
}

// checkPostgres refuses a database that cannot hold every text.
func checkPostgres(ctx context.Context, db *sql.DB, cfg *pgx.ConnConfig) error {
	var encoding string
	if err := db.QueryRowContext(ctx, "SELECT current_setting('server_encoding')").Scan(&encoding); err != nil {
		return fmt.Errorf("open the database %s: %w", placeOf(cfg), err)
	}
	if encoding != "UTF8" {
		return fmt.Errorf("database %s has the encoding %s: create one with ENCODING 'UTF8'", placeOf(cfg), encoding)
	}
	return nil
}

// CheckDSN refuses what names no PostgreSQL database, without connecting to it. Its
// error holds no password.
func CheckDSN(dsn string) error {
	_, err := parseDSN(dsn)
	return err
}

// Place names to people the database and the host of a DSN, without user and password;
// empty: it is none.
func Place(dsn string) string {
	cfg, err := parseDSN(dsn)
	if err != nil {
		return ""
	}
	return placeOf(cfg)
}

// errDSN tells the form of a DSN. What was given instead is not told: it may hold a
// password in a place where nobody looks for one.
var errDSN = errors.New("not a URL such as postgres://user:password@host:5432/database, with special characters of a password percent-encoded")

// parseDSN reads a DSN, and the variables of the environment (PGPASSWORD, …) for what
// it leaves out.
func parseDSN(dsn string) (*pgx.ConnConfig, error) {
	u, err := url.Parse(dsn)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return nil, errDSN
	}
	cfg, err := pgx.ParseConfig(dsn)
	if err != nil {
		text := err.Error()
		if at := strings.LastIndex(text, "`: "); at >= 0 { // before it is what was given
			text = text[at+len("`: "):]
		}
		return nil, fmt.Errorf("%s", withoutPassword(text, u))
	}
	if cfg.Database == "" {
		return nil, errors.New("names no database: put its name behind the host, as in postgres://user@host:5432/leoflow")
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = connectTimeout
	}
	return cfg, nil
}

func withoutPassword(text string, u *url.URL) string {
	password, _ := u.User.Password()
	for _, secret := range []string{password, url.QueryEscape(password), url.PathEscape(password), u.Query().Get("password")} {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "xxxxx")
		}
	}
	return text
}

// placeOf names a database to people.
func placeOf(cfg *pgx.ConnConfig) string {
	return fmt.Sprintf("%s on %s", cfg.Database, net.JoinHostPort(cfg.Host, fmt.Sprint(cfg.Port)))
}

// postgresNow returns the time by the clock of the database, which is the same for all
// servers (BEAT-5).
func postgresNow(ctx context.Context, tx *ent.Tx) (micros int64, err error) {
	rows, err := tx.QueryContext(ctx, "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for rows.Next() {
		err = errors.Join(err, rows.Scan(&micros))
	}
	return micros, errors.Join(err, rows.Err())
}
