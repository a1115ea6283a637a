package pipeline

import "fmt"

// Attempt is one attempt to launch an agent for.
type Attempt struct {
	TaskID string
	Try    int
	Token  string // the agent's; to be told to nobody else
}

// Launcher starts agents.
type Launcher interface {
	// Launch starts a process for an attempt. It is called from several goroutines.
	// An error means that no process is left.
	Launch(Attempt) (Process, error)
}

// Process is an agent under way. Its methods may be called from any goroutine, also
// after it has ended.
type Process interface {
	// Ended is closed once the process has ended, and nothing of it or of what it
	// started is left.
	Ended() <-chan struct{}
	// Terminate asks it to end; it then reports what it can.
	Terminate()
	// Kill ends it.
	Kill()
	// Exit says how it ended; valid once Ended is closed.
	Exit() Exit
}

// Exit is how a process ended.
type Exit struct {
	Code   int      // the exit code, or the negative number of the signal that ended it
	Signal string   // the signal's name; empty: none
	Said   []string // the last lines that it wrote of itself
}

// String says how it ended, in words.
func (e Exit) String() string {
	if e.Signal != "" {
		return fmt.Sprintf("killed by signal %d (%s)", -e.Code, e.Signal)
	}
	return fmt.Sprintf("ended with code %d", e.Code)
}
