package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// event is one line of `go test -json`; see `go doc test2json`.
type event struct {
	Action     string
	Package    string
	ImportPath string // of build events
	Test       string
	Output     string
	Elapsed    float64 // seconds
}

// test names one test; an empty name is the package itself.
type test struct{ pkg, name string }

// packageCount is what became of the tests of one package.
type packageCount struct{ passed, failed, skipped int }

// tally adds up events. Output of a test is held back until it is known to matter.
type tally struct {
	out      io.Writer
	output   map[test]*strings.Builder
	running  map[test]bool
	packages map[string]*packageCount
	skipped  []string
}

func newTally(out io.Writer) *tally {
	return &tally{
		out:      out,
		output:   map[test]*strings.Builder{},
		running:  map[test]bool{},
		packages: map[string]*packageCount{},
	}
}

// readAll takes events until r ends. A line that is no event is shown as it is.
func (t *tally) readAll(r io.Reader) error {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		var e event
		switch {
		case len(line) == 0:
		case json.Unmarshal(line, &e) != nil:
			fmt.Fprintf(t.out, "%s", line)
		default:
			t.add(e)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read events: %w", err)
		}
	}
}

func (t *tally) add(e event) {
	key := test{e.Package, e.Test}
	switch e.Action {
	case "build-output":
		fmt.Fprint(t.out, e.Output)
	case "start":
		t.count(e.Package)
	case "run":
		t.running[key] = true
	case "output":
		if t.output[key] == nil {
			t.output[key] = &strings.Builder{}
		}
		t.output[key].WriteString(e.Output)
	case "pass", "fail", "skip":
		if e.Test == "" {
			t.endPackage(e)
			return
		}
		t.endTest(key, e.Action)
	}
}

func (t *tally) count(pkg string) *packageCount {
	if t.packages[pkg] == nil {
		t.packages[pkg] = &packageCount{}
	}
	return t.packages[pkg]
}

func (t *tally) endTest(key test, action string) {
	delete(t.running, key)
	c := t.count(key.pkg)
	switch action {
	case "pass":
		c.passed++
	case "skip":
		c.skipped++
		t.skipped = append(t.skipped, key.pkg+" "+key.name)
	case "fail":
		c.failed++
		t.show(key)
	}
	delete(t.output, key)
}

// endPackage closes the account of a package. A test that began and never ended,
// as under a panic or a time-out, has failed.
func (t *tally) endPackage(e event) {
	for _, key := range sorted(t.running) {
		if key.pkg == e.Package {
			t.endTest(key, "fail")
		}
	}
	c := t.count(e.Package)
	if e.Action == "fail" {
		if c.failed == 0 {
			c.failed++
		}
		t.show(test{pkg: e.Package})
	}
	delete(t.output, test{pkg: e.Package})
	if *c != (packageCount{}) {
		fmt.Fprintf(t.out, "%-4s %s  %d passed, %d failed, %d skipped  %.1fs\n", e.Action, e.Package, c.passed, c.failed, c.skipped, e.Elapsed)
	}
}

func (t *tally) show(key test) {
	if b := t.output[key]; b != nil {
		fmt.Fprint(t.out, b.String())
	}
}

// finish adds everything up, after the last event. A package that never ended has failed.
func (t *tally) finish(noSkips bool) (passed, failed int) {
	for _, key := range sorted(t.running) {
		fmt.Fprintf(t.out, "%s %s never ended\n", key.pkg, key.name)
		t.endTest(key, "fail")
	}
	for _, c := range t.packages {
		passed += c.passed
		failed += c.failed
	}
	for _, name := range t.skipped {
		fmt.Fprintln(t.out, "skipped:", name)
	}
	if noSkips {
		failed += len(t.skipped)
	}
	return passed, failed
}

func sorted(tests map[test]bool) []test {
	return slices.SortedFunc(maps.Keys(tests), func(a, b test) int {
		return strings.Compare(a.pkg+"\x00"+a.name, b.pkg+"\x00"+b.name)
	})
}
