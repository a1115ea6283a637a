package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/alecthomas/kong"

	"github.com/neochaotic/leoflow/cmd/leoflow/internal/configfile"
)

// source is where a flag's value is from; what is greater goes before what is less.
type source int

const (
	fromDefault source = iota
	fromFile
	fromEnvironment
	fromCommandLine
)

// BeforeResolve reads the configuration file. The hidden commands have none: what runs
// them says all.
func (c *cli) BeforeResolve(ctx *kong.Context) error {
	if command := ctx.Selected(); command == nil || command.Hidden {
		return nil
	}
	path := configPath(ctx)
	if path == "" {
		return nil
	}
	file, err := configfile.Load(path, ctx.Model, isSecret)
	if err != nil {
		return err
	}
	ctx.AddResolver(file)
	c.file = file
	return nil
}

// configPath returns the file that is asked for, else that of the user, where there is
// one; empty: none.
func configPath(ctx *kong.Context) string {
	flag := flagNamed(ctx, "config")
	if sourceOf(ctx, flag.Name) != fromDefault {
		path, _ := ctx.FlagValue(flag).(string)
		return path
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return "" // a user without a home has no file
	}
	path := filepath.Join(dir, "leoflow", "config.yaml")
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	return path
}

// isSecret tells the flags whose values nobody else may read.
func isSecret(flag *kong.Flag) bool {
	return slices.Contains([]string{"token", "var", "connection", "database"}, flag.Name)
}

// flagNamed returns a flag of the command that is called; nil: it has none of the name.
func flagNamed(ctx *kong.Context, name string) *kong.Flag {
	for _, path := range ctx.Path {
		for _, flag := range path.Flags {
			if flag.Name == name {
				return flag
			}
		}
	}
	return nil
}

// sourceOf tells where the value of a flag is from.
func sourceOf(ctx *kong.Context, name string) source {
	flag := flagNamed(ctx, name)
	if flag == nil {
		return fromDefault
	}
	for _, path := range ctx.Path {
		switch {
		case path.Flag != flag:
		case path.Resolved:
			return fromFile
		default:
			return fromCommandLine
		}
	}
	for _, env := range flag.Envs {
		if _, ok := os.LookupEnv(env); ok {
			return fromEnvironment
		}
	}
	return fromDefault
}

var flagInText = regexp.MustCompile(`--([a-z][a-z0-9-]*)`)

// withOrigin adds to an error of input where the flag that it names first is from, if it
// is not from the command line, where one would look for it.
func (c *cli) withOrigin(ctx *kong.Context, err error) error {
	var bad badInput
	if !errors.As(err, &bad) {
		return err
	}
	named := flagInText.FindStringSubmatch(err.Error())
	if named == nil {
		return err
	}
	switch flag := flagNamed(ctx, named[1]); sourceOf(ctx, named[1]) {
	case fromEnvironment:
		return fmt.Errorf("%w (--%s is from %s)", err, flag.Name, flag.Envs[0])
	case fromFile:
		return fmt.Errorf("%w (--%s is from %s)", err, flag.Name, c.file.Place(flag))
	}
	return err
}
