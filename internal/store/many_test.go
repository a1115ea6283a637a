package store

import (
	"regexp"
	"strings"
	"testing"
)

// all are the statements for many rows.
func (s statements) all() []*many { return append(s.durable(), s.beat) }

// TestIso1StatementsForManyRowsHoldTheTenant reads each statement that goes past ent's
// policies: it changes a row only where that has the tenant of the item, and inserts one
// only with it.
func TestIso1StatementsForManyRowsHoldTheTenant(t *testing.T) {
	update := regexp.MustCompile("^UPDATE (\\w+) SET .* WHERE (\\w+)\\.tenant = b\\.tenant AND [^|]*$")
	insert := regexp.MustCompile(`^INSERT INTO (\w+) \(tenant, .*\) SELECT b\.tenant, .* FROM .* WHERE TRUE`)
	for name, s := range map[string]*Store{"sqlite": {}, "postgres": {postgres: true}} {
		all := s.newStatements().all()
		if len(all) != 10 {
			t.Errorf("%s: %d statements", name, len(all))
		}
		for _, m := range all {
			text := strings.NewReplacer("`", "", `"`, "").Replace(m.text)
			found := update.FindStringSubmatch(text)
			held := found != nil && found[1] == found[2] || insert.MatchString(text)
			if !held || strings.Contains(text, " OR ") {
				t.Errorf("%s: %s", name, m.text)
			}
		}
	}
}
