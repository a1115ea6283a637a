// Command leoflow-conformance tells the rules of the agent protocol, and judges who keeps
// them.
package main

import "os"

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }
