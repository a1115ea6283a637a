package main

import (
	"fmt"
	"io"
	"path"

	"golang.org/x/tools/cover"
)

// share is how much of a package ran.
type share struct{ ran, all int }

func (s share) percent() float64 {
	if s.all == 0 {
		return 0
	}
	return 100 * float64(s.ran) / float64(s.all)
}

// judge prints the share of each package and returns how many are below the floor.
func judge(out io.Writer, profiles []*cover.Profile, packages []string, floor float64) (low int) {
	shares := map[string]share{}
	for _, p := range profiles {
		s := shares[path.Dir(p.FileName)]
		for _, b := range p.Blocks {
			s.all += b.NumStmt
			if b.Count > 0 {
				s.ran += b.NumStmt
			}
		}
		shares[path.Dir(p.FileName)] = s
	}
	for _, name := range packages {
		s := shares[name]
		verdict := "ok"
		if s.all == 0 || s.percent() < floor {
			verdict = fmt.Sprintf("below %g %%", floor)
			low++
		}
		fmt.Fprintf(out, "%-60s %5.1f %% of %d statements: %s\n", name, s.percent(), s.all, verdict)
	}
	return low
}
