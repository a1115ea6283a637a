// Package keyfile reads, makes and replaces the files that hold keys: their owner's
// alone, and there as a whole or not at all. A new file never takes the place of
// another.
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
	f, err := open(path, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return io.ReadAll(f)
}

// open opens a file that nobody but its owner may use.
func open(path string, flag int) (*os.File, error) {
	f, err := os.OpenFile(path, flag, 0)
	if err != nil {
		return nil, fmt.Errorf("key file: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("key file: %w", err), f.Close())
	}
	if mode := info.Mode(); !mode.IsRegular() || mode.Perm()&^Mode != 0 {
		return nil, errors.Join(fmt.Errorf("key file %s may be used by others (%v): make it a plain file with chmod 600", path, mode), f.Close())
	}
	return f, nil
}

// create writes a file that appears under its name whole and on disk.
func create(path string, data []byte) (err error) {
	dir := filepath.Dir(path)
	name, err := writeTemp(dir, data)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(name)) }()
	// A link, unlike a rename, replaces nothing.
	if err := os.Link(name, path); err != nil {
		return err
	}
	return syncDir(dir)
}

// writeTemp writes a file of a name that is free in dir, and returns its path.
func writeTemp(dir string, data []byte) (string, error) {
	f, err := os.CreateTemp(dir, ".key-*") // mode 0600
	if err != nil {
		return "", err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
