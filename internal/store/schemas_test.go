package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"modernc.org/sqlite"

	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/pgtest"
)

// carried names every migration, and of each the columns, as table.column, whose values
// it changes or drops on purpose: what they become has to be held by a test of its own.
// All others are held to be what they were.
var carried = map[string]map[string][]string{
	"sqlite": {
		"20261124214951_initial.sql":               nil,
		"20261124224210_audit_actor_and_lists.sql": nil,
		"20261125003340_idempotency_keys.sql":      nil,
		"20261128220747_live_attempts_index.sql":   nil,
		"20261129162547_history_without_key.sql":   nil,
	},
	"postgres": {
		"20261128220750_initial.sql":             nil,
		"20261129022800_room_for_heartbeats.sql": nil,
		"20261129162549_history_without_key.sql": nil,
	},
}

func TestEveryMigrationIsCarriedThrough(t *testing.T) {
	for name, s := range schemasOf {
		want := slices.Sorted(maps.Keys(carried[name]))
		if diff := cmp.Diff(want, s.names(t)); diff != "" {
			t.Errorf("say in `carried` what the new migration of %s does to rows that are there (-there +found):\n%s", name, diff)
		}
	}
}

// names are the migrations, the oldest first.
func (s schemas) names(t *testing.T) []string {
	t.Helper()
	names, err := fs.Glob(s.files, "*.sql")
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	return names
}

// through returns the first n migrations; changed, if set, is called with the text of
// each.
func (s schemas) through(t *testing.T, n int, changed func(nth int, text string) string) fstest.MapFS {
	t.Helper()
	some := fstest.MapFS{}
	for i, name := range s.names(t)[:n] {
		data, err := fs.ReadFile(s.files, name)
		if err != nil {
			t.Fatal(err)
		}
		if changed != nil {
			data = []byte(changed(i, string(data)))
		}
		some[name] = &fstest.MapFile{Data: data}
	}
	return some
}

// released makes a database as the nth migration left it, with rows in every table.
func (s schemas) released(t *testing.T, n int) (place Config, before map[string]contents) {
	t.Helper()
	if place.Dir = t.TempDir(); s.files == schemasOf["postgres"].files {
		place = Config{DSN: pgtest.Database(t)}
	}
	if n == 0 {
		return place, nil
	}
	if err := s.migrate(t.Context(), t, place, s.through(t, n, nil)); err != nil {
		t.Fatal(err)
	}
	db := raw(t, place)
	s.fill(t, db)
	return place, s.read(t, db)
}

// eachRelease runs a test for each dialect, and each number of migrations from the least.
func eachRelease(t *testing.T, least int, test func(t *testing.T, dialect string, n int)) {
	for _, dialect := range slices.Sorted(maps.Keys(schemasOf)) {
		for n, name := range append([]string{"nothing"}, schemasOf[dialect].names(t)...) {
			if n >= least {
				t.Run(dialect+"/"+strings.TrimSuffix(name, ".sql"), func(t *testing.T) { test(t, dialect, n) })
			}
		}
	}
}

// TestMigrationFromEveryReleaseKeepsWhatIsThere migrates a filled database of every
// released schema, as several servers that start at once do where they can, and holds
// that every row and every value is what it was, that new columns have their defaults,
// that keys point to what is there, and that a store works on it.
func TestMigrationFromEveryReleaseKeepsWhatIsThere(t *testing.T) {
	eachRelease(t, 1, func(t *testing.T, dialect string, n int) {
		s := schemasOf[dialect]
		place, before := s.released(t, n)
		servers := map[string]int{"sqlite": 1, "postgres": 3}[dialect] // a directory has one
		errs := make([]error, servers)
		var all sync.WaitGroup
		for i := range servers {
			all.Go(func() { errs[i] = s.migrate(context.Background(), t, place, s.files) })
		}
		all.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		s.wantKept(t, dialect, n, raw(t, place), before)
		worksOn(t, place)
	})
}

// wantKept compares a migrated database with what was in it after n migrations.
func (s schemas) wantKept(t *testing.T, dialect string, n int, db *sql.DB, before map[string]contents) {
	t.Helper()
	after, tables := s.read(t, db), s.describe(t, db)
	meant := map[string]bool{}
	for _, name := range s.names(t)[n:] {
		for _, column := range carried[dialect][name] {
			meant[column] = true
		}
	}
	for table, rows := range before {
		if len(rows) == 0 || len(after[table]) != len(rows) {
			t.Errorf("%s had %d rows, and has %d", table, len(rows), len(after[table]))
			continue
		}
		for i, row := range rows {
			for column, value := range row {
				if got, there := after[table][i][column]; !meant[table+"."+column] && (!there || got != value) {
					t.Errorf("%s.%s was %s, and is %q", table, column, value, got)
				}
			}
			for _, c := range tables[table].columns {
				if _, old := row[c.name]; !old && !meant[table+"."+c.name] {
					wantUsual(t, db, table, c, after[table][i][c.name])
				}
			}
		}
	}
	if dialect == "sqlite" { // PostgreSQL lets no row stand that points to nothing
		if err := checkForeignKeys(t.Context(), db); err != nil {
			t.Error(err)
		}
	}
}

// wantUsual holds that a new column has the value that its default says.
func wantUsual(t *testing.T, db *sql.DB, table string, c schemaColumn, got string) {
	t.Helper()
	var usual any
	if c.usual.Valid {
		query(t, db, "SELECT "+c.usual.String, nil, func(scan func(...any)) { scan(&usual) })
	}
	if want := asText(usual); got != want {
		t.Errorf("the new column %s.%s is %s, want %s", table, c.name, got, want)
	}
}

