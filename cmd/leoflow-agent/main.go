// Command leoflow-agent runs one attempt of one task, as its environment says.
package main

import (
	"fmt"
	"os"

	"github.com/neochaotic/leoflow/internal/agent"
)

var version = "dev" // set by the linker

func main() {
	code, err := agent.Standalone(version, "")
	if err != nil {
		fmt.Fprintln(os.Stderr, "leoflow-agent:", err)
	}
	os.Exit(code)
}
