package main

import (
	"os"
	"path/filepath"

	"github.com/alecthomas/kong"

	"github.com/neochaotic/leoflow/cmd/leoflow/internal/reference"
)

//go:generate go run . reference ../../docs/reference/commands.md

// referenceCmd is what make generate calls.
type referenceCmd struct {
	File string `arg:"" help:"The page to write."`
}

// Run writes the reference page.
func (c *referenceCmd) Run(app *kong.Kong) error {
	if err := os.MkdirAll(filepath.Dir(c.File), 0o755); err != nil { //nolint:gosec // for everybody to read, as the page
		return err
	}
	return os.WriteFile(c.File, []byte(reference.Page(app.Model)), 0o644) //nolint:gosec // for everybody to read
}
