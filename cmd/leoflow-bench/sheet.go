package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/neochaotic/leoflow/internal/bench"
)

// sheet is a table of results.
type sheet struct {
	heads []string
	lines [][]string
}

func (s *sheet) add(cells ...string) { s.lines = append(s.lines, cells) }

// write writes it as a table for people, or as one of Markdown.
func (s *sheet) write(to io.Writer, form string) error {
	if form == formMarkdown {
		return s.markdown(to)
	}
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, line := range append([][]string{s.heads}, s.lines...) {
		fmt.Fprintln(w, strings.Join(line, "\t")+"\t")
	}
	return w.Flush()
}

func (s *sheet) markdown(to io.Writer) error {
	rules := make([]string, len(s.heads))
	for i := range rules {
		rules[i] = "--:"
	}
	for _, line := range append([][]string{s.heads, rules}, s.lines...) {
		if _, err := fmt.Fprintf(to, "| %s |\n", strings.Join(line, " | ")); err != nil {
			return err
		}
	}
	return nil
}

// The forms of results.
const (
	formJSON     = "json"
	formMarkdown = "markdown"
)

// form is the flag of the form.
type form struct {
	Output string `short:"o" default:"table" enum:"table,json,markdown" placeholder:"FORM" help:"Form of the results: table, json or markdown; by default ${default}."`
}

// show writes results as JSON, or as that sheet.
func (f form) show(con *console, results any, s *sheet) error {
	switch f.Output {
	case formJSON:
	case formMarkdown:
		fmt.Fprintf(con.out, "On %s, at %s:\n\n", bench.Machine(), time.Now().UTC().Format(time.DateOnly))
		return s.write(con.out, f.Output)
	default:
		return s.write(con.out, f.Output)
	}
	enc := json.NewEncoder(con.out)
	enc.SetIndent("", "  ")
	return enc.Encode(results)
}
