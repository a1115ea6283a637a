package agent

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// shield keeps what this process knows to it: others of its user can neither read its
// memory and the environment it began with, nor take its descriptors; and of those
// that it was itself launched with, a task inherits the standard ones alone. The task's
// own process is not affected: the first ends, and the second begins, with its exec.
func shield() error {
	var faults []error
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		faults = append(faults, fmt.Errorf("PR_SET_DUMPABLE: %w", err))
	}
	// Linux before 5.11 does not know it; then a task inherits what the agent's launcher
	// left open on purpose, as ever.
	err := unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC)
	if err != nil && !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EINVAL) {
		faults = append(faults, fmt.Errorf("close_range: %w", err))
	}
	return errors.Join(faults...)
}
