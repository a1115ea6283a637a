package main

import (
	"strings"
	"testing"
)

func TestTally(t *testing.T) {
	for _, c := range []struct {
		name           string
		in             []string
		noSkips        bool
		passed, failed int
		shows, hides   []string
	}{
		{
			name: "passes are counted with their subtests, and silent",
			in: []string{
				`{"Action":"start","Package":"p"}`,
				`{"Action":"run","Package":"p","Test":"TestA"}`,
				`{"Action":"output","Package":"p","Test":"TestA","Output":"chatter\n"}`,
				`{"Action":"run","Package":"p","Test":"TestA/sub"}`,
				`{"Action":"pass","Package":"p","Test":"TestA/sub"}`,
				`{"Action":"pass","Package":"p","Test":"TestA"}`,
				`{"Action":"output","Package":"p","Output":"ok  p\n"}`,
				`{"Action":"pass","Package":"p","Elapsed":1.5}`,
			},
			passed: 2, shows: []string{"pass p  2 passed, 0 failed, 0 skipped  1.5s"}, hides: []string{"chatter"},
		},
		{
			name: "a failure shows its output",
			in: []string{
				`{"Action":"run","Package":"p","Test":"TestA"}`,
				`{"Action":"output","Package":"p","Test":"TestA","Output":"the reason\n"}`,
				`{"Action":"fail","Package":"p","Test":"TestA"}`,
				`{"Action":"fail","Package":"p"}`,
			},
			failed: 1, shows: []string{"the reason"},
		},
		{
			name: "a panic fails what was running",
			in: []string{
				`{"Action":"run","Package":"p","Test":"TestA"}`,
				`{"Action":"run","Package":"p","Test":"TestB"}`,
				`{"Action":"output","Package":"p","Test":"TestB","Output":"panic: oh\n"}`,
				`{"Action":"fail","Package":"p"}`,
			},
			failed: 2, shows: []string{"panic: oh"},
		},
		{
			name: "a package that does not build is one failure",
			in: []string{
				`{"ImportPath":"p [p.test]","Action":"build-output","Output":"p.go:1: nonsense\n"}`,
				`{"ImportPath":"p [p.test]","Action":"build-fail"}`,
				`{"Action":"start","Package":"p"}`,
				`{"Action":"output","Package":"p","Output":"FAIL p [build failed]\n"}`,
				`{"Action":"fail","Package":"p","FailedBuild":"p [p.test]"}`,
			},
			failed: 1, shows: []string{"nonsense", "build failed"},
		},
		{
			name: "a skip is named and no success",
			in: []string{
				`{"Action":"run","Package":"p","Test":"TestA"}`,
				`{"Action":"skip","Package":"p","Test":"TestA"}`,
				`{"Action":"pass","Package":"p"}`,
			},
			shows: []string{"skipped: p TestA"},
		},
		{
			name: "a skip fails where none may skip",
			in: []string{
				`{"Action":"run","Package":"p","Test":"TestA"}`,
				`{"Action":"skip","Package":"p","Test":"TestA"}`,
				`{"Action":"pass","Package":"p"}`,
			},
			noSkips: true, failed: 1, shows: []string{"skipped: p TestA"},
		},
		{
			name:   "a package without tests says nothing",
			in:     []string{`{"Action":"start","Package":"p"}`, `{"Action":"skip","Package":"p"}`},
			hides:  []string{"p"},
			passed: 0,
		},
		{
			name:   "a stream that breaks off fails what was running",
			in:     []string{`{"Action":"run","Package":"p","Test":"TestA"}`},
			failed: 1, shows: []string{"p TestA never ended"},
		},
		{
			name:  "what is no event is shown",
			in:    []string{`go: something else`},
			shows: []string{"go: something else"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out strings.Builder
			tally := newTally(&out)
			if err := tally.readAll(strings.NewReader(strings.Join(c.in, "\n"))); err != nil {
				t.Fatal(err)
			}
			passed, failed := tally.finish(c.noSkips)
			if passed != c.passed || failed != c.failed {
				t.Errorf("%d passed, %d failed; want %d, %d", passed, failed, c.passed, c.failed)
			}
			for _, s := range c.shows {
				if !strings.Contains(out.String(), s) {
					t.Errorf("the output lacks %q:\n%s", s, out.String())
				}
			}
			for _, s := range c.hides {
				if strings.Contains(out.String(), s) {
					t.Errorf("the output holds %q:\n%s", s, out.String())
				}
			}
		})
	}
}
