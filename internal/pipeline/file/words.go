package file

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// subject names what is at a path: the pipeline, a task, or a field of either.
func (d *document) subject(path []string) string {
	task := ""
	if len(path) >= 2 && path[0] == "tasks" {
		task, path = d.taskName(path[1]), path[2:]
	}
	switch {
	case len(path) > 0:
		return joined(task, fieldName(path))
	case task != "":
		return task
	}
	return "the pipeline"
}

// fieldName names a path from the pipeline or from a task.
func fieldName(path []string) string {
	field, rest := path[0], path[1:]
	if len(rest) > 0 && (field == "env" || field == "inputs" || field == "args") {
		field, rest = strings.TrimSuffix(field, "s")+" "+quote(rest[0]), rest[1:]
	}
	for _, token := range rest {
		if i, err := strconv.Atoi(token); err == nil {
			field += fmt.Sprintf(" item %d", i+1)
		} else {
			field += "." + token
		}
	}
	return field
}

// within says something about the mapping at a path.
func (d *document) within(path []string, what string) string {
	if len(path) == 0 {
		return what
	}
	return joined(d.subject(path), what)
}

// taskName names a task by its id, or by its place while it has none.
func (d *document) taskName(index string) string {
	if id := d.find(d.root, []string{"tasks", index, "id"}).value; isText(id) && id.Value != "" {
		return "task " + quote(id.Value)
	}
	i, err := strconv.Atoi(index)
	if err != nil {
		return "task " + quote(index)
	}
	return fmt.Sprintf("task %d", i+1)
}

// joined puts what is not empty together with colons.
func joined(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), ": ")
}

// fieldOf returns the key of the pipeline or of a task that a path is in.
func fieldOf(path []string) string {
	if len(path) > 2 && path[0] == "tasks" {
		return path[2]
	}
	if len(path) > 1 && path[0] == "defaults" {
		return path[1]
	}
	if len(path) > 0 {
		return path[0]
	}
	return ""
}

// wanted says in words which type a field must have.
func wanted(path []string, types []string) string {
	if fieldOf(path) == "inputs" && slices.Contains(types, "array") {
		return "a task id or a list of them"
	}
	if len(types) > 1 {
		return "text, a number or a boolean"
	}
	switch types[0] {
	case "object":
		return "a mapping"
	case "array":
		return "a list"
	case "integer":
		return "a whole number"
	}
	return "text"
}

// remedies says how each field is written.
var remedies = map[string]string{
	"name":        `write "name:" and an id for the pipeline, in quotes if it looks like a number`,
	"description": "write text, or leave the key out",
	"version":     `write a version such as "1", or leave the key out`,
	"env":         `write "NAME: value" lines; an empty value is ""`,
	"tasks":       `write "tasks:" and a list of tasks, each beginning with "- id:"`,
	"id":          `write "id:" and a name of its own for the task, in quotes if it looks like a number`,
	"bash":        `write "bash: |" and the script in the lines below, indented`,
	"python":      `write "python: module:function", such as reports.daily:write`,
	"args":        `write "name: value" lines, or leave the key out`,
	"after":       "write a list of task ids such as [extract], or leave the key out",
	"inputs":      `write "parameter: task" lines, with the id of a task or a list of ids`,
	"returns":     "write a JSON Schema such as {type: object}, or leave the key out",
	"timeout":     timeoutRemedy,
	"defaults":    `write "key: value" lines such as "retries: 2", or leave the key out`,

	"retries":         retriesRemedy,
	"retry_delay":     retryDelayRemedy,
	"retry_delay_max": retryDelayRemedy,
	"when":            "write all_succeeded, all_done, any_succeeded, any_failed or none_failed, or leave the key out",

	"variables":   "write a list of names such as [A, B], or leave the key out",
	"connections": "write a list of ids such as [db], or leave the key out",
}

func remedyFor(path []string) string {
	if len(path) == 2 && path[0] == "tasks" {
		return remedies["tasks"]
	}
	if field := fieldOf(path); field != "" {
		return remedies[field]
	}
	return `write "name:" and "tasks:" at the top of the file`
}

// Keys that other tools use for what we call otherwise.
var (
	pipelineSynonyms = map[string]string{
		"dag": "name", "dag_id": "name", "id": "name", "title": "name", "pipeline": "name",
		"jobs": "tasks", "steps": "tasks", "environment": "env", "desc": "description",
		"default_args": "defaults", "default": "defaults",
	}
	taskSynonyms = map[string]string{
		"script": "bash", "run": "bash", "command": "bash", "cmd": "bash", "shell": "bash", "sh": "bash",
		"name": "id", "task_id": "id", "task": "id", "desc": "description", "environment": "env",
		"depends_on": "after", "depends": "after", "dependencies": "after", "needs": "after", "upstream": "after", "requires": "after",
		"function": "python", "callable": "python", "python_callable": "python", "py": "python", "entrypoint": "python", "call": "python",
		"kwargs": "args", "op_kwargs": "args", "arguments": "args", "call_args": "args", "literals": "args",
		"params": "inputs", "parameters": "inputs", "with": "inputs",
		"return": "returns", "outputs": "returns", "schema": "returns", "xcom_schema": "returns",
		"execution_timeout": "timeout", "secrets": "variables",
		"retry": "retries", "max_retries": "retries", "retry_limit": "retries", "attempts": "retries",
		"backoff": "retry_delay", "max_retry_delay": "retry_delay_max",
		"trigger_rule": "when", "if": "when", "rule": "when", "run_if": "when",
	}
)

// suggest returns what word was probably meant to be: of known and of the
// synonyms for them, the nearest, if it is near.
func suggest(word string, known []string, synonyms map[string]string) (string, bool) {
	if len(word) > 4*maxIdentifier {
		return "", false
	}
	best, least := "", 1+min(2, len(word)/2)
	consider := func(spelling, meaning string) {
		if n := distance(strings.ToLower(word), strings.ToLower(spelling), least); n < least {
			best, least = meaning, n
		}
	}
	for _, name := range known {
		consider(name, name)
	}
	for _, spelling := range slices.Sorted(maps.Keys(synonyms)) {
		if meaning := synonyms[spelling]; slices.Contains(known, meaning) {
			consider(spelling, meaning)
		}
	}
	return best, best != ""
}

// distance counts the letters to insert, remove, change or swap with the next
// to make b of a; it is at least limit when it would be more.
func distance(a, b string, limit int) int {
	x, y := []rune(a), []rune(b)
	if len(x)-len(y) >= limit || len(y)-len(x) >= limit {
		return limit
	}
	older, old, row := make([]int, len(y)+1), make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range old {
		old[j] = j
	}
	for i := 1; i <= len(x); i++ {
		row[0] = i
		for j := 1; j <= len(y); j++ {
			change := old[j-1]
			if x[i-1] != y[j-1] {
				change++
			}
			row[j] = min(old[j]+1, row[j-1]+1, change)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				row[j] = min(row[j], older[j-2]+1)
			}
		}
		older, old, row = old, row, older
	}
	return old[len(y)]
}
