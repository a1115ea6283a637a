// Command testcount reads the output of `go test -json`, shows one line a package
// and the whole output of every test that failed, and counts tests, subtests
// included. A package that fails without a failing test counts as one failure.
//
// It may import the standard library only.
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	counts := flag.String("counts", "", "write the two numbers to this `file`, instead of a closing line")
	noSkips := flag.Bool("no-skips", false, "count a skipped test as failed")
	flag.Parse()
	t := newTally(os.Stdout)
	if err := t.readAll(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "testcount:", err)
		os.Exit(2)
	}
	passed, failed := t.finish(*noSkips)
	if *counts == "" {
		fmt.Printf("%d passed, %d failed\n", passed, failed)
	} else {
		if err := os.WriteFile(*counts, fmt.Appendf(nil, "%d %d\n", passed, failed), 0o600); err != nil {
			fmt.Fprintln(os.Stderr, "testcount:", err)
			os.Exit(2)
		}
	}
	if failed > 0 || passed == 0 {
		os.Exit(1)
	}
}
