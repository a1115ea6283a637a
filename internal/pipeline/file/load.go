package file

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// MaxBytes is the size limit of a pipeline file.
const MaxBytes = 4 << 20

// Load reads and checks the pipeline file at path. Every error is an [*Error];
// its Line is 0 when the file itself could not be read.
func Load(path string) (*Pipeline, error) {
	data, err := read(path)
	if err != nil {
		return nil, err
	}
	p, err := Parse(path, data)
	if err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return nil, &Error{Name: path, Problem: "its folder cannot be found: " + err.Error(), Remedy: "give an absolute path"}
	}
	p.Dir = dir
	return p, nil
}

// Parse checks the text of a pipeline file; name stands for the file in errors,
// each of which is an [*Error] with a line. Of several faults it reports the one
// that comes first in the file. It reads nothing but data.
func Parse(name string, data []byte) (*Pipeline, error) {
	p, err := parse(data)
	if err != nil {
		err.Name = name
		return nil, err
	}
	return p, nil
}

func parse(data []byte) (*Pipeline, *Error) {
	root, fault := decode(data)
	if fault != nil {
		return nil, fault
	}
	doc := newDocument(root)
	pipeline := doc.pipeline()
	doc.conform()
	if fault := doc.faults.first(); fault != nil {
		return nil, fault
	}
	return pipeline, nil
}

// read returns the bytes of a regular file.
func read(path string) ([]byte, error) {
	// Asked before opening: opening a named pipe would wait for its writer.
	info, err := os.Stat(path)
	if err != nil {
		return nil, unreadable(path, err)
	}
	switch {
	case info.IsDir():
		return nil, &Error{Name: path, Problem: "is a directory", Remedy: "give the path of a pipeline file in it"}
	case !info.Mode().IsRegular():
		return nil, &Error{Name: path, Problem: "is not a regular file", Remedy: "copy its content into a file, and give that file"}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, unreadable(path, err)
	}
	defer func() { _ = f.Close() }() // only read from: nothing to lose
	data, err := io.ReadAll(io.LimitReader(f, MaxBytes+1))
	if err != nil {
		return nil, unreadable(path, err)
	}
	return data, nil
}

func unreadable(path string, err error) *Error {
	var pathErr *fs.PathError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &Error{Name: path, Problem: "no such file", Remedy: "check the path of the pipeline file"}
	case errors.Is(err, fs.ErrPermission):
		return &Error{Name: path, Problem: "permission denied", Remedy: "let the file be read"}
	case errors.As(err, &pathErr):
		err = pathErr.Err
	}
	return &Error{Name: path, Problem: fmt.Sprintf("cannot be read: %v", err), Remedy: "check the path of the pipeline file"}
}
