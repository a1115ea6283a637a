package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

var version = "" // set by the linker; empty: what the build knows

type versionCmd struct {
	outputFlags
}

// Help teaches by example.
func (versionCmd) Help() string {
	return `Tell which version this is, and what it was built with:

  leoflow version -o json`
}

// build is what a program knows of itself.
type build struct {
	Version  string `json:"version"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// Run prints the version.
func (c *versionCmd) Run(con *console) error {
	b := build{currentVersion(), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
	if c.Output == "json" {
		return c.print(con, b, nil)
	}
	return writeOut(con.out, fmt.Sprintf("leoflow %s (%s, %s)\n", b.Version, b.Go, b.Platform))
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
