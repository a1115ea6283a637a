package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"

	"github.com/neochaotic/leoflow/conformance/report"
)

// reports is the flags of what is written about a run.
type reports struct {
	JSON     string `name:"json" group:"Reports" placeholder:"FILE" help:"Write the results to this file as JSON, as report.proto has them."`
	JUnit    string `name:"junit" group:"Reports" placeholder:"FILE" help:"Write them as JUnit XML, for programs that gather test results."`
	HTML     string `name:"html" group:"Reports" placeholder:"FILE" help:"Write them as one page, with what was said in each failure."`
	Markdown string `name:"markdown" group:"Reports" placeholder:"FILE" help:"Write a summary in Markdown, such as for $$GITHUB_STEP_SUMMARY."`
	Badge    string `name:"badge" group:"Reports" placeholder:"FILE" help:"Write a badge, an SVG."`
	Name     string `group:"Reports" placeholder:"TEXT" help:"What the reports call the system; by default what it calls itself, or its command."`

	system string // what it calls itself, or its command
}

// systemName is what the reports call the system.
func (r *reports) systemName(side string) string {
	for _, name := range []string{r.Name, r.system} {
		if name != "" {
			return name
		}
	}
	return side
}

// asked is a report that a flag asks for.
type asked struct {
	flag, path string
	form       func(*conformancev1.Report) ([]byte, error)
}

func (r *reports) asked() []asked {
	var out []asked
	for _, a := range []asked{
		{"--json", r.JSON, report.JSON},
		{"--junit", r.JUnit, report.JUnit},
		{"--html", r.HTML, report.HTML},
		{"--markdown", r.Markdown, report.Markdown},
		{"--badge", r.Badge, report.Badge},
	} {
		if a.path != "" {
			out = append(out, a)
		}
	}
	return out
}

// writable finds, before anything runs, the reports that could not be written.
func (r *reports) writable() error {
	var faults []error
	flagOf := map[string]string{}
	for _, a := range r.asked() {
		path, err := whole(a.path)
		switch {
		case err != nil:
		case isStream(a.path):
			err = tryBeside(a.path)
		case flagOf[path] != "":
			err = fmt.Errorf("%s is the file of %s, too: give each a file of its own", a.path, flagOf[path])
		default:
			flagOf[path] = a.flag
			err = tryBeside(path)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", a.flag, err))
		}
	}
	return errors.Join(faults...)
}

// write writes every report that is asked for, whatever becomes of the others.
func (r *reports) write(told *conformancev1.Report) error {
	var faults []error
	for _, a := range r.asked() {
		text, err := a.form(told)
		if err == nil {
			err = replace(a.path, text)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: the report is not written: %w", a.flag, err))
		}
	}
	return errors.Join(faults...)
}

// whole is a path from the root; of a link it is what that leads to.
func whole(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if target, err := filepath.EvalSymlinks(path); err == nil {
		return target, nil
	}
	return path, nil // there is nothing yet
}

// tryBeside finds out whether [replace] could write, and leaves nothing.
func tryBeside(path string) error {
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return fmt.Errorf("%s is a directory: give a file", path)
	case isStream(path):
		return nil // it may be opened but once
	}
	f, err := beside(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no directory %s: make it, or give another file", filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("nothing can be written in %s: %w", filepath.Dir(path), withoutPath(err))
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// replace puts a text in the place of a file at once: whoever reads it meets the old one
// or the new one, whole. To a stream it is added.
func replace(path string, text []byte) error {
	if isStream(path) {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			return err
		}
		_, err = f.Write(text)
		return errors.Join(err, f.Close())
	}
	path, err := whole(path)
	if err != nil {
		return err
	}
	f, err := beside(path)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// isStream reports whether a path is not that of a file: a pipe, or a name such as
// /dev/stdout, which may lead to a file that somebody else writes to.
func isStream(path string) bool {
	if strings.HasPrefix(path, "/dev/") {
		return true
	}
	info, err := os.Stat(path)
	return err == nil && !info.Mode().IsRegular()
}

// beside makes a file of a new name in the directory of a path.
func beside(path string) (*os.File, error) {
	name := fmt.Sprintf("%s.%s.part", path, rand.Text()[:8])
	return os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666) //nolint:gosec // the umask decides who reads reports
}

// withoutPath is an error of a file without the file's name.
func withoutPath(err error) error {
	var of *fs.PathError
	if errors.As(err, &of) {
		return of.Err
	}
	return err
}
