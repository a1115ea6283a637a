package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

const lockFile = "lock"

// ErrLocked says that another open store has the data directory.
var ErrLocked = errors.New("in use by another process")

// dirLock is the right to a data directory: exclusive, or with all others who share it. It
// ends with the process, however that ends.
type dirLock struct{ file *os.File }

// lockDir takes the lock or fails at once. A lock is of an open file, so that two
// stores of one process exclude each other too.
func lockDir(dir string, shared bool) (*dirLock, error) {
	path := filepath.Join(dir, lockFile)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the data directory: %w", err)
	}
	how := unix.LOCK_EX
	if shared {
		how = unix.LOCK_SH
	}
	err = unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
	if err == nil {
		return &dirLock{f}, nil
	}
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = fmt.Errorf("data directory %s is %w: stop that process, or choose another directory", dir, ErrLocked)
	} else {
		err = fmt.Errorf("lock the data directory %s: %w", dir, err)
	}
	return nil, errors.Join(err, f.Close())
}

// release gives the directory free. The file stays: removing it would race with
// whoever has just opened it.
func (l *dirLock) release() error { return l.file.Close() }
