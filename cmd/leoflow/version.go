package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

var version = "" // set by the linker; empty: what the build knows

type versionCmd struct{}

// Run prints the version.
func (versionCmd) Run(con *console) error {
	_, err := fmt.Fprintf(con.out, "leoflow %s (%s, %s/%s)\n", currentVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}

// currentVersion is the linker's word, else the module's version or the commit.
func currentVersion() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "dev"
	}
	return info.Main.Version
}
