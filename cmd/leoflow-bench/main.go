// Command leoflow-bench puts load on a control plane over the public wire, and compares
// servers of ours with the limit of the transport. It may import internal/bench, and
// internal/server and internal/auth to have servers to compare.
package main

import "os"

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }
