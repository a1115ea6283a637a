package store

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/neochaotic/leoflow/ent/attempt"
)

// all are the statements for many rows.
func (s statements) all() []*many {
	all := append(s.durable(), s.beat)
	if s.calmBeat != nil {
		all = append(all, s.calmBeat)
	}
	return append(all, s.fetch, s.spec, s.end)
}

// TestIso1StatementsForManyRowsHoldTheTenant reads each statement that goes past ent's
// policies: it changes and reads a row only where that has the tenant of the item, and inserts
// one only with it.
func TestIso1StatementsForManyRowsHoldTheTenant(t *testing.T) {
	update := regexp.MustCompile(`^UPDATE (\w+) SET .* WHERE (\w+)\.tenant = b\.tenant AND [^|]*$`)
	tables := regexp.MustCompile(`\b(attempts|task_instances|runs|task_changes|xcom_entries)\b`)
	parts := regexp.MustCompile(`(^WITH|,) \w+ AS \(`) // of a statement
	insert := regexp.MustCompile(`^INSERT INTO (\w+) \(tenant, .*\) SELECT b\.tenant, `)
	for name, s := range map[string]*Store{"sqlite": {}, "postgres": {postgres: true}} {
		statements := s.newStatements()
		all, reads := statements.all(), map[*many]int{statements.fetch: 3, statements.spec: 2, statements.end: 1}
		if len(all) != map[string]int{"sqlite": 14, "postgres": 6}[name] {
			t.Errorf("%s: %d statements", name, len(all))
		}
		for _, m := range all {
			if m.columns[0].name != attempt.FieldTenant {
				t.Errorf("%s: the first column is %s: %s", name, m.columns[0].name, m.text)
			}
			text := strings.NewReplacer("`", "", `"`, "", "VALUES (", "SELECT ", "?1 ", "b.tenant ", "?1,", "b.tenant,").Replace(m.text)
			if joined, ok := reads[m]; ok {
				found := regexp.MustCompile(`(?:JOIN|FROM) (\w+) (?:ON|WHERE)`).FindAllStringSubmatch(text, -1)
				for _, table := range found {
					if !strings.Contains(text, table[0]+" "+table[1]+".tenant = b.tenant AND ") {
						t.Errorf("%s: %s of any tenant: %s", name, table[1], m.text)
					}
				}
				if n := strings.Count(text, " JOIN "); n != joined || len(found) != n || strings.Contains(text, " OR ") {
					t.Errorf("%s: %d tables: %s", name, n, m.text)
				}
				continue
			}
			written := 0
			for _, part := range parts.Split(text, -1) {
				if !tables.MatchString(part) { // it is of the rows, or of other parts
					continue
				}
				written++
				found := update.FindStringSubmatch(part)
				held := found != nil && found[1] == found[2] || insert.MatchString(part)
				if !held || strings.Contains(part, " OR ") {
					t.Errorf("%s: %s", name, part)
				}
			}
			if written < 1 || written > 1 && !parts.MatchString(text) {
				t.Errorf("%s: %d parts write: %s", name, written, m.text)
			}
		}
	}
}

// TestManyRowsAreFoundByTheirKeys has PostgreSQL plan each statement while it knows nothing
// of its tables, when it would rather read them whole, or all values of a task for one.
func TestManyRowsAreFoundByTheirKeys(t *testing.T) {
	s := mustOpen(t, alone["postgres"](t))
	key := regexp.MustCompile(`Index Cond: \(\(\(tenant\)::text = \(b(_\d)?\.tenant\)::text\) AND \(\(instance_id\)::text = \(b(_\d)?\.instance_id\)::text\) AND \(try = b(_\d)?\.try\)\)`)
	tenants := regexp.MustCompile(`Index Cond: \(\(tenant\)::text = \([a-z_0-9.]+\)::text\)\n`) // all that a tenant has
	value := regexp.MustCompile(`Index Cond: \(.*tenant.* AND .*dag_id.* AND .*run_id.* AND .*task_id.* AND \(try = .* AND \(\(key\)::text = `)
	for i, m := range s.statements.all() {
		nulls := strings.Repeat(", NULL", len(m.columns)+len(m.args))[2:]
		if _, err := s.hasty.db.Exec(fmt.Sprintf("PREPARE plan_%d AS %s", i, m.text)); err != nil {
			t.Fatal(err)
		}
		rows, err := s.hasty.db.Query(fmt.Sprintf("EXPLAIN EXECUTE plan_%d(%s)", i, nulls))
		if err != nil {
			t.Fatal(err)
		}
		plan := strings.Join(texts(t, rows), "\n")
		ofAttempts := strings.Count(plan, "Scan using attempt_")
		whole := strings.Contains(plan, "Seq Scan") || strings.Contains(plan, "Bitmap") || strings.Contains(plan, "Hash Join")
		if whole || ofAttempts != len(key.FindAllString(plan, -1)) || strings.Contains(m.text, "attempts") && ofAttempts == 0 ||
			tenants.MatchString(plan) {
			t.Errorf("%s\n%s", m.text, plan)
		}
		if m == s.statements.fetch && !value.MatchString(plan) {
			t.Errorf("values of other keys are read: %s\n%s", m.text, plan)
		}
	}
}
