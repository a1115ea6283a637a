package drill

import (
	"bytes"
	_ "embed"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	policyv1 "github.com/neochaotic/leoflow/gen/leoflow/policy/v1"
)

// MaxGroups is the most groups that a plan may have.
const MaxGroups = 50

//go:embed task.sh
var taskScript []byte

// Plan is the pipeline of a drill: groups of tasks that fan out and in, with values of
// many sizes, lines on both streams, and tasks that fail, are killed, take too long or
// succeed on their second try.
type Plan struct {
	Dag   string
	Tasks []Task
	pad   string
	files map[string][]byte // values and inputs, by name
}

// Task is a task, and what must become of it.
type Task struct {
	ID      string
	Script  string
	After   []string
	Inputs  []string // the sources of its one input
	Retries int
	Timeout string // empty: none

	State policyv1.TaskState
	Tries []Try  // from the first on
	Value []byte // nil: none
}

// Try is what must become of one try.
type Try struct {
	State policyv1.TaskState
	Cause controlv1.Cause
	Lines int // on stdout; half as many on stderr
}

// Lines is how many lines all tasks print.
func (p *Plan) Lines() int {
	sum := 0
	for _, task := range p.Tasks {
		for _, try := range task.Tries {
			sum += try.Lines + try.Lines/2
		}
	}
	return sum
}

// sizes are the sizes of what the first tasks of groups hand on, in bytes: over and
// just at what an environment variable can hold, small, and as large as may be.
var sizes = []int{200 << 10, 20, 256 << 10, 4 << 10, 128 << 10}

// NewPlan returns the plan of a seed, of 1 to [MaxGroups] groups of eight tasks each,
// and one task that takes from all.
func NewPlan(random *rand.Rand, groups int) *Plan {
	p := &Plan{Dag: "drill", pad: text(random, 5000), files: map[string][]byte{}}
	var last []string
	for g := 1; g <= groups; g++ {
		last = append(last, p.group(random, g))
	}
	p.succeeds("end", last, 40, object("end", random))
	return p
}

// group adds a group; it returns the task that its others end in.
func (p *Plan) group(random *rand.Rand, g int) string {
	first := fmt.Sprintf("s%d", g)
	size := sizes[(g-1)%len(sizes)]
	value := []byte(`"` + text(random, size-2) + `"`)
	if g%len(sizes) == 3 { // bytes of any kind, no text
		value = raw(random, size)
	}
	p.succeeds(first, nil, 40+random.IntN(40), value)
	var middle []string
	for i := 1; i <= 4; i++ {
		id := fmt.Sprintf("m%d_%d", g, i)
		middle = append(middle, id)
		task := p.succeeds(id, []string{first}, 150+random.IntN(250), object(id, random))
		if i == 1 {
			p.onSecondTry(task)
		}
	}
	reduce := fmt.Sprintf("r%d", g)
	p.succeeds(reduce, middle, 60+random.IntN(60), object(reduce, random))
	failing := fmt.Sprintf("f%d", g)
	p.fails(failing, first, g)
	p.Tasks = append(p.Tasks, Task{
		ID: fmt.Sprintf("u%d", g), After: []string{failing}, Script: "exit 1",
		State: policyv1.TaskState_TASK_STATE_UPSTREAM_FAILED,
	})
	return reduce
}

// succeeds adds a task that checks what it takes, prints lines and hands on a value.
func (p *Plan) succeeds(id string, from []string, lines int, value []byte) *Task {
	script := "begin " + id + "\n"
	switch len(from) {
	case 0:
	case 1:
		script += "want " + from[0] + "\n"
	default:
		var parts [][]byte
		for _, source := range from {
			parts = append(parts, p.files[source])
		}
		p.files[id+".in"] = fmt.Appendf(nil, "[%s]", bytes.Join(parts, []byte(",")))
		script += "want " + id + ".in\n"
	}
	p.files[id] = value
	p.Tasks = append(p.Tasks, Task{
		ID: id, Inputs: from, Value: value,
		Script: script + fmt.Sprintf("lines %d\ngive %s\n", lines, id),
		State:  policyv1.TaskState_TASK_STATE_SUCCESS,
		Tries:  []Try{{State: policyv1.TaskState_TASK_STATE_SUCCESS, Lines: lines}},
	})
	return &p.Tasks[len(p.Tasks)-1]
}

