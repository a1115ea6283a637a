// Package keyfile reads and makes the files that hold keys: their owner's alone,
// there as a whole or not at all, and never put in the place of another.
//
// It may import the standard library only.
package keyfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Mode is what a key file may allow at most.
const Mode fs.FileMode = 0o600

// LoadOrCreate returns what is in the file at path, and makes it with the result of
// content where there is none. created tells whether this call made it: where
// another process did so meanwhile, its content is returned.
func LoadOrCreate(path string, content func() ([]byte, error)) (data []byte, created bool, err error) {
	data, err = Load(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return data, false, err
	}
	if data, err = content(); err != nil {
		return nil, false, err
	}
	switch err = create(path, data); {
	case errors.Is(err, fs.ErrExist):
		data, err = Load(path)
		return data, false, err
	case err != nil:
		return nil, false, fmt.Errorf("make key file %s: %w", path, err)
	}
	return data, true, nil
}

// Load returns what is in the file at path. It refuses a file that others than its
// owner may use, looking at the file that it opened and not at the path.
func Load(path string) (data []byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("key file: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("key file: %w", err)
	}
	if mode := info.Mode(); !mode.IsRegular() || mode.Perm()&^Mode != 0 {
		return nil, fmt.Errorf("key file %s may be used by others (%v): make it a plain file with chmod 600", path, mode)
	}
	return io.ReadAll(f)
}

// create writes a file that appears under its name whole and on disk.
func create(path string, data []byte) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".key-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(f.Name())) }()
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	// A link, unlike a rename, replaces nothing.
	if err := os.Link(f.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
