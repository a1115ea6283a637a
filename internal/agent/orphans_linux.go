package agent

import "golang.org/x/sys/unix"

// adoptOrphans makes this process the parent of what its tasks leave behind, so that
// it can reap it: a dead process that nobody reaps keeps its group alive, and there
// may be no init that does (in a container). Failing only makes a stop slower.
func adoptOrphans() error {
	return unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
}
