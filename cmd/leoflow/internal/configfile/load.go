package configfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"
)

// maxBytes is more than any such file needs.
const maxBytes = 1 << 20

// Load reads the file at path and checks all of it, whichever command is called; isSecret
// tells the flags whose values nobody else may read. Every error is an *Error.
func Load(path string, app *kong.Application, isSecret func(*kong.Flag) bool) (*File, error) {
	text, mode, err := read(path)
	if err != nil {
		return nil, &Error{Path: path, Problem: "it cannot be read: " + plainCause(err), Remedy: "give a file that can be, or leave --config out"}
	}
	f, fault := parse(text, app)
	if fault == nil {
		f.path, fault = path, checkMode(mode, f, isSecret)
	}
	if fault != nil {
		fault.Path = path
		return nil, fault
	}
	return f, nil
}

// parse reads the text of a file.
func parse(text []byte, app *kong.Application) (*File, *Error) {
	root, fault := decode(text)
	if fault != nil {
		return nil, fault
	}
	r := &reader{app: app, file: &File{values: map[*kong.Flag]setting{}}}
	if fault := r.read(root); fault != nil {
		return nil, fault
	}
	return r.file, nil
}

// plainCause leaves the path out, which the error tells anyway.
func plainCause(err error) string {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err.Error()
	}
	return err.Error()
}

func read(path string) (text []byte, mode fs.FileMode, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	text, err = io.ReadAll(io.LimitReader(f, maxBytes+1))
	if err == nil && len(text) > maxBytes {
		err = fmt.Errorf("it is over %d KiB", maxBytes>>10)
	}
	return text, info.Mode(), err
}

// checkMode refuses a file that others may change, for it says whom to call, and one
// that others may read where it holds a secret.
func checkMode(mode fs.FileMode, f *File, isSecret func(*kong.Flag) bool) *Error {
	if !mode.IsRegular() || runtime.GOOS == "windows" { // its bits say nothing there
		return nil
	}
	for flag, s := range f.values {
		if isSecret(flag) && mode.Perm()&0o077 != 0 {
			return &Error{
				Line:    s.line,
				Problem: fmt.Sprintf("%q may hold a secret, and others may use the file (%v)", flag.Name, mode.Perm()),
				Remedy:  "chmod 600 it",
			}
		}
	}
	if mode.Perm()&0o002 != 0 {
		return &Error{Problem: fmt.Sprintf("anybody may change it (%v)", mode.Perm()), Remedy: "chmod o-w it"}
	}
	return nil
}

var yamlPlace = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// decode returns the mapping that the text is; nil: the text is empty.
func decode(text []byte) (*yaml.Node, *Error) {
	var doc, more yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	err := decoder.Decode(&doc)
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	if err != nil {
		place := yamlPlace.FindStringSubmatch(err.Error())
		line := 0
		if len(place) > 1 {
			line, _ = strconv.Atoi(place[1])
		}
		cause, _, _ := strings.Cut(yamlPlace.ReplaceAllString(err.Error(), ""), "\n")
		return nil, &Error{Line: line, Problem: "it is no YAML: " + cause, Remedy: "write it as KEY: VALUE, a flag a line"}
	}
	if err := decoder.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, &Error{Line: more.Line, Problem: "it holds more than one document", Remedy: "keep one"}
	}
	return doc.Content[0], nil
}
