// Command leoflow runs pipelines, and serves the control plane that they run on.
package main

import "os"

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }
