package domain

import "time"

// RunSummary is a run as lists tell it: how far it is, without its tasks.
type RunSummary struct {
	RunKey
	DagVersion string
	CreatedAt  time.Time
	Revision   int64             // of the last change; 0: none
	Tasks      map[TaskState]int // how many are in which state; states of none are left out
	Seq        int64             // the later a run was created, the higher
}

// TaskSummary is a task as lists tell it: with what its specification says of its
// place in the run.
type TaskSummary struct {
	Task
	Operator string
	Upstream []string // the tasks that its inputs come from, each once, in order
}

// SecretName is what may be told of a secret: never its value.
type SecretName struct {
	Name      string
	UpdatedAt time.Time
}
