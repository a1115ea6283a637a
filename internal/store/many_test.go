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
	return append(all, s.end, s.fetch)
}

// TestIso1StatementsForManyRowsHoldTheTenant reads each statement that goes past ent's
// policies: it changes and reads a row only where that has the tenant of the item, and inserts
// one only with it.
func TestIso1StatementsForManyRowsHoldTheTenant(t *testing.T) {
	update := regexp.MustCompile(`^UPDATE (\w+) SET .* WHERE (\w+)\.tenant = b\.tenant AND [^|]*$`)
	insert := regexp.MustCompile(`^INSERT INTO (\w+) \(tenant, .*\) SELECT b\.tenant, `)
	for name, s := range map[string]*Store{"sqlite": {}, "postgres": {postgres: true}} {
		all := s.newStatements().all()
		if len(all) != map[string]int{"sqlite": 13, "postgres": 12}[name] {
			t.Errorf("%s: %d statements", name, len(all))
		}
		for _, m := range all {
			if m.columns[0].name != attempt.FieldTenant {
				t.Errorf("%s: the first column is %s: %s", name, m.columns[0].name, m.text)
			}
			text := strings.NewReplacer("`", "", `"`, "", "VALUES (", "SELECT ", "?1 ", "b.tenant ", "?1,", "b.tenant,").Replace(m.text)
			found := update.FindStringSubmatch(text)
			if reads := len(all) - 2; m == all[reads] || m == all[reads+1] {
				for _, table := range regexp.MustCompile(`JOIN (\w+) ON`).FindAllStringSubmatch(text, -1) {
					if !strings.Contains(text, table[0]+" "+table[1]+".tenant = b.tenant AND ") {
						t.Errorf("%s: %s of any tenant: %s", name, table[1], m.text)
					}
				}
				if n := strings.Count(text, " JOIN "); n != map[*many]int{all[reads]: 1, all[reads+1]: 3}[m] || strings.Contains(text, " OR ") {
					t.Errorf("%s: %d tables: %s", name, n, m.text)
				}
				continue
			}
			held := found != nil && found[1] == found[2] || insert.MatchString(text)
			if !held || strings.Contains(text, " OR ") {
				t.Errorf("%s: %s", name, m.text)
			}
		}
	}
}

// TestManyRowsAreFoundByTheirKeys has PostgreSQL plan each statement while it knows nothing
// of its tables, when it would rather read them whole.
func TestManyRowsAreFoundByTheirKeys(t *testing.T) {
	s := mustOpen(t, places["postgres"](t))
	key := regexp.MustCompile(`Index Cond: \(\(\(tenant\)::text = \(b\.tenant\)::text\) AND \(\(instance_id\)::text = \(b\.instance_id\)::text\) AND \(try = b\.try\)\)`)
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
		ofAttempts := strings.Contains(plan, "Scan using attempt_") || strings.Contains(plan, "on attempts")
		if strings.Contains(plan, "Seq Scan") || strings.Contains(plan, "Hash") || ofAttempts && !key.MatchString(plan) {
			t.Errorf("%s\n%s", m.text, plan)
		}
	}
}
