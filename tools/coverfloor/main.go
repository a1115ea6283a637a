// Command coverfloor reads the profile that `go test -coverprofile` writes and fails
// when a package's tests run fewer of its statements than they must.
//
//	coverfloor -profile FILE -floor 85 MODULE/internal/store …
//
// A package that the profile does not have fails too. It imports nothing of ours.
package main

import (
	"flag"
	"fmt"
	"os"

	"golang.org/x/tools/cover"
)

func main() {
	profile := flag.String("profile", "", "the `file` that go test wrote")
	floor := flag.Float64("floor", 85, "the least share of statements, in `percent`")
	flag.Parse()
	profiles, err := cover.ParseProfiles(*profile)
	if err != nil {
		fmt.Fprintln(os.Stderr, "coverfloor:", err)
		os.Exit(2)
	}
	if low := judge(os.Stdout, profiles, flag.Args(), *floor); low > 0 {
		fmt.Fprintf(os.Stderr, "coverfloor: %d of %d packages are below %g %%: test what they lack\n", low, flag.NArg(), *floor)
		os.Exit(1)
	}
}
