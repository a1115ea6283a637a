package logs

import (
	"errors"

	"golang.org/x/sys/unix"
)

// canShare: locks that belong to an open file, and not to the process, are there.
const canShare = true

// Locks of a segment are of bytes that it never reaches. A lock ends with the file's
// close, and so with the process, however that ends.
const lockedFrom = int64(1) << 62

// tryLock takes an exclusive lock unless another open file has it.
func tryLock(f file, which int64) (bool, error) {
	err := setLock(f, unix.F_OFD_SETLK, unix.F_WRLCK, which)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return false, nil
	}
	return err == nil, err
}

// share takes a lock that any number of files may have at once, and waits for it.
func share(f file, which int64) error {
	return setLock(f, unix.F_OFD_SETLKW, unix.F_RDLCK, which)
}

func unlock(f file, which int64) error {
	return setLock(f, unix.F_OFD_SETLK, unix.F_UNLCK, which)
}

func setLock(f file, command int, kind int16, which int64) error {
	for {
		l := unix.Flock_t{Type: kind, Start: lockedFrom + which, Len: 1}
		if err := unix.FcntlFlock(f.Fd(), command, &l); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// lockedElsewhere reports whether another open file has the lock, in this process or another.
func lockedElsewhere(f file, which int64) (bool, error) {
	for {
		l := unix.Flock_t{Type: unix.F_WRLCK, Start: lockedFrom + which, Len: 1}
		if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &l); !errors.Is(err, unix.EINTR) {
			return l.Type != unix.F_UNLCK, err
		}
	}
}