// onSecondTry has a task that succeeds fail once before.
func (p *Plan) onSecondTry(task *Task) {
	begin, rest, _ := strings.Cut(task.Script, "\n")
	task.Script = begin + "\nif [ $try = 1 ]; then lines 30; exit 4; fi\n" + rest
	task.Retries = 1
	task.Tries = append([]Try{{
		State: policyv1.TaskState_TASK_STATE_FAILED, Cause: controlv1.Cause_CAUSE_EXIT_NONZERO, Lines: 30,
	}}, task.Tries...)
}

// fails adds a task that fails, in one of three ways.
func (p *Plan) fails(id, after string, way int) {
	try := Try{State: policyv1.TaskState_TASK_STATE_FAILED, Cause: controlv1.Cause_CAUSE_EXIT_NONZERO, Lines: 30}
	task := Task{ID: id, After: []string{after}, Script: "begin " + id + "\nlines 30\n", State: try.State}
	switch way % 3 {
	case 1:
		task.Script += "exit 3\n"
	case 2:
		try.Cause = controlv1.Cause_CAUSE_SIGNALLED
		task.Script += "kill -KILL $$\n"
	default:
		try.Cause = controlv1.Cause_CAUSE_TIMED_OUT
		task.Script += "exec sleep 600\n"
		task.Timeout = "5s"
	}
	task.Tries = []Try{try}
	p.Tasks = append(p.Tasks, task)
}

// raw returns n bytes.
func raw(random *rand.Rand, n int) []byte {
	var out []byte
	for len(out) < n {
		out = binary.LittleEndian.AppendUint64(out, random.Uint64())
	}
	return out[:n]
}

// text returns n characters, n being even.
func text(random *rand.Rand, n int) string { return hex.EncodeToString(raw(random, n/2)) }

func object(id string, random *rand.Rand) []byte {
	return fmt.Appendf(nil, `{"from": %q, "n": %d}`, id, random.Uint32())
}

// Write writes the pipeline and what its tasks need into a directory; it returns the
// pipeline's file.
func (p *Plan) Write(dir string) (string, error) {
	tasks := make([]map[string]any, 0, len(p.Tasks))
	for _, t := range p.Tasks {
		task := map[string]any{"id": t.ID, "bash": ". ./task.sh\n" + t.Script}
		if len(t.After) > 0 {
			task["after"] = t.After
		}
		if len(t.Inputs) > 0 {
			task["inputs"] = map[string]any{"in": t.Inputs}
		}
		if t.Retries > 0 {
			task["retries"], task["retry_delay"] = t.Retries, "1s"
		}
		if t.Timeout != "" {
			task["timeout"] = t.Timeout
		}
		tasks = append(tasks, task)
	}
	// JSON is YAML.
	document, err := json.MarshalIndent(map[string]any{
		"name": p.Dag, "env": map[string]string{"PAD": p.pad}, "tasks": tasks,
	}, "", "  ")
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "pipeline.yaml")
	errs := []error{
		os.MkdirAll(filepath.Join(dir, "tries"), 0o750),
		os.MkdirAll(filepath.Join(dir, "values"), 0o750),
		os.WriteFile(file, document, 0o600),
		os.WriteFile(filepath.Join(dir, "task.sh"), taskScript, 0o600),
	}
	for name := range maps.Keys(p.files) {
		errs = append(errs, os.WriteFile(filepath.Join(dir, "values", name), p.files[name], 0o600))
	}
	return file, errors.Join(errs...)
}