// worksOn opens a store on a migrated database, and has its attempts go on.
func worksOn(t *testing.T, place Config) {
	t.Helper()
	s := mustOpen(t, place)
	check := func(what string, i int, err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("%s of attempt %d: %v, want %v", what, i, err, want)
		}
	}
	for i, state := range rowStates {
		ref := rowRef(i)
		id, ctx := auth.IdentityOf(ref), as(ref.TenantID)
		key := domain.TaskKey{RunKey: domain.RunKey{DagID: ref.DagID, RunID: ref.RunID}, TaskID: ref.TaskID}
		spec, err := s.TaskSpec(ctx, id)
		if diff := cmp.Diff(rowSpec(i), spec); err != nil || diff != "" {
			t.Errorf("attempt %d: %v, its specification differs (-want +got):\n%s", i, err, diff)
		}
		err = s.heartbeat(ctx, id)
		switch {
		case state.Terminal():
			check("heartbeat", i, err, domain.ErrNotLive)
			continue
		case i == cancelledRow:
			check("heartbeat", i, err, domain.ErrCancelled)
		default:
			check("heartbeat", i, err, nil)
		}
		check("report", i, s.ReportState(ctx, id, domain.TaskStateSuccess, 0, ""), nil)
		if a, err := s.Attempt(ctx, key, ref.TryNumber); err != nil || a.State != domain.TaskStateSuccess || a.EndedAt.IsZero() {
			t.Errorf("attempt %d: %+v, %v", i, a, err)
		}
		if changes, err := s.RunChanges(ctx, key.RunKey, 0, 10); err != nil || len(changes) != 2 || changes[1].Revision != 2 {
			t.Errorf("changes of run %d: %+v, %v", i, changes, err)
		}
		next := domain.NewAttempt{Try: ref.TryNumber + 1}
		if _, err := s.RetryTask(ctx, key, ref.TryNumber); err != nil {
			t.Errorf("retry of %d: %v", i, err)
		}
		if _, err := s.LaunchAttempt(ctx, key, next); err != nil {
			t.Errorf("next try of %d: %v", i, err)
		}
	}
	run := domain.NewRun{RunKey: domain.RunKey{DagID: "new", RunID: "r"}, Tasks: []domain.TaskDefinition{{TaskID: "x"}}}
	if _, created, err := s.CreateRun(as("t0"), run); err != nil || !created {
		t.Errorf("a new run: %v, %v", created, err)
	}
}

// migrateHelper tells a copy of the test binary to migrate the file that it names by
// the migrations in the directory that migrateFiles names.
const (
	migrateHelper = "LEOFLOW_TEST_MIGRATE_FILE"
	migrateFiles  = "LEOFLOW_TEST_MIGRATE_FILES"
)

// migrateAndDie migrates with a function die, which kills the process.
func migrateAndDie(path, files string) error {
	err := sqlite.RegisterScalarFunction("die", 0, func(*sqlite.FunctionContext, []driver.Value) (driver.Value, error) {
		return nil, syscall.Kill(os.Getpid(), syscall.SIGKILL)
	})
	if err != nil {
		return err
	}
	return migrateFile(context.Background(), path, os.DirFS(files))
}

// TestMigrationThatIsKilledCanBeRepeated kills each migration in its middle and before
// its end: the process on SQLite, the connection on PostgreSQL. It leaves the database
// as it was, and the next start migrates it.
func TestMigrationThatIsKilledCanBeRepeated(t *testing.T) {
	eachRelease(t, 0, func(t *testing.T, dialect string, n int) {
		s := schemasOf[dialect]
		if n == len(s.names(t)) {
			n-- // the last is killed on an empty database too, where it is the only one
		}
		place, before := s.released(t, n)
		for _, share := range []float64{0.5, 1} {
			s.killed(t, dialect, place, n, share)
			if n == 0 {
				continue
			}
			if diff := cmp.Diff(before, s.read(t, raw(t, place))); diff != "" {
				t.Fatalf("a killed migration changed something (-before +after):\n%s", diff)
			}
		}
		if err := s.migrate(t.Context(), t, place, s.files); err != nil {
			t.Fatal(err)
		}
		s.wantKept(t, dialect, n, raw(t, place), before)
	})
}

// killed runs the migration after the nth until a share of its statements is done.
func (s schemas) killed(t *testing.T, dialect string, place Config, n int, share float64) {
	t.Helper()
	die := map[string]string{"sqlite": "SELECT die();\n", "postgres": "SELECT pg_terminate_backend(pg_backend_pid());\n"}[dialect]
	files := s.through(t, n+1, func(nth int, text string) string {
		if nth < n {
			return text
		}
		statements := strings.SplitAfter(text, ";\n")
		at := max(1, int(share*float64(len(statements)-1)))
		return strings.Join(slices.Insert(statements, at, die), "")
	})
	if dialect == "postgres" {
		if err := s.migrate(t.Context(), t, place, files); err == nil {
			t.Fatal("it was not killed")
		}
		return
	}
	dir := t.TempDir()
	for name, file := range files {
		if err := os.WriteFile(filepath.Join(dir, name), file.Data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), migrateHelper+"="+filepath.Join(place.Dir, databaseFile), migrateFiles+"="+dir)
	out, err := cmd.CombinedOutput()
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		t.Fatalf("it was not killed: %v, %s", err, out)
	}
}
