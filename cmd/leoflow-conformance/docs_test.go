package main

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// quoted finds the words of a command line.
var quoted = regexp.MustCompile(`'[^']*'|"[^"]*"|\S+`)

// told returns the arguments of each leoflow-conformance that a text runs. Lines that end
// in a backslash go on in the next one.
func told(text string) [][]string {
	var out [][]string
	for line := range strings.Lines(strings.ReplaceAll(text, "\\\n", " ")) {
		line, _, _ = strings.Cut(strings.TrimSpace(line), " #")
		line = strings.ReplaceAll(line, "go run ./cmd/leoflow-conformance", "leoflow-conformance")
		rest, ok := strings.CutPrefix(strings.TrimPrefix(line, "bin/"), "leoflow-conformance ")
		if !ok {
			continue
		}
		rest, _, _ = strings.Cut(rest, " > ")
		var args []string
		for _, word := range quoted.FindAllString(rest, -1) {
			args = append(args, strings.Trim(word, `'"`))
		}
		out = append(out, args)
	}
	return out
}

// steps are the commands of a workflow for others.
func steps(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var workflow struct {
		Jobs map[string]struct {
			Steps []struct {
				Run string `yaml:"run"`
			} `yaml:"steps"`
		} `yaml:"jobs"`
	}
	if err := yaml.Unmarshal(text, &workflow); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	var out []string
	for _, job := range workflow.Jobs {
		for _, step := range job.Steps {
			out = append(out, step.Run)
		}
	}
	return strings.Join(out, "\n")
}

func TestEveryCommandThatIsShownIsOne(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatalf("no page is found: %v", err)
	}
	const workflow = "../../examples/ci/conformance.yml"
	texts := map[string]string{workflow: steps(t, workflow)}
	for _, path := range append(pages, "../../README.md", "../../CONTRIBUTING.md") {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		texts[path] = string(text)
	}
	found := map[string]int{}
	for path, text := range texts {
		for _, args := range told(text) {
			found[args[0]]++
			parser, err := newParser(&cli{}, io.Discard, io.Discard, func(int) {})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := parser.Parse(args); err != nil {
				t.Errorf("%s: leoflow-conformance %s: %v", path, strings.Join(args, " "), err)
			}
		}
	}
	for _, command := range []string{"server", "agent", "list", "explain", "prepare"} {
		if found[command] == 0 {
			t.Errorf("no page shows leoflow-conformance %s", command)
		}
	}
}
