package pgtest

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// dropWithin bounds how long the removal of a database may take.
const dropWithin = time.Minute

// Database returns the DSN of an empty database, which is dropped when the test ends.
func Database(t testing.TB) string {
	t.Helper()
	dsn, drop, err := Create(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	dropAtEnd(t, drop)
	return dsn
}

func dropAtEnd(t testing.TB, drop func() error) {
	t.Cleanup(func() {
		if err := drop(); err != nil {
			t.Error(err)
		}
	})
}

// Create makes a database, as a copy of the one named template; empty: an empty one.
// Whoever is no test drops it.
func Create(ctx context.Context, template string) (dsn string, drop func() error, err error) {
	s, err := theServer()
	if err != nil {
		return "", nil, err
	}
	name := "leoflow_" + strings.ToLower(rand.Text())
	statement := "CREATE DATABASE " + pgx.Identifier{name}.Sanitize()
	if template != "" {
		statement += " TEMPLATE " + pgx.Identifier{template}.Sanitize()
	}
	if err := s.exec(ctx, statement); err != nil {
		return "", nil, fmt.Errorf("make a database: %w", err)
	}
	dsn, err = s.at(name)
	return dsn, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), dropWithin)
		defer cancel()
		if err := s.exec(ctx, "DROP DATABASE IF EXISTS "+pgx.Identifier{name}.Sanitize()+" WITH (FORCE)"); err != nil {
			return fmt.Errorf("drop a database: %w", err)
		}
		return nil
	}, err
}

func (s *server) exec(ctx context.Context, statement string) error {
	conn, err := pgx.Connect(ctx, s.dsn)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // the statement has told
	_, err = conn.Exec(ctx, statement)
	return err
}

// at is the DSN of a database of the server.
func (s *server) at(database string) (string, error) {
	u, err := url.Parse(s.dsn)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return "", fmt.Errorf("%s must be a URL, such as postgres://user:password@host/postgres", Variable)
	}
	u.Path = "/" + database
	return u.String(), nil
}

// nameOf is the database that a DSN names.
func nameOf(dsn string) string {
	u, err := url.Parse(dsn)
	if err != nil {
		return ""
	}
	return strings.TrimPrefix(u.Path, "/")
}
