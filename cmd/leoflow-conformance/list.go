package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/neochaotic/leoflow/conformance/catalogue"
	"github.com/neochaotic/leoflow/internal/terminal"
)

// shortStatement is how much of a statement a table shows, in cells of a terminal.
const shortStatement = 76

type listCmd struct {
	Family   string `placeholder:"FAMILY" help:"Only rules of this family, such as STATE or A-RUN."`
	Level    string `placeholder:"LEVEL" help:"Only rules of this level: ${levels}."`
	Side     string `placeholder:"SIDE" help:"Only rules that bind this side: ${sides}."`
	RPC      string `name:"rpc" placeholder:"METHOD" help:"Only rules that concern this RPC, such as Heartbeat."`
	Evidence string `placeholder:"CLASS" help:"Only rules of this class of evidence: ${evidences}."`
	Output   string `short:"o" default:"table" enum:"table,json,markdown" placeholder:"FORM" help:"Form of the output: table, for people; json, an array of rules; or markdown, the page of all rules. By default ${default}."`
}

// Help shows what is usually wanted.
func (listCmd) Help() string {
	return `What a test of an implementation has to look at, for one RPC:

  leoflow-conformance list --rpc Heartbeat --level must

The same for a program:

  leoflow-conformance list --side agent -o json`
}

// Run prints the rules that the flags choose.
func (l listCmd) Run(con *console) error {
	filter, err := l.filter(con.rules)
	if err != nil {
		return badUsage{err}
	}
	rules := con.rules.Rules(filter)
	switch l.Output {
	case "markdown":
		if filter != (catalogue.Filter{}) {
			return badUsage{errors.New("-o markdown is the page of all rules: leave the filters out, or use -o table or json")}
		}
		return con.write(con.rules.Markdown())
	case "json":
		text, err := json.MarshalIndent(rules, "", "  ")
		if err != nil {
			return fmt.Errorf("the rules cannot be told as JSON: %w", err)
		}
		return con.write(string(text) + "\n")
	}
	return con.write(tableOf(rules).String())
}

func (l listCmd) filter(rules *catalogue.Catalogue) (out catalogue.Filter, err error) {
	if out.Level, err = choice("--level", l.Level, catalogue.Levels()); err != nil {
		return out, err
	}
	if out.Side, err = choice("--side", l.Side, catalogue.Sides()); err != nil {
		return out, err
	}
	if out.Evidence, err = choice("--evidence", l.Evidence, catalogue.Evidences()); err != nil {
		return out, err
	}
	if l.Family != "" {
		family, err := rules.Family(strings.ToUpper(l.Family))
		if err != nil {
			return out, fmt.Errorf("--family: %w", err)
		}
		out.Family = family.ID
	}
	if l.RPC != "" {
		if out.RPC, err = catalogue.FindRPC(l.RPC); err != nil {
			return out, fmt.Errorf("--rpc: %w", err)
		}
	}
	return out, nil
}

// choice is the value that a flag names; empty: it names none.
func choice[T ~string](flag, given string, known []T) (T, error) {
	value := T(strings.ToLower(given))
	if given == "" || slices.Contains(known, value) {
		return value, nil
	}
	return "", fmt.Errorf("%s is %q: give %s", flag, given, either(known))
}

// either names values as one of them: "a, b or c".
func either[T ~string](values []T) string {
	var b strings.Builder
	for i, v := range values {
		switch i {
		case 0:
		case len(values) - 1:
			b.WriteString(" or ")
		default:
			b.WriteString(", ")
		}
		b.WriteString(string(v))
	}
	return b.String()
}

func tableOf(rules []catalogue.Rule) terminal.Table {
	out := terminal.Table{{"RULE", "LEVEL", "SIDE", "EVIDENCE", "NEEDS", "STATEMENT"}}
	for _, r := range rules {
		needs := "-"
		if len(r.Needs) > 0 {
			needs = strings.Join(r.Needs, ",")
		}
		out = append(out, []string{
			r.ID, string(r.Level), string(r.Side), string(r.Evidence), needs, terminal.Shorten(r.Statement, shortStatement),
		})
	}
	return out
}
