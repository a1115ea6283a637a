package file

import (
	"fmt"
	"maps"
	"slices"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// What the control plane takes, said here so that the file is told of it with a line.
const (
	maxIdentifier  = 250 // characters
	maxEnvironment = 1000
	maxScriptBytes = 1 << 20
	maxValueBytes  = 1 << 20
	maxSchemaBytes = 256 << 10
)

// taskNodes remembers where the parts of a task stand.
type taskNodes struct {
	index int
	id    *yaml.Node // nil: it has no readable id
	edges []edge
}

// edge is one mention of the task's upstream.
type edge struct {
	source string
	field  string // what mentions it
	at     *yaml.Node
}

// pipeline reads the document into a pipeline and records what no schema finds.
// Parts of the wrong shape are left out of it: they are faults of the schema's,
// so the pipeline counts only when there is no fault at all.
func (d *document) pipeline() *Pipeline {
	if d.hopeless {
		return nil
	}
	p := &Pipeline{
		Name:        d.text(d.root, "name"),
		Description: d.text(d.root, "description"),
		Version:     d.version(),
		Env:         d.env(d.root, "env"),
	}
	standing := d.defaults()
	var nodes []taskNodes
	if tasks, ok := d.get(d.root, "tasks"); ok && tasks.value.Kind == yaml.SequenceNode {
		for i, n := range tasks.value.Content {
			task, where := d.task(i, target(n), p, standing)
			p.Tasks, nodes = append(p.Tasks, task), append(nodes, where)
		}
	}
	d.checkGraph(p, nodes)
	return p
}

// text returns the text at key; empty when there is none.
func (d *document) text(n *yaml.Node, key string) string {
	if e, ok := d.get(n, key); ok && isText(e.value) {
		return e.value.Value
	}
	return ""
}

func (d *document) version() string {
	e, ok := d.get(d.root, "version")
	if !ok || !isScalar(e.value) {
		return ""
	}
	// The schema bounds text only; a number is as long as it is written.
	if n := utf8.RuneCountInString(e.value.Value); n > maxIdentifier {
		d.faults.at(e.value, func() (string, string) {
			return fmt.Sprintf("version is %d characters long", n), fmt.Sprintf("use at most %d", maxIdentifier)
		})
	}
	return e.value.Value
}

// env reads a mapping of scalars, each kept as it is written; nil when empty.
func (d *document) env(n *yaml.Node, key string) map[string]string {
	e, ok := d.get(n, key)
	if !ok || len(d.index[e.value]) == 0 {
		return nil
	}
	env := make(map[string]string, len(d.index[e.value]))
	for _, name := range slices.Sorted(maps.Keys(d.index[e.value])) {
		variable := d.index[e.value][name]
		if !isScalar(variable.value) {
			continue
		}
		env[name] = variable.value.Value
		d.checkSize(variable.value, "env "+quote(name), maxValueBytes)
	}
	return env
}

func (d *document) checkSize(n *yaml.Node, field string, limit int) {
	if len(n.Value) > limit {
		d.faults.at(n, func() (string, string) {
			return fmt.Sprintf("%s is over %d KiB", field, limit>>10), "keep it in a file beside the pipeline, and read it from there"
		})
	}
}

// list reads the text items of a list and where they stand.
func (d *document) list(n *yaml.Node, key string) (items []string, at []*yaml.Node) {
	if e, ok := d.get(n, key); ok {
		return texts(e.value)
	}
	return nil, nil
}

func texts(n *yaml.Node) (items []string, at []*yaml.Node) {
	if n.Kind != yaml.SequenceNode {
		return nil, nil
	}
	for _, item := range n.Content {
		// The place is the item's own, also where it is an alias.
		if text := target(item); isText(text) {
			items, at = append(items, text.Value), append(at, item)
		}
	}
	return items, at
}

// task reads one task of the list.
func (d *document) task(index int, n *yaml.Node, p *Pipeline, standing defaults) (Task, taskNodes) {
	t := Task{
		ID:          d.text(n, "id"),
		Description: d.text(n, "description"),
		Env:         d.env(n, "env"),
	}
	t.Operator, t.Entrypoint = d.operator(n)
	where := taskNodes{index: index}
	if e, ok := d.get(n, "id"); ok && t.ID != "" {
		where.id = e.value
	}
	if e, ok := d.get(n, "bash"); ok {
		d.checkSize(e.value, joined(d.nameOf(where), "bash"), maxScriptBytes)
	}
	d.checkMerged(n, where, len(merged(p.Env, t.Env)))

	var at []*yaml.Node
	t.After, at = d.list(n, "after")
	for i, id := range t.After {
		where.edges = append(where.edges, edge{source: id, field: "after", at: at[i]})
	}
	t.Inputs = d.inputs(n, &where)
	t.Args = d.args(n, where)
	if t.Operator == OperatorPython {
		d.checkArguments(n, where)
	}
	if t.Timeout = d.timeout(n, joined(d.nameOf(where), "timeout")); t.Timeout == 0 {
		t.Timeout = standing.timeout
	}
	t.Retry = d.retry(d.retryKeys(n, d.nameOf(where)+": "), standing.retry, d.nameOf(where)+": ")
	t.When = d.when(n, where)
	t.Returns = d.returns(n, where)
	t.Variables, _ = d.list(n, "variables")
	t.Connections, _ = d.list(n, "connections")
	return t, where
}

// operator returns what the task runs; the schema sees to it that it is one thing.
func (d *document) operator(n *yaml.Node) (operator, entrypoint string) {
	if _, ok := d.get(n, OperatorPython); ok {
		return OperatorPython, d.text(n, OperatorPython)
	}
	return OperatorBash, d.text(n, OperatorBash)
}

func (d *document) nameOf(t taskNodes) string { return d.taskName(fmt.Sprint(t.index)) }

func (d *document) checkMerged(n *yaml.Node, where taskNodes, count int) {
	e, ok := d.get(n, "env")
	if ok && count > maxEnvironment && len(d.index[e.value]) <= maxEnvironment {
		d.faults.at(e.value, func() (string, string) {
			return fmt.Sprintf("%s: env and the pipeline's env hold %d variables together", d.nameOf(where), count),
				fmt.Sprintf("use at most %d", maxEnvironment)
		})
	}
}

// inputs reads the parameters in the order of the file.
func (d *document) inputs(n *yaml.Node, where *taskNodes) []Input {
	e, ok := d.get(n, "inputs")
	if !ok || e.value.Kind != yaml.MappingNode {
		return nil
	}
	var inputs []Input
	var keys []*yaml.Node
	for i := 0; i+1 < len(e.value.Content); i += 2 {
		key := target(e.value.Content[i])
		if read, ok := d.get(e.value, key.Value); !ok || read.key != key {
			continue // no text, or a double: recorded already
		}
		in := Input{Parameter: key.Value}
		var at []*yaml.Node
		if source := e.value.Content[i+1]; isText(target(source)) {
			in.Sources, at = []string{target(source).Value}, []*yaml.Node{source}
		} else {
			in.Sources, at = texts(target(source))
		}
		for j, id := range in.Sources {
			where.edges = append(where.edges, edge{source: id, field: "input " + quote(key.Value), at: at[j]})
		}
		inputs, keys = append(inputs, in), append(keys, e.value.Content[i])
	}
	d.checkCollisions(inputs, keys, *where)
	return inputs
}

// timeout reads a duration of whole seconds; fractions of one are refused rather
// than rounded, because the control plane counts seconds.
func (d *document) timeout(n *yaml.Node, name string) time.Duration {
	e, ok := d.get(n, "timeout")
	if !ok || !isText(e.value) {
		return 0
	}
	t, err := time.ParseDuration(e.value.Value)
	if err != nil || t <= 0 || t > maxTimeout || t%time.Second != 0 {
		d.faults.at(e.value, func() (string, string) {
			return badTimeout(name, e.value.Value)
		})
		return 0
	}
	return t
}

const (
	maxTimeout    = (1<<31 - 1) * time.Second
	timeoutRemedy = `write a duration with a unit such as 90s or 1h30m, or leave the key out`
)

// badTimeout says why text is no time-out.
func badTimeout(name, text string) (problem, remedy string) {
	t, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return fmt.Sprintf("%s %s is not a duration", name, quote(text)), timeoutRemedy
	case t <= 0:
		return fmt.Sprintf("%s %s is not above zero", name, quote(text)), timeoutRemedy
	case t > maxTimeout:
		return fmt.Sprintf("%s %s is over %d seconds", name, quote(text), int64(maxTimeout/time.Second)), timeoutRemedy
	}
	return fmt.Sprintf("%s %s is not in whole seconds", name, quote(text)), "round it to whole seconds"
}
