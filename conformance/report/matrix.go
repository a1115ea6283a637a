package report

import (
	"fmt"
	"strings"

	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"

	"github.com/neochaotic/leoflow/conformance/catalogue"
)

// matrixView is which RPCs were looked at for which family of rules, and what came of it.
type matrixView struct {
	Heads []familyView
	Rows  []rowView
}

type rowView struct {
	Service, Method string // both empty: checks that are about no RPC
	Cells           []cellView
}

// cellView is what became of the checks of one RPC and one family; Href empty: there are
// none.
type cellView struct {
	Href, Status, Sign, Said string
}

// signs tell the statuses apart without their colours.
var signs = map[conformancev1.ResultStatus]string{
	passed: "✓", failed: "✗", broken: "!", knownFailing: "≈", untestable: "?", skipped: "–", unchecked: "?",
}

func familyOf(rule *conformancev1.RuleResult) string {
	return catalogue.Rule{ID: rule.GetId()}.Family()
}

// cell is the checks of one RPC and one family.
type cell struct{ rpc, family string }

func matrixOf(r *conformancev1.Report) matrixView {
	var v matrixView
	cells := map[cell][]*conformancev1.CheckResult{}
	rows := map[string]bool{}
	for _, rule := range r.GetRules() {
		family := familyOf(rule)
		if len(v.Heads) == 0 || v.Heads[len(v.Heads)-1].ID != family {
			v.Heads = append(v.Heads, familyView{ID: family, Title: rule.GetFamily()})
		}
		for _, c := range rule.GetChecks() {
			rpcs := c.GetRpcs()
			if len(rpcs) == 0 {
				rpcs = []string{""}
			}
			for _, rpc := range rpcs {
				cells[cell{rpc, family}] = append(cells[cell{rpc, family}], c)
				rows[rpc] = true
			}
		}
	}
	for _, rpc := range append(catalogue.RPCs(), "") {
		if !rows[string(rpc)] {
			continue
		}
		service, method, _ := strings.Cut(rpc.String(), "/")
		row := rowView{Service: service, Method: method}
		for _, head := range v.Heads {
			row.Cells = append(row.Cells, cellOf(head.ID, cells[cell{string(rpc), head.ID}]))
		}
		v.Rows = append(v.Rows, row)
	}
	return v
}

// cellOf is a cell with the worst of its checks, and how many they are.
func cellOf(family string, checks []*conformancev1.CheckResult) cellView {
	if len(checks) == 0 {
		return cellView{}
	}
	worst := checks[0]
	counts := map[conformancev1.ResultStatus]int{}
	for _, c := range checks {
		if counts[c.GetStatus()]++; badness(c) > badness(worst) {
			worst = c
		}
	}
	status := worst.GetStatus()
	v := cellView{Href: "#family-" + family, Status: wordOf(status), Sign: fmt.Sprintf("%s %d", signs[status], len(checks))}
	if anchor := anchorOf(worst); anchor != "" {
		v.Href = "#" + anchor
	}
	if n := counts[status]; n < len(checks) {
		v.Sign = fmt.Sprintf("%s %d/%d", signs[status], n, len(checks))
	}
	var said []string
	for _, s := range statuses() {
		if counts[s] > 0 {
			said = append(said, fmt.Sprintf("%d %s", counts[s], wordOf(s)))
		}
	}
	v.Said = strings.Join(said, ", ")
	return v
}
