package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/xcom"
)

// way is a store that writes in one of the ways, among tenants that have the same names
// and ids.
type way struct {
	*Store
	now  time.Time
	db   *sql.DB
	runs int
}

var (
	wayTenants = []string{"a", "b"}
	wayTasks   = []string{"x", "y", "z"}
)

func newWay(t *testing.T, place Config, path WritePath) *way {
	t.Helper()
	w := &way{now: time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)}
	n := 0
	w.Store = mustOpen(t, Config{
		Clock: func() time.Time { return w.now }, WritePath: path,
		NewID: func() string { n++; return w.instance(n % len(wayTasks)) },
	}.at(place))
	w.db = raw(t, place)
	return w
}

// run is the course's, and instance the id of a task of it.
func (w *way) run() domain.RunKey       { return domain.RunKey{DagID: "d", RunID: fmt.Sprint(w.runs)} }
func (w *way) instance(task int) string { return fmt.Sprint(w.runs, " ", task) }

// begin begins a course.
func (w *way) begin(t testing.TB) {
	t.Helper()
	w.runs++
	for _, tenant := range wayTenants {
		def := domain.NewRun{RunKey: w.run()}
		for _, task := range wayTasks {
			def.Tasks = append(def.Tasks, domain.TaskDefinition{TaskID: task, Spec: domain.TaskSpec{TimeoutSeconds: 1}})
		}
		if _, _, err := w.CreateRun(as(tenant), def); err != nil {
			t.Fatal(err)
		}
		for _, task := range wayTasks {
			if _, err := w.LaunchAttempt(as(tenant), domain.TaskKey{RunKey: w.run(), TaskID: task}, domain.NewAttempt{Try: 1}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// dump is all that is stored of the course.
func (w *way) dump(t testing.TB) map[string][]string {
	t.Helper()
	run := fmt.Sprintf("run_id = '%d'", w.runs)
	out := map[string][]string{}
	for table, query := range map[string]string{
		"attempts": "SELECT * FROM attempts WHERE " + run + " ORDER BY tenant, instance_id, try",
		"tasks":    "SELECT tenant, task_id, state, current_try FROM task_instances WHERE " + run + " ORDER BY 1, 2",
		"runs":     "SELECT tenant, revision FROM runs WHERE " + run + " ORDER BY 1",
		"values":   "SELECT tenant, task_id, try, key, value, content_type, created_at, expires_at FROM xcom_entries WHERE " + run + " ORDER BY 1, 2, 3, 4",
		// What is written together has no order among itself; revisions have no holes.
		"changes": "SELECT tenant, task_id, try, state, cause, exit_code, message, at FROM task_changes WHERE run_pk IN " +
			"(SELECT id FROM runs WHERE " + run + ") ORDER BY 1, 2, 3, at, 4, 5",
		"revisions": "SELECT tenant, revision FROM task_changes WHERE run_pk IN (SELECT id FROM runs WHERE " + run + ") ORDER BY 1, 2",
	} {
		rows, err := w.db.Query(query)
		if err != nil {
			t.Fatal(err)
		}
		out[table] = texts(t, rows)
	}
	return out
}

// texts are the rows of a result as text.
func texts(t testing.TB, rows *sql.Rows) (out []string) {
	t.Helper()
	defer rows.Close()
	columns, err := rows.Columns()
	for err == nil && rows.Next() {
		values := make([]any, len(columns))
		for i := range values {
			values[i] = new(any)
		}
		err = rows.Scan(values...)
		var row []string
		for i, name := range columns {
			if name != "id" && !strings.HasSuffix(name, "_pk") {
				row = append(row, name+"="+text(*values[i].(*any))) //nolint:forcetypeassert // as made
			}
		}
		out = append(out, strings.Join(row, " "))
	}
	if err := errors.Join(err, rows.Err()); err != nil {
		t.Fatal(err)
	}
	return out
}

// text is a value as both dialects have it.
func text(v any) string {
	switch v := v.(type) {
	case []byte:
		return string(v)
	case bool:
		return map[bool]string{false: "0", true: "1"}[v]
	}
	return fmt.Sprint(v)
}

// act is something that an attempt or an operator does.
type act struct {
	Tenant, Task, Instance int
	Try                    int
	Kind                   string
	State                  domain.TaskState
	Code                   int
	Text                   string
	At                     int // seconds after the beginning; 0: not known
}

func (w *way) ref(a act) domain.AttemptRef {
	return domain.AttemptRef{
		TenantID: wayTenants[a.Tenant], TaskInstanceID: w.instance(a.Instance), TryNumber: a.Try,
		DagID: w.run().DagID, RunID: w.run().RunID, TaskID: wayTasks[a.Task],
	}
}

func acts(kinds []string) *rapid.Generator[act] {
	return rapid.Custom(func(t *rapid.T) act {
		a := act{
			Tenant: rapid.IntRange(0, len(wayTenants)-1).Draw(t, "tenant"),
			Task:   rapid.IntRange(0, len(wayTasks)-1).Draw(t, "task"),
			Try:    rapid.SampledFrom([]int{1, 1, 1, 2, 3}).Draw(t, "try"),
			Kind:   rapid.SampledFrom(kinds).Draw(t, "kind"),
			State:  rapid.SampledFrom(domain.TaskStateQueued.Next()).Draw(t, "state"),
			Code:   rapid.IntRange(-1, 1).Draw(t, "code"),
			Text:   rapid.SampledFrom([]string{"", "m"}).Draw(t, "text"),
			At:     rapid.IntRange(0, 3).Draw(t, "at"),
		}
		a.Instance = (a.Task + 1) % len(wayTasks) // as they were created
		if rapid.IntRange(0, 9).Draw(t, "odd") == 0 {
			a.Instance = rapid.IntRange(0, len(wayTasks)).Draw(t, "instance")
		}
		return a
	})
}

// deed is what the act means to the store.
func (w *way) deed(a act) deed {
	if a.Kind == "push" {
		return deed{push: &push{
			from: w.ref(a), name: "k" + a.Text, value: []byte(fmt.Sprint(a)), contentType: a.Text,
			createdAt: w.now.UnixMicro(), expires: w.now.Add(time.Hour).UnixMicro(),
		}}
	}
	r := report{ref: w.ref(a), state: a.State, exitCode: a.Code, message: a.Text}
	if a.At > 0 {
		at := int64(a.At) * 1_000_000
		r.at = &at
	}
	return deed{report: &r}
}

// alone does an act by itself.
func (w *way) alone(a act) error {
	ctx := as(wayTenants[a.Tenant])
	switch d := w.deed(a); {
	case a.Kind == "beat":
		return w.beatAlone(ctx, auth.IdentityOf(w.ref(a)))
	case d.push != nil:
		e := xcom.Entry{Value: d.push.value, ContentType: d.push.contentType, CreatedAt: w.now}
		return w.putAlone(ctx, d.push.from, d.push.name, e, w.now.Add(time.Hour))
	default:
		return w.write(ctx, d.report.store)
	}
}

// together does acts of different attempts in one write, and by themselves those that
// the write leaves.
func (w *way) together(t *rapid.T, some []act) []error {
	got := make([]outcome, len(some))
	var refs []domain.AttemptRef
	var deeds []deed
	var beating, doing []int
	for i, a := range some {
		if a.Kind == "beat" {
			refs, beating = append(refs, w.ref(a)), append(beating, i)
		} else {
			deeds, doing = append(deeds, w.deed(a)), append(doing, i)
		}
	}
	beats, err1 := w.writeBeats(context.Background(), refs)
	rest, err2 := w.writeDeeds(context.Background(), deeds)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	for i, n := range beating {
		got[n] = beats[i]
	}
	for i, n := range doing {
		got[n] = rest[i]
	}
	out := make([]error, len(some))
	for i, a := range some {
		switch got[i] {
		case byItself:
			out[i] = w.alone(a)
		case cancelled:
			out[i] = domain.ErrCancelled
		case done:
		}
	}
	return out
}

// operate does what is done in one way only.
func (w *way) operate(a act) string {
	ctx, key := as(wayTenants[a.Tenant]), domain.TaskKey{RunKey: w.run(), TaskID: wayTasks[a.Task]}
	var err error
	switch a.Kind {
	case "cancel":
		_, err = w.CancelTask(ctx, key, time.Minute)
	case "launch":
		_, err = w.LaunchAttempt(ctx, key, domain.NewAttempt{Try: a.Try, Supersede: a.Code > 0})
	case "settle":
		_, _, err = w.SettleAttempt(ctx, key, a.Try, domain.Settlement{State: domain.TaskStateFailed, Cause: domain.CauseLost})
	}
	return fmt.Sprint(err)
}

// TestState9WritesAmongOthersAreWhatTheyAreAlone plays random courses in both ways: what
// attempts do in each round is written together in one and singly in the other, and
// answers and rows must be the same.
func TestState9WritesAmongOthersAreWhatTheyAreAlone(t *testing.T) {
	for _, name := range []string{"sqlite", "postgres"} {
		t.Run(name, func(t *testing.T) {
			batched, direct := newWay(t, places[name](t), Batched), newWay(t, places["sqlite"](t), Direct)
			rapid.Check(t, func(r *rapid.T) {
				batched.begin(t)
				direct.begin(t)
				for range rapid.IntRange(1, 6).Draw(r, "rounds") {
					round(r, t, batched, direct)
				}
			})
		})
	}
}

func round(r *rapid.T, t testing.TB, batched, direct *way) {
	batched.now = batched.now.Add(time.Second)
	direct.now = batched.now
	for _, a := range rapid.SliceOfN(acts([]string{"cancel", "launch", "launch", "settle"}), 0, 3).Draw(r, "operators") {
		if got, want := batched.operate(a), direct.operate(a); got != want {
			r.Fatalf("%+v: %s among others, %s alone", a, got, want)
		}
	}
	some := rapid.SliceOfNDistinct(acts([]string{"beat", "report", "report", "push"}), 0, 12,
		func(a act) string { return keyOf(batched.ref(a)) }).Draw(r, "attempts")
	slices.SortFunc(some, func(a, b act) int { return strings.Compare(keyOf(batched.ref(a)), keyOf(batched.ref(b))) })
	got := batched.together(r, some)
	for i, a := range some {
		if want := direct.alone(a); fmt.Sprint(got[i]) != fmt.Sprint(want) {
			r.Fatalf("%+v: %v among others, %v alone", a, got[i], want)
		}
	}
	if diff := cmp.Diff(direct.dump(t), batched.dump(t)); diff != "" {
		r.Fatalf("the rows differ (-alone +among others):\n%s", diff)
	}
}
