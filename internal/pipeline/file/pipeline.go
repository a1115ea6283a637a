// Package file reads a pipeline file: YAML, held against the published JSON
// Schema and then against what a schema cannot say (ids that name nothing,
// cycles, names that collide). What is wrong is told in one line, with the line
// and the column of it, before anything starts.
//
// It may import internal/domain, schema and the YAML and JSON Schema libraries.
// It knows nothing of gRPC, of the store or of how a run is driven.
package file

import (
	"maps"
	"slices"
	"time"

	"github.com/neochaotic/leoflow/internal/domain"
)

// The operators: what Entrypoint is.
const (
	OperatorBash   = "bash"   // a bash script
	OperatorPython = "python" // a function, as module:function
)

// Pipeline is a pipeline file that was found right: ids are unique, every id
// named in After and Inputs is a task's, and no task waits for itself, however
// indirectly. Treat it as read-only; it is then safe for concurrent use.
type Pipeline struct {
	Name        string
	Description string
	Version     string // as written in the file; empty: none
	// Dir is the absolute folder of the file, where its tasks run. It is empty
	// for a pipeline that did not come from a file.
	Dir   string
	Env   map[string]string // of every task; nil: none
	Tasks []Task            // in the order of the file, at least one
}

// Task is a task as written in the file.
type Task struct {
	ID          string
	Description string
	Operator    string            // [OperatorBash] or [OperatorPython]
	Entrypoint  string            // what the operator runs: the script or the function
	Args        string            // keyword arguments of a python task: a JSON object; empty: none
	Env         map[string]string // the task's own, without the pipeline's; nil: none
	After       []string          // tasks to wait for, in the order of the file
	Inputs      []Input           // in the order of the file
	Returns     map[string]any    // JSON Schema as encoding/json decodes it; nil: unchecked
	Timeout     time.Duration     // of a try: whole seconds up to 2^31-1; 0: none
	Retry       Retry             // what the defaults say included
	When        When              // the rule by which it starts
	Variables   []string          // secrets that the task declares
	Connections []string
}

// Input is a parameter and the tasks whose return values it takes: one, or
// several for a fan-in, in order.
type Input struct {
	Parameter string
	Sources   []string
}

// upstream lists After, then the sources of the inputs, each once.
func (t *Task) upstream() []string {
	var ids []string
	seen := map[string]bool{}
	add := func(sources []string) {
		for _, id := range sources {
			if !seen[id] {
				seen[id] = true
				ids = append(ids, id)
			}
		}
	}
	add(t.After)
	for _, in := range t.Inputs {
		add(in.Sources)
	}
	return ids
}

// Task returns the task of that id; false when there is none.
func (p *Pipeline) Task(id string) (Task, bool) {
	for i := range p.Tasks {
		if p.Tasks[i].ID == id {
			return p.Tasks[i], true
		}
	}
	return Task{}, false
}

// Upstream lists the tasks that task id waits for: those in
// its After, then the sources of its Inputs, each once, in the order of the file.
// It is nil for an unknown id. The caller owns the slice.
func (p *Pipeline) Upstream(id string) []string {
	t, ok := p.Task(id)
	if !ok {
		return nil
	}
	return t.upstream()
}

// Definitions lists the tasks as a run is created with them, in the order of the
// file. The pipeline's env is merged into each task's, which wins; what the file
// does not say is left at its zero value. The caller owns the result, except for
// the return schemas, which are the pipeline's own.
func (p *Pipeline) Definitions() []domain.TaskDefinition {
	defs := make([]domain.TaskDefinition, len(p.Tasks))
	for i := range p.Tasks {
		t := &p.Tasks[i]
		defs[i] = domain.TaskDefinition{
			TaskID: t.ID,
			Spec: domain.TaskSpec{
				Operator:         t.Operator,
				Entrypoint:       t.Entrypoint,
				DagVersion:       p.Version,
				Environment:      merged(p.Env, t.Env),
				XComInputMapping: mapping(t.Inputs),
				XComSchema:       t.Returns,
				TimeoutSeconds:   int(t.Timeout / time.Second),
				CallArgsJSON:     t.Args,
			},
			Variables:   slices.Clone(t.Variables),
			Connections: slices.Clone(t.Connections),
		}
	}
	return defs
}

// merged returns base overlaid with top; nil when both are empty.
func merged(base, top map[string]string) map[string]string {
	if len(base)+len(top) == 0 {
		return nil
	}
	out := make(map[string]string, len(base)+len(top))
	maps.Copy(out, base)
	maps.Copy(out, top)
	return out
}

func mapping(inputs []Input) map[string][]string {
	if len(inputs) == 0 {
		return nil
	}
	out := make(map[string][]string, len(inputs))
	for _, in := range inputs {
		out[in.Parameter] = slices.Clone(in.Sources)
	}
	return out
}
