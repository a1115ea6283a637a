package matrix

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/neochaotic/leoflow/conformance/catalogue"
)

// How a check stands to a mutant.
const (
	Named  = "named"  // it is named for the mutant, and found it
	Listed = "also"   // it is listed as one that finds it, and did
	Broad  = "broad"  // it found it, as any may
	Nobody = "nobody" // no mutant was found by this check
)

// header is the first lines of a table's file.
const header = `# Which check finds which mutant, as "make mutants-full" saw it. Written by it, never by hand.
# Where a check is named for a mutant, it must; where it also finds it, why is told. Of a
# check that no mutant was found by, there is a line without one.
side	mutant	check	how	why
`

// Row is one check that found a mutant, or none.
type Row struct {
	Side          catalogue.Side
	Mutant, Check string
	How, Why      string
}

// Table is what full runs found. A nil one is empty.
type Table struct{ Rows []Row }

// ReadTable reads a table's file. Of one that is not there yet, the table is empty.
func ReadTable(path string) (*Table, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return &Table{}, nil
	}
	if err != nil {
		return nil, err
	}
	rest, ok := strings.CutPrefix(string(text), header)
	if !ok {
		return nil, fmt.Errorf("%s is no table of mutants: it does not begin as one", path)
	}
	t := &Table{}
	for line := range strings.Lines(rest) {
		cells := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(cells) != 5 {
			return nil, fmt.Errorf("%s: a line has %d cells, not 5: %q", path, len(cells), line)
		}
		t.Rows = append(t.Rows, Row{catalogue.Side(cells[0]), cells[1], cells[2], cells[3], cells[4]})
	}
	return t, nil
}

// Write writes a table's file, beside the one that is there and then in its place: a run
// that is killed meanwhile leaves a whole one.
func (t *Table) Write(path string) error {
	var out strings.Builder
	out.WriteString(header)
	for _, r := range t.Rows {
		fmt.Fprintf(&out, "%s\t%s\t%s\t%s\t%s\n", r.Side, r.Mutant, r.Check, r.How, r.Why)
	}
	beside := path + ".new"
	if err := os.WriteFile(beside, []byte(out.String()), 0o644); err != nil { //nolint:gosec // a page of the repository
		return err
	}
	return os.Rename(beside, path)
}

// Of is the rows of one side.
func (t *Table) Of(side catalogue.Side) *Table {
	if t == nil {
		return &Table{}
	}
	return &Table{slices.DeleteFunc(slices.Clone(t.Rows), func(r Row) bool { return r.Side != side })}
}

// row is how a check that found a mutant is told.
func row(side catalogue.Side, m Mutant, check string) Row {
	out := Row{Side: side, Mutant: m.Name, Check: check, How: Broad, Why: m.Broad}
	switch {
	case check == m.Check:
		out.How, out.Why = Named, ""
	case m.Also[check] != "":
		out.How, out.Why = Listed, m.Also[check]
	}
	return out
}

// With is the table after one more mutant was judged, with all that was known of others:
// to be kept as a run goes on, which may be ended before it ends.
func (t *Table) With(s *Side, v Verdict) *Table {
	out := &Table{slices.DeleteFunc(slices.Clone(t.Of(s.Side).Rows), func(r Row) bool {
		return r.How == Nobody || r.Mutant == v.Mutant.Name
	})}
	out.add(s.Side, v)
	out.close(s)
	return out
}

// add takes in what found a mutant, sorted, the named one first.
func (t *Table) add(side catalogue.Side, v Verdict) {
	var rows []Row
	for id := range v.Found {
		rows = append(rows, row(side, v.Mutant, id))
	}
	slices.SortFunc(rows, func(a, b Row) int {
		return cmp.Or(-cmp.Compare(btoi(a.How == Named), btoi(b.How == Named)), cmp.Compare(a.Check, b.Check))
	})
	t.Rows = append(t.Rows, rows...)
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// close names the checks that found nothing, and tells which of them should have.
func (t *Table) close(s *Side) []string {
	found := map[string]bool{}
	for _, r := range t.Rows {
		found[r.Check] = true
	}
	for _, c := range s.Checks {
		if !found[c.ID] {
			t.Rows = append(t.Rows, Row{Side: s.Side, Check: c.ID, How: Nobody, Why: s.Unfound[c.ID]})
		}
	}
	return s.strict(found)
}

// strict compares what no mutant was found by with what the list says of it.
func (s *Side) strict(found map[string]bool) []string {
	var out []string
	for _, id := range s.unfound(found) {
		if s.Unfound[id] == "" {
			out = append(out, fmt.Sprintf("%s is of what must be kept, and finds no mutant: make one that it finds", id))
		}
	}
	for id := range s.Unfound {
		if found[id] {
			out = append(out, fmt.Sprintf("%s is listed as one that finds no mutant, and finds one: take it off the list", id))
		}
	}
	slices.Sort(out)
	return out
}

// knows reports whether the table was made with this mutant, named for the same check.
func (t *Table) knows(side catalogue.Side, m Mutant) bool {
	return t != nil && slices.ContainsFunc(t.Rows, func(r Row) bool {
		return r.Side == side && r.Mutant == m.Name && r.How == Named && r.Check == m.Check
	})
}

// tried reports whether the table was made with this mutant and this check.
func (t *Table) tried(side catalogue.Side, m Mutant, check string) bool {
	return t.knows(side, m) && slices.ContainsFunc(t.Rows, func(r Row) bool { return r.Side == side && r.Check == check })
}

// recall adds to a verdict what the table knows of the mutant.
func (t *Table) recall(side catalogue.Side, v *Verdict) {
	if !t.knows(side, v.Mutant) {
		return
	}
	for _, r := range t.Rows {
		if r.Side == side && r.Mutant == v.Mutant.Name {
			v.Found[r.Check] = "as known before"
		}
	}
	_, v.Killed = v.Found[v.Mutant.Check]
}

// Stale compares the table with what it should be of: it names just the mutants and the
// checks that are there, tells of each what the lists say, and lacks nothing that must
// be found. A line for each difference.
func (t *Table) Stale(s *Side) []string {
	var out []string
	mutants, checks := map[string]Mutant{}, map[string]bool{}
	for _, m := range s.Mutants {
		mutants[m.Name] = m
		for _, id := range append(sorted(m.Also), m.Check) {
			if want := row(s.Side, m, id); !slices.Contains(t.Rows, want) {
				out = append(out, fmt.Sprintf("it does not say that %s finds %q (%s)", id, m.Name, want.Why))
			}
		}
	}
	for _, c := range s.Checks {
		checks[c.ID] = true
	}
	found, named := map[string]bool{}, map[string]bool{}
	for _, r := range t.Of(s.Side).Rows {
		named[r.Check] = true
		if !checks[r.Check] {
			out = append(out, "it has a check that is no more: "+r.Check)
		}
		m, known := mutants[r.Mutant]
		switch {
		case r.How == Nobody:
		case !known:
			out = append(out, "it has a mutant that is no more: "+r.Mutant)
		case r != row(s.Side, m, r.Check) || r.How == Broad && m.Broad == "":
			out = append(out, fmt.Sprintf("it says that %s finds %q, and the lists do not: %s", r.Check, r.Mutant, r.Why))
		}
		found[r.Check] = found[r.Check] || r.How != Nobody
	}
	for _, c := range s.Checks {
		if !named[c.ID] {
			out = append(out, "it lacks the check "+c.ID)
		}
	}
	return append(out, s.strict(found)...)
}

func sorted(a Also) []string {
	var out []string
	for id := range a {
		out = append(out, id)
	}
	slices.Sort(out)
	return out
}
