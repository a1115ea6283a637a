// Command mutantagent is the agent that its argument names, one of those of
// internal/mutants/agents; "none" is one without a fault.
package main

import (
	"fmt"
	"os"

	"github.com/neochaotic/leoflow/internal/mutants/agents"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "mutantagent: give the name of a mutant")
		os.Exit(2)
	}
	code, err := agents.Run(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutantagent:", err)
	}
	os.Exit(code)
}
