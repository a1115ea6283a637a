package file

import (
	"fmt"
	"slices"
	"strings"
)

// invalid is a file that is refused, and the line that says why.
type invalid struct{ name, text, want string }

// pipe returns a pipeline of one task with the given lines below its id.
func pipe(lines ...string) string {
	return "name: p\ntasks:\n  - id: a\n    " + strings.Join(lines, "\n    ") + "\n"
}

// two returns a pipeline of tasks a and b, with the given lines in b.
func two(lines ...string) string {
	return "name: p\ntasks:\n  - {id: a, bash: x}\n  - id: b\n    bash: x\n    " + strings.Join(lines, "\n    ") + "\n"
}

// bomb returns a file whose aliases double n times.
func bomb(n int) string {
	var b strings.Builder
	b.WriteString("x0: &x0 [1, 1]\n")
	for i := 1; i <= n; i++ {
		fmt.Fprintf(&b, "x%d: &x%d [*x%d, *x%d]\n", i, i, i-1, i-1)
	}
	return b.String()
}

// invalids are those of all the files.
var invalids = slices.Concat(invalidShapes, invalidMeanings, invalidPythons, invalidRetries)

var invalidShapes = []invalid{
	// YAML.
	{
		"empty", "",
		`p.yaml:1:1: the file holds no pipeline; begin with "name:" and "tasks:"`,
	},
	{
		"blank", "\n\n",
		`p.yaml:1:1: the file holds no pipeline; begin with "name:" and "tasks:"`,
	},
	{
		"comment only", "# nothing\n",
		`p.yaml:1:1: the file holds no pipeline; begin with "name:" and "tasks:"`,
	},
	{
		"null document", "---\n",
		`p.yaml:1:1: the file holds no pipeline; begin with "name:" and "tasks:"`,
	},
	{
		"list", "- a\n",
		`p.yaml:1:1: the pipeline must be a mapping, not a list; write "name:" and "tasks:" at the top of the file`,
	},
	{
		"text", "hello\n",
		`p.yaml:1:1: the pipeline must be a mapping, not text; write "name:" and "tasks:" at the top of the file`,
	},
	{
		"two documents", pipe("bash: x") + "---\nname: q\n",
		`p.yaml:5:1: a second YAML document begins here; keep one pipeline a file: remove the "---" and what follows`,
	},
	{
		"junk after the document", pipe("bash: x") + "...\nfoo\n",
		`p.yaml:6:1: not YAML: did not find expected <document start>; check the indentation here and in the lines below`,
	},
	{
		"open bracket", "name: p\ntasks: [a\n",
		`p.yaml:2:1: not YAML: did not find expected ',' or ']'; close the bracket, or put a comma between the items`,
	},
	{
		"bad indentation", "name: p\ntasks:\n  - id: a\n   bash: x\n",
		`p.yaml:3:3: not YAML: did not find expected '-' indicator; check the indentation here and in the lines below`,
	},
	{
		"tab", "name: p\n\tversion: 1\n",
		`p.yaml:2:2: not YAML: found a tab character that violates indentation; indent with spaces`,
	},
	{
		"nested mapping value", "name: p: q\n",
		`p.yaml:1:1: not YAML: mapping values are not allowed in this context; quote a value that holds ": ", and check the indentation`,
	},
	{
		"no colon", "name: p\nversion\ntasks: []\n",
		`p.yaml:2:1: not YAML: could not find expected ':'; check the indentation here and in the lines below`,
	},
	{
		"open quote", "name: \"p\ntasks: []\n",
		`p.yaml:2:1: not YAML: found unexpected end of stream; close the quote that was opened last`,
	},
	{
		"odd sign", "name: p\nversion: @1\n",
		`p.yaml:2:1: not YAML: found character that cannot start any token; quote a value that begins with a sign such as @, %, * or a backquote`,
	},
	{
		"unknown anchor", "name: p\nversion: *v\n",
		`p.yaml:2:1: not YAML: unknown anchor 'v' referenced; define the anchor with "&" before it is used, or quote the value`,
	},
	{
		"unknown escape", "name: \"\\q\"\n",
		`p.yaml:1:1: not YAML: found unknown escape character; write "\\" for a backslash, or use single quotes`,
	},
	{
		"not UTF-8", "name: p\nversion: a\xffb\n",
		`p.yaml:2:11: byte 0xFF is not UTF-8 text; save the file as UTF-8`,
	},
	{
		"control character", "name: p\nversion: a\x01b\n",
		`p.yaml:2:11: character U+0001 is not allowed in YAML; remove it, or write it as an escape such as "\u0001" in double quotes`,
	},
	{
		"UTF-16", "\xff\xfen\x00",
		`p.yaml:1:1: byte 0xFF is not UTF-8 text; save the file as UTF-8`,
	},
	{
		"duplicate key", "name: p\nname: q\ntasks: []\n",
		`p.yaml:2:1: duplicate key "name", first at line 1; keep one of the two`,
	},
	{
		"duplicate key in env", pipe("bash: x", "env:", "  A: 1", "  A: 2"),
		`p.yaml:7:7: duplicate key "A", first at line 6; keep one of the two`,
	},
	{
		"merge key", "name: p\nenv: &e {A: 1}\ntasks:\n  - id: a\n    bash: x\n    env:\n      <<: *e\n",
		`p.yaml:7:7: merge keys ("<<") are not supported; write the keys out; what all tasks share can go into the pipeline's env`,
	},
	{
		"number as key", pipe("bash: x", "env:", "  1: x"),
		`p.yaml:6:7: key "1" is a number, not text; put the key in quotes`,
	},
	{
		"list as key", pipe("bash: x", "[a]: b"),
		`p.yaml:5:5: a key must be text, not a list; write a plain key`,
	},
	{
		"own tag", "name: !mine p\ntasks:\n  - {id: a, bash: x}\n",
		`p.yaml:1:7: the YAML tag "!mine" is not supported here; remove the tag`,
	},
	{
		"binary", "name: !!binary aGk=\ntasks:\n  - {id: a, bash: x}\n",
		`p.yaml:1:7: the YAML tag "!!binary" is not supported here; remove the tag`,
	},
	{
		"tag that does not fit", "name: p\nversion: !!int x\ntasks:\n  - {id: a, bash: x}\n",
		`p.yaml:2:10: "x" does not fit its YAML tag "!!int"; remove the tag`,
	},
	{
		"alias bomb", bomb(40),
		`p.yaml:1:10: aliases expand to more than 100000 values; use fewer aliases`,
	},
	{
		"endless alias", "name: p\nenv: &e {A: *e}\n",
		`p.yaml:2:13: alias "*e" stands for a value that contains itself; write the value out`,
	},
	{
		"too deep", "name: p\nenv: " + strings.Repeat("[", 200) + strings.Repeat("]", 200) + "\n",
		`p.yaml:2:106: values nest more than 100 deep; nest less deeply`,
	},
	{
		"too big", "name: p # " + strings.Repeat("x", MaxBytes) + "\n",
		`p.yaml:1:1: the file is over 4 MiB; move long scripts and data into files beside it`,
	},

	// The shape.
	{
		"no name", "tasks:\n  - {id: a, bash: x}\n",
		`p.yaml:1:1: missing "name"; write "name:" and an id for the pipeline, in quotes if it looks like a number`,
	},
	{
		"no tasks", "name: p\n",
		`p.yaml:1:1: missing "tasks"; write "tasks:" and a list of tasks, each beginning with "- id:"`,
	},
	{
		"empty tasks", "name: p\ntasks: []\n",
		`p.yaml:2:8: tasks is empty; write "tasks:" and a list of tasks, each beginning with "- id:"`,
	},
	{
		"null tasks", "name: p\ntasks:\n",
		`p.yaml:2:7: tasks must be a list, not empty; write "tasks:" and a list of tasks, each beginning with "- id:"`,
	},
	{
		"tasks as mapping", "name: p\ntasks:\n  a: {bash: x}\n",
		`p.yaml:3:3: tasks must be a list, not a mapping; write "tasks:" and a list of tasks, each beginning with "- id:"`,
	},
	{
		"task as text", "name: p\ntasks: [a]\n",
		`p.yaml:2:9: task "a" must be a mapping, not text; write "tasks:" and a list of tasks, each beginning with "- id:"`,
	},
	{
		"unknown key", "name: p\ndescripton: x\ntasks:\n  - {id: a, bash: x}\n",
		`p.yaml:2:1: unknown key "descripton"; did you mean "description"? the keys here are defaults, description, env, name, tasks, version`,
	},
	{
		"unknown key of another tool", "dag_id: p\ntasks:\n  - {id: a, bash: x}\n",
		`p.yaml:1:1: unknown key "dag_id"; did you mean "name"? the keys here are defaults, description, env, name, tasks, version`,
	},
	{
		"unknown key of a task", pipe("scirpt: x"),
		`p.yaml:4:5: task "a": unknown key "scirpt"; did you mean "bash"? the keys here are after, args, bash, connections, description, env, id, inputs, python, retries, retry_delay, retry_delay_max, returns, timeout, variables, when`,
	},
	{
		"unknown key without a likeness", pipe("bash: x", "colour: red"),
		`p.yaml:5:5: task "a": unknown key "colour"; the keys here are after, args, bash, connections, description, env, id, inputs, python, retries, retry_delay, retry_delay_max, returns, timeout, variables, when`,
	},
	{
		"name for id", "name: p\ntasks:\n  - name: a\n    bash: x\n",
		`p.yaml:3:5: task 1: unknown key "name"; did you mean "id"? the keys here are after, args, bash, connections, description, env, id, inputs, python, retries, retry_delay, retry_delay_max, returns, timeout, variables, when`,
	},
	{
		"no id", "name: p\ntasks:\n  - {id: a, bash: x}\n  - bash: x\n",
		`p.yaml:4:5: task 2: missing "id"; write "id:" and a name of its own for the task, in quotes if it looks like a number`,
	},
	{
		"no operator", pipe("env: {A: 1}"),
		`p.yaml:3:5: task "a": missing "bash" or "python"; write "bash: |" and the script in the lines below, indented; or write "python: module:function", such as reports.daily:write`,
	},
	{
		"number as id", "name: p\ntasks:\n  - id: 1\n    bash: x\n",
		`p.yaml:3:9: task 1: id must be text, not a number; write "id:" and a name of its own for the task, in quotes if it looks like a number`,
	},
	{
		"empty id", "name: p\ntasks:\n  - id: \"\"\n    bash: x\n",
		`p.yaml:3:9: task 1: id is empty; write "id:" and a name of its own for the task, in quotes if it looks like a number`,
	},
	{
		"long id", "name: p\ntasks:\n  - id: " + strings.Repeat("é", 251) + "\n    bash: x\n",
		`p.yaml:3:9: task "éééééééééééééééééééééééééééééééééééééééééééééééééééééééééééé"…: id is 251 characters long; use at most 250`,
	},
	{
		"control character in an id", "name: p\ntasks:\n  - id: \"a\\nb\"\n    bash: x\n",
		`p.yaml:3:9: task "a\nb": id holds a control character: "a\nb"; remove it`,
	},
	{
		"control character in the name", "name: \"a\\u0085b\"\ntasks:\n  - {id: a, bash: x}\n",
		`p.yaml:1:7: name holds a control character: "a\u0085b"; remove it`,
	},
	{
		"list as name", "name: [p]\ntasks:\n  - {id: a, bash: x}\n",
		`p.yaml:1:7: name must be text, not a list; write "name:" and an id for the pipeline, in quotes if it looks like a number`,
	},
	{
		"list as version", "name: p\nversion: [1]\ntasks:\n  - {id: a, bash: x}\n",
		`p.yaml:2:10: version must be text, a number or a boolean, not a list; write a version such as "1", or leave the key out`,
	},
	{
		"long number as version", "name: p\nversion: " + strings.Repeat("1", 251) + "\ntasks:\n  - {id: a, bash: x}\n",
		`p.yaml:2:10: version is 251 characters long; use at most 250`,
	},
	{
		"number as description", pipe("bash: x", "description: 5"),
		`p.yaml:5:18: task "a": description must be text, not a number; write text, or leave the key out`,
	},
	{
		"empty script", pipe(`bash: ""`),
		`p.yaml:4:11: task "a": bash is empty; write "bash: |" and the script in the lines below, indented`,
	},
	{
		"blank script", pipe(`bash: " \n "`),
		`p.yaml:4:11: task "a": bash is an empty script; write "bash: |" and the script in the lines below, indented`,
	},
	{
		"no script", pipe(`bash:`),
		`p.yaml:4:10: task "a": bash must be text, not empty; write "bash: |" and the script in the lines below, indented`,
	},
	{
		"NUL in a script", pipe(`bash: "a\0b"`),
		`p.yaml:4:11: task "a": bash holds a NUL character; remove it: no program can be given one`,
	},
	{
		"big script", pipe("bash: " + strings.Repeat("x", 1<<20+1)),
		`p.yaml:4:11: task "a": bash is over 1024 KiB; keep it in a file beside the pipeline, and read it from there`,
	},
	{
		"list as script", pipe("bash: [ls]"),
		`p.yaml:4:11: task "a": bash must be text, not a list; write "bash: |" and the script in the lines below, indented`,
	},
	{
		"env as list", pipe("bash: x", "env: [A=1]"),
		`p.yaml:5:10: task "a": env must be a mapping, not a list; write "NAME: value" lines; an empty value is ""`,
	},
	{
		"env without a value", pipe("bash: x", "env: {A: }"),
		`p.yaml:5:14: task "a": env "A" must be text, a number or a boolean, not empty; write "NAME: value" lines; an empty value is ""`,
	},
	{
		"env with a list", pipe("bash: x", "env:", "  A: [1]"),
		`p.yaml:6:10: task "a": env "A" must be text, a number or a boolean, not a list; write "NAME: value" lines; an empty value is ""`,
	},
	{
		"empty env name", pipe("bash: x", `env: {"": x}`),
		`p.yaml:5:11: task "a": env "": the name is empty; give it a name`,
	},
	{
		"env name with =", pipe("bash: x", `env: {"A=B": x}`),
		`p.yaml:5:11: task "a": env "A=B": the name holds "=" or a NUL character; use letters, digits and _`,
	},
	{
		"env name with NUL", pipe("bash: x", `env: {"A\0": x}`),
		`p.yaml:5:11: task "a": env "A\x00": the name holds "=" or a NUL character; use letters, digits and _`,
	},
	{
		"long env name", pipe("bash: x", "env: {"+strings.Repeat("A", 251)+": x}"),
		`p.yaml:5:11: task "a": env "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"…: the name is 251 characters long; use at most 250`,
	},
	{
		"reserved env name", "name: p\nenv: {LEOFLOW_XCOM_A: x}\ntasks:\n  - {id: a, bash: x}\n",
		`p.yaml:2:7: env "LEOFLOW_XCOM_A" is reserved: it is set for the task; choose another name`,
	},
	{
		"NUL in an env value", pipe("bash: x", `env: {A: "\0"}`),
		`p.yaml:5:14: task "a": env "A" holds a NUL character; remove it: no program can be given one`,
	},
	{
		"variables as text", pipe("bash: x", "variables: A"),
		`p.yaml:5:16: task "a": variables must be a list, not text; write a list of names such as [A, B], or leave the key out`,
	},
	{
		"variable twice", pipe("bash: x", "variables: [A, B, A]"),
		`p.yaml:5:23: task "a": variables item 3 is listed twice; remove one of the two`,
	},
	{
		"empty connection", pipe("bash: x", `connections: [""]`),
		`p.yaml:5:19: task "a": connections item 1 is empty; write a list of ids such as [db], or leave the key out`,
	},
}
