package pgtest

import (
	"os"
	"testing"

	"github.com/jackc/pgx/v5"
)

// TestOwnServerComesBackWithWhatWasCommitted stops one as a crash does.
func TestOwnServerComesBackWithWhatWasCommitted(t *testing.T) {
	var dir string
	t.Run("one", func(t *testing.T) {
		o := NewOwn(t)
		dir = o.server.dir
		o.Exec("CREATE TABLE t AS SELECT 'kept' AS x")
		o.Stop()
		if conn, err := pgx.Connect(t.Context(), o.DSN()); err == nil {
			t.Errorf("it is stopped, and lets in: %v", conn.Close(t.Context()))
		}
		o.Start()
		if got := one(t, o.DSN(), "SELECT x FROM t"); got != "kept" {
			t.Errorf("it has %q", got)
		}
	})
	if _, err := os.Stat(dir); dir == "" || !os.IsNotExist(err) {
		t.Errorf("%s is left: %v", dir, err)
	}
}

func TestOwnServerRefusesToWriteWhileItIsReadOnly(t *testing.T) {
	o := NewOwn(t)
	o.Exec("CREATE TABLE t (x text)")
	for _, on := range []bool{true, false} {
		o.ReadOnly(on)
		err := (&server{dsn: o.DSN()}).exec(t.Context(), "INSERT INTO t VALUES ('x')")
		if (err != nil) != on {
			t.Errorf("read-only %v: %v", on, err)
		}
	}
}
