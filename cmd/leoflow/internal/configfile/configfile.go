// Package configfile has a YAML file stand for the flags of a command line that kong
// parses. A key is the name of a flag, without the dashes:
//
//	server: 127.0.0.1:7400    # a flag that several commands share
//	commands:                 # flags of one command; they go before the shared ones
//	  run:
//	    parallel: 4
//	  runs:
//	    list:
//	      limit: 20
//
// A flag is shared when its variable of the environment names no command: with the
// program leoflow, --server is shared where its variable is LEOFLOW_SERVER. What the
// command line or the environment says goes before the file.
//
// It imports nothing of ours.
package configfile

import (
	"fmt"
	"os"
	"strings"

	"github.com/alecthomas/kong"
)

// sections is the key below which the flags of one command are.
const sections = "commands"

// Error is the first thing to mend in a file.
type Error struct {
	Path            string
	Line            int // from 1; 0: the file as a whole
	Problem, Remedy string
}

// Error is one line, such as: config.yaml:3: unknown key "sever"; see leoflow --help
func (e *Error) Error() string {
	place := e.Path
	if e.Line > 0 {
		place = fmt.Sprintf("%s:%d", e.Path, e.Line)
	}
	return fmt.Sprintf("%s: %s; %s", place, e.Problem, e.Remedy)
}

// File is what a file says of the flags of a program. It is a kong.Resolver.
type File struct {
	path   string
	values map[*kong.Flag]setting
}

// setting is what the file says of a flag.
type setting struct {
	value any // a string, or a list of them
	line  int
}

var _ kong.Resolver = (*File)(nil)

// Validate has nothing left to do: Load checked the file.
func (*File) Validate(*kong.Application) error { return nil }

// Resolve returns the value of a flag; nil: the file says nothing, or the environment
// goes before it.
func (f *File) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	for _, env := range flag.Envs {
		if _, ok := os.LookupEnv(env); ok {
			return nil, nil
		}
	}
	if s, ok := f.values[flag]; ok {
		return s.value, nil
	}
	return nil, nil
}

// Place tells where the file speaks of a flag, as path and line.
func (f *File) Place(flag *kong.Flag) string {
	return fmt.Sprintf("%s:%d", f.path, f.values[flag].line)
}

// Key returns where a flag of a command is set: at the top, as shared tells, or in the
// section of the command; keys are joined by dots.
func Key(app *kong.Application, command *kong.Node, flag *kong.Flag) (key string, shared bool) {
	if isShared(app, command, flag) {
		return flag.Name, true
	}
	return strings.Join(append([]string{sections}, append(words(command), flag.Name)...), "."), false
}

// words are the names of a command and of those that it is below, outermost first.
func words(command *kong.Node) []string {
	if command == nil || command.Type == kong.ApplicationNode {
		return nil
	}
	return append(words(command.Parent), command.Name)
}

// isShared reports whether the variable of a command's flag does not name the command.
func isShared(app *kong.Application, command *kong.Node, flag *kong.Flag) bool {
	variable := func(names ...string) string {
		return strings.ToUpper(strings.ReplaceAll(strings.Join(append([]string{app.Name}, names...), "_"), "-", "_"))
	}
	own := variable(words(command)...) + "_"
	for _, env := range flag.Envs {
		if env == variable(flag.Name) && !strings.HasPrefix(env, own) {
			return true
		}
	}
	return false
}
