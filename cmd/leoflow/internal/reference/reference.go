// Package reference writes the reference page of a program's commands out of the model
// that kong parses them by: what the page says is what the program does.
//
// Of ours it imports configfile, for the names of keys.
package reference

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/neochaotic/leoflow/cmd/leoflow/internal/configfile"
)

// Config is a configuration file, as the page shows one.
const Config = `server: leoflow.example.org:7400   # the commands that share a flag are all told
ca: /etc/leoflow/ca.pem
token-file: /home/ada/.leoflow-token
output: json
commands:
  run:                             # one command alone
    parallel: 4
    var: [region=eu, "note=a, b"]
  runs:
    list:
      limit: 20
      output: table                # goes before the shared one
`

// Page returns the page, in Markdown.
func Page(app *kong.Application) string {
	var p page
	p.add("# Commands of %s", app.Name)
	p.add("<!-- Written by make generate from cmd/leoflow. Do not edit. -->")
	p.prose(app.Help)
	p.add("## Configuration file")
	p.add("A key is the name of a flag. At the top are the flags that several commands share; below `commands` each command has a section for any of its flags. " +
		"Text, numbers and durations are written as on the command line, and relative paths are likewise those of the directory that the command is called in; what may be given again is a list. " +
		"The whole file is checked, whichever command is called. It must not be for everybody to write, and for nobody else to use if it holds `token`, `var` or `connection`.")
	p.add("```yaml\n%s```", Config)
	p.add("## All commands")
	p.add("Every command has these flags:")
	p.flags(app, app.Node)
	for _, command := range app.Leaves(true) {
		p.command(app, command)
	}
	return strings.Join(p, "\n\n") + "\n"
}

// page is the paragraphs of the page.
type page []string

func (p *page) add(format string, args ...any) { *p = append(*p, fmt.Sprintf(format, args...)) }

// prose adds the text of a help: what is indented there is what one types.
func (p *page) prose(text string) {
	for paragraph := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		if !strings.HasPrefix(paragraph, "  ") {
			*p = append(*p, plain(paragraph))
			continue
		}
		lines := strings.Split(paragraph, "\n")
		for i, line := range lines {
			lines[i] = strings.TrimPrefix(line, "  ")
		}
		*p = append(*p, "```sh\n"+strings.Join(lines, "\n")+"\n```")
	}
}

func (p *page) command(app *kong.Application, command *kong.Node) {
	p.add("### %s", command.FullPath())
	p.prose(command.Help)
	p.add("```\n%s %s\n```", app.Name, strings.TrimSpace(command.Summary()))
	p.prose(command.Detail)
	if len(command.Positional) > 0 {
		rows := []string{"| argument | what it is |", "|---|---|"}
		for _, argument := range command.Positional {
			rows = append(rows, row(code(argument.Summary()), cell(argument.Help)))
		}
		p.add("%s", strings.Join(rows, "\n"))
	}
	p.flags(app, command)
}

// flags adds the table of the flags of a command, or of the program.
func (p *page) flags(app *kong.Application, command *kong.Node) {
	rows := []string{"| flag | default | variable | key | what it is |", "|---|---|---|---|---|"}
	for _, flag := range command.Flags {
		if flag.Hidden {
			continue
		}
		name := code(flag.Summary())
		if flag.Short != 0 {
			name = code("-"+string(flag.Short)) + ", " + name
		}
		key := ""
		if command.Type != kong.ApplicationNode {
			key, _ = configfile.Key(app, command, flag)
		}
		rows = append(rows, row(name, code(flag.Default), code(strings.Join(flag.Envs, " ")), code(key), cell(flag.Help)))
	}
	if len(rows) > 2 {
		p.add("%s", strings.Join(rows, "\n"))
	}
}

func row(cells ...string) string { return "| " + strings.Join(cells, " | ") + " |" }

// code is text as it is typed; empty: nothing.
func code(text string) string {
	if text == "" {
		return ""
	}
	return "`" + strings.ReplaceAll(text, "|", `\|`) + "`"
}

func cell(text string) string { return strings.ReplaceAll(plain(text), "|", `\|`) }

// plain is text that Markdown takes for nothing else.
func plain(text string) string {
	return strings.NewReplacer("<", "&lt;", "*", `\*`, "`", "\\`").Replace(strings.ReplaceAll(text, "\n", " "))
}
