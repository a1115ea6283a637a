package main

import (
	"github.com/alecthomas/kong"

	"github.com/neochaotic/leoflow/cmd/leoflow/internal/completion"
)

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"The shell: bash, zsh or fish."`
}

// Help teaches by example.
func (completionCmd) Help() string {
	return `Complete commands, flags and their values in this shell, if it is bash:

  source <(leoflow completion bash)

In every bash to come:

  leoflow completion bash >~/.local/share/bash-completion/completions/leoflow

In every zsh, if ~/.zfunc is in its fpath, and in every fish:

  leoflow completion zsh >~/.zfunc/_leoflow
  leoflow completion fish >~/.config/fish/completions/leoflow.fish`
}

// Run prints a script.
func (c *completionCmd) Run(con *console) error {
	script, err := completion.Script(c.Shell)
	if err != nil {
		return badInput{err}
	}
	return writeOut(con.out, script)
}

// completeCmd is what the scripts call.
type completeCmd struct {
	Words []string `arg:"" optional:"" help:"The words of the command line after the program, up to the one under way."`
}

// Run answers what the last word may become.
func (c *completeCmd) Run(con *console, app *kong.Kong) error {
	return completion.Complete(app.Model, c.Words).Write(con.out)
}
