package suite

// Watcher is told of a run as it goes, by one goroutine at a time. What is slow in it
// holds up the run.
type Watcher interface {
	// Begin says how many runs of checks are to come.
	Begin(runs int)
	// Start says that a check begins to run.
	Start(check string)
	// Step is something that a running check did or saw, without tokens and secrets.
	Step(check string, e Event)
	// Done is the result of a single run of a check, or of one that was not run.
	Done(r Result)
}

// deaf watches nothing.
type deaf struct{}

func (deaf) Begin(int)          {}
func (deaf) Start(string)       {}
func (deaf) Step(string, Event) {}
func (deaf) Done(Result)        {}
