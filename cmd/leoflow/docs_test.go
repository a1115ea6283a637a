package main

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/neochaotic/leoflow/internal/pipeline/file"
)

// docs are the pages whose blocks are tried.
func docs(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no page is found: %v", err)
	}
	pages := map[string]string{}
	for _, path := range append(paths, "../../README.md") {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		pages[filepath.Base(path)] = string(text)
	}
	return pages
}

// blocks are the fenced blocks of a page in a language.
func blocks(page, language string) []string {
	var out []string
	for _, m := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(page, -1) {
		out = append(out, m[1])
	}
	return out
}

var words = regexp.MustCompile(`"[^"]*"|\S+`)

// commandOf is the command line of a line of a shell block; nil where it calls no
// leoflow.
func commandOf(line string) []string {
	line, _, _ = strings.Cut(line, " #")
	line = strings.TrimPrefix(strings.TrimSpace(line), "export LEOFLOW_TOKEN=$(")
	line = strings.TrimSuffix(line, ")")
	line = strings.ReplaceAll(line, "go run ./cmd/leoflow ", "leoflow ")
	line = strings.TrimPrefix(line, "bin/")
	rest, ok := strings.CutPrefix(line, "leoflow ")
	if !ok {
		return nil
	}
	var args []string
	for _, word := range words.FindAllString(rest, -1) {
		args = append(args, strings.Trim(word, `"`))
	}
	return args
}

func TestEveryCommandOfThePagesIsOne(t *testing.T) {
	n := 0
	for name, page := range docs(t) {
		for _, block := range blocks(page, "sh") {
			block = strings.ReplaceAll(block, "\\\n", " ")
			for line := range strings.Lines(block) {
				args := commandOf(line)
				if args == nil {
					continue
				}
				n++
				parser, err := newParser(&cli{}, io.Discard, io.Discard)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := parser.Parse(args); err != nil {
					t.Errorf("%s: leoflow %s: %v", name, strings.Join(args, " "), err)
				}
			}
		}
	}
	if n < 15 {
		t.Errorf("%d commands are found in the pages, and there are more", n)
	}
}

func TestEveryPipelineOfThePagesIsValid(t *testing.T) {
	n := 0
	for name, page := range docs(t) {
		for _, block := range blocks(page, "yaml") {
			path := filepath.Join(t.TempDir(), "page.yaml")
			n++
			if err := os.WriteFile(path, []byte(block), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := file.Load(path); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if n == 0 {
		t.Error("no pipeline is found in the pages")
	}
}

// TestThePipelinesOfThePageRun runs them as who follows the page does, in a folder of
// their own, the modules beside them.
func TestThePipelinesOfThePageRun(t *testing.T) {
	needPython(t)
	page, dir := docs(t)["pipelines.md"], t.TempDir()
	for _, module := range blocks(page, "python") {
		name, _, _ := strings.Cut(strings.TrimPrefix(module, "# "), ",")
		writeFile(t, filepath.Join(dir, name), module)
	}
	path := filepath.Join(dir, "page.yaml")
	var out string
	for _, pipeline := range blocks(page, "yaml") {
		writeFile(t, path, pipeline)
		got := leoflow(t, "run", "--var", "region=equator", path)
		got.wantCode(t, exitOK)
		out += got.out
	}
	for _, line := range []string{`of ["Oslo", "Quito"] the north is Oslo`, `equator: [{"sky": "clear"},{"sky": "rain"}]`, "weather: 4 success, 1 skipped in ", "square: 2 success in "} {
		if !strings.Contains(out, line) {
			t.Errorf("no line %q:\n%s", line, out)
		}
	}
}

// What the page of troubles quotes is said somewhere.
func TestEveryTroubleIsSaidBySomeSource(t *testing.T) {
	quotes := regexp.MustCompile("(?m)^### `(.*)`$").FindAllStringSubmatch(docs(t)["troubleshooting.md"], -1)
	if len(quotes) < 10 {
		t.Fatalf("%d titles are found, and there are more", len(quotes))
	}
	var sources strings.Builder
	err := filepath.WalkDir("../..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		sources.Write(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, quote := range quotes {
		if !strings.Contains(sources.String(), quote[1]) {
			t.Errorf("no source says %q", quote[1])
		}
	}
}

var link = regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)

func TestEveryLinkOfThePagesLeadsSomewhere(t *testing.T) {
	for name, page := range docs(t) {
		root := "../../docs"
		if name == "README.md" {
			root = "../.."
		}
		for _, m := range link.FindAllStringSubmatch(page, -1) {
			if _, err := os.Stat(filepath.Join(root, m[1])); err != nil {
				t.Errorf("%s links to %s: %v", name, m[1], err)
			}
		}
	}
}
