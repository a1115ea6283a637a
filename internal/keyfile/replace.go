package keyfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// Replace puts what update makes of the content of the file at path in its place:
// whole, on disk, and mode 0600, so that whoever reads it meanwhile or after a crash
// finds the old content or the new. Calls for one path, of any process, follow each
// other, so that none undoes what another did. Where path is a link, what it points to
// is replaced, and it stays. An error of update, or of a file that [Load] refuses,
// leaves the file as it is.
func Replace(path string, update func(old []byte) ([]byte, error)) error {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return fmt.Errorf("key file: %w", err)
	}
	return Hold(path, func(old []byte) error {
		data, err := update(old)
		if err != nil {
			return err
		}
		if err := put(path, data); err != nil {
			return fmt.Errorf("replace key file %s: %w", path, err)
		}
		return nil
	})
}

// Hold calls use with the content of the file at path, which [Replace] leaves as it is
// until use returns. Its error is returned as it is.
func Hold(path string, use func(data []byte) error) (err error) {
	f, err := lock(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	data, err := io.ReadAll(f)
	if err != nil {
		return fmt.Errorf("key file %s: %w", path, err)
	}
	return use(data)
}

// lock opens the file at path with the right to replace it, which ends with the file's
// close. The lock is the file's own: one that was replaced meanwhile is left.
func lock(path string) (*os.File, error) {
	for {
		f, err := open(path, os.O_RDWR)
		if err != nil {
			return nil, err
		}
		if err := flock(f); err != nil {
			return nil, errors.Join(fmt.Errorf("lock key file %s: %w", path, err), f.Close())
		}
		held, err := f.Stat()
		if err != nil {
			return nil, errors.Join(fmt.Errorf("lock key file: %w", err), f.Close())
		}
		if there, err := os.Stat(path); err == nil && os.SameFile(held, there) {
			return f, nil
		}
		if err := f.Close(); err != nil {
			return nil, err
		}
	}
}

func flock(f *os.File) error {
	for {
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// put replaces the file at path.
func put(path string, data []byte) error {
	dir := filepath.Dir(path)
	name, err := writeTemp(dir, data)
	if err != nil {
		return err
	}
	if err := os.Rename(name, path); err != nil {
		return errors.Join(err, os.Remove(name))
	}
	return syncDir(dir)
}

// Sync makes durable that the file at path is the one that is there now, for whoever
// finds it changed while [Replace] is still under way.
func Sync(path string) error {
	target, err := filepath.EvalSymlinks(path)
	if err == nil {
		err = syncDir(filepath.Dir(target))
	}
	if err != nil {
		return fmt.Errorf("key file %s: %w", path, err)
	}
	return nil
}
