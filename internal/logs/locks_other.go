//go:build !linux

package logs

import "errors"

const canShare = false

var errNoLocks = errors.New("this system has no locks of open files")

func tryLock(file, int64) (bool, error)         { return false, errNoLocks }
func share(file, int64) error                   { return errNoLocks }
func unlock(file, int64) error                  { return errNoLocks }
func lockedElsewhere(file, int64) (bool, error) { return false, errNoLocks }
