package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/neochaotic/leoflow/conformance/catalogue"
	"github.com/neochaotic/leoflow/internal/terminal"
)

// textWidth is how wide explanations are, in cells of a terminal.
const textWidth = 80

type explainCmd struct {
	Rules []string `arg:"" name:"rule" help:"Id of a rule, such as STATE-4."`
}

// Help shows what is usually wanted.
func (explainCmd) Help() string {
	return `  leoflow-conformance explain STATE-4
  leoflow-conformance explain a-run-1 a-run-2`
}

// Run explains each of the rules, or none if one of them is not there.
func (e explainCmd) Run(con *console) error {
	texts := make([]string, len(e.Rules))
	for i, id := range e.Rules {
		rule, err := con.rules.Rule(strings.ToUpper(id))
		if err != nil {
			return badUsage{fmt.Errorf("%w; see leoflow-conformance list", err)}
		}
		texts[i] = explain(con.rules, rule)
	}
	return con.write(strings.Join(texts, "\n"))
}

func explain(rules *catalogue.Catalogue, r catalogue.Rule) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s · %s · %s · since edition %d\n", r.ID, r.Level, r.Side, r.Since)
	section := func(title string, paragraphs ...string) {
		if title != "" {
			fmt.Fprintf(&b, "\n%s\n", title)
		} else {
			b.WriteString("\n")
		}
		for _, p := range paragraphs {
			b.WriteString(wrap(p, "  "))
		}
	}
	section("", r.Statement)
	section("Why", r.Rationale)
	section("Evidence", string(r.Evidence)+": "+meaning(rules.Evidence(), string(r.Evidence)))
	section("RPCs", r.Scope())
	if len(r.Needs) > 0 {
		var needs []string
		for _, ability := range r.Needs {
			needs = append(needs, ability+": "+meaning(rules.Abilities(), ability))
		}
		section("Binds only who has", needs...)
	}
	if len(r.Options) > 0 {
		section("In the protos", "leoflow.policy.v1: "+strings.Join(r.Options, ", "))
	}
	if len(r.Tests) > 0 {
		section("Held by", r.Tests...)
	}
	return b.String()
}

func meaning(terms []catalogue.Term, id string) string {
	i := slices.IndexFunc(terms, func(t catalogue.Term) bool { return t.ID == id })
	return terms[i].Meaning
}

// wrap breaks a text into lines, each of them indented, at its spaces.
func wrap(text, indent string) string {
	var b strings.Builder
	used := 0
	for _, word := range strings.Fields(text) {
		switch width := terminal.Cells(word); {
		case used == 0:
			b.WriteString(indent + word)
			used = terminal.Cells(indent) + width
		case used+1+width > textWidth:
			b.WriteString("\n" + indent + word)
			used = terminal.Cells(indent) + width
		default:
			b.WriteString(" " + word)
			used += 1 + width
		}
	}
	return b.String() + "\n"
}
