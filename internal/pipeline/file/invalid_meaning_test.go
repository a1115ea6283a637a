package file

import (
	"strings"
)

var invalidMeanings = []invalid{
	// Time-outs.
	{
		"timeout as number", pipe("bash: x", "timeout: 90"),
		`p.yaml:5:14: task "a": timeout must be text, not a number; write a duration with a unit such as 90s or 1h30m, or leave the key out`,
	},
	{
		"timeout without a unit", pipe("bash: x", `timeout: "90"`),
		`p.yaml:5:14: task "a": timeout "90" is not a duration; write a duration with a unit such as 90s or 1h30m, or leave the key out`,
	},
	{
		"timeout in words", pipe("bash: x", "timeout: soon"),
		`p.yaml:5:14: task "a": timeout "soon" is not a duration; write a duration with a unit such as 90s or 1h30m, or leave the key out`,
	},
	{
		"timeout zero", pipe("bash: x", "timeout: 0s"),
		`p.yaml:5:14: task "a": timeout "0s" is not above zero; write a duration with a unit such as 90s or 1h30m, or leave the key out`,
	},
	{
		"timeout negative", pipe("bash: x", "timeout: -5s"),
		`p.yaml:5:14: task "a": timeout "-5s" is not above zero; write a duration with a unit such as 90s or 1h30m, or leave the key out`,
	},
	{
		"timeout with a fraction", pipe("bash: x", "timeout: 1500ms"),
		`p.yaml:5:14: task "a": timeout "1500ms" is not in whole seconds; round it to whole seconds`,
	},
	{
		"timeout too long", pipe("bash: x", "timeout: 2147483648s"),
		`p.yaml:5:14: task "a": timeout "2147483648s" is over 2147483647 seconds; write a duration with a unit such as 90s or 1h30m, or leave the key out`,
	},
	{
		"timeout endless", pipe("bash: x", "timeout: 99999999999999h"),
		`p.yaml:5:14: task "a": timeout "99999999999999h" is not a duration; write a duration with a unit such as 90s or 1h30m, or leave the key out`,
	},

	// The graph.
	{
		"id twice", "name: p\ntasks:\n  - {id: a, bash: x}\n  - {id: b, bash: x}\n  - {id: a, bash: x}\n",
		`p.yaml:5:10: task "a": the id is used twice, first at line 3; give each task an id of its own`,
	},
	{
		"undeclared input", two("inputs: {x: aa}"),
		`p.yaml:6:17: task "b": input "x" names the undeclared task "aa"; did you mean "a"?`,
	},
	{
		"undeclared input far from all", two("inputs: {x: [a, nothing]}"),
		`p.yaml:6:21: task "b": input "x" names the undeclared task "nothing"; declare a task of that id, or correct the name`,
	},
	{
		"undeclared after", two("after:", "  - a", "  - c d"),
		`p.yaml:8:9: task "b": after names the undeclared task "c d"; declare a task of that id, or correct the name`,
	},
	{
		"empty fan-in", two("inputs: {x: []}"),
		`p.yaml:6:17: task "b": input "x" is empty; write "parameter: task" lines, with the id of a task or a list of ids`,
	},
	{
		"number as input", two("inputs: {x: 5}"),
		`p.yaml:6:17: task "b": input "x" must be a task id or a list of them, not a number; write "parameter: task" lines, with the id of a task or a list of ids`,
	},
	{
		"empty parameter", two(`inputs: {"": a}`),
		`p.yaml:6:14: task "b": input "": the name is empty; give it a name`,
	},
	{
		"control character in a parameter", two(`inputs: {"a\tb": a}`),
		`p.yaml:6:14: task "b": input "a\tb": the name holds a control character; remove it`,
	},
	{
		"after twice", two("after: [a, a]"),
		`p.yaml:6:16: task "b": after item 2 is listed twice; remove one of the two`,
	},
	{
		"after as text", two("after: a"),
		`p.yaml:6:12: task "b": after must be a list, not text; write a list of task ids such as [extract], or leave the key out`,
	},
	{
		"waits for itself", two("after: [b]"),
		`p.yaml:6:13: task "b": after names the task itself; remove it: a task cannot wait for itself`,
	},
	{
		"takes from itself", two("inputs: {x: b}"),
		`p.yaml:6:17: task "b": input "x" names the task itself; remove it: a task cannot wait for itself`,
	},
	{
		"cycle of two", "name: p\ntasks:\n  - id: a\n    bash: x\n    after: [b]\n  - id: b\n    bash: x\n    inputs: {v: a}\n",
		`p.yaml:5:13: task "a": after closes a cycle: "a" → "b" → "a" (each waits for the next); remove one of these dependencies`,
	},
	{
		"cycle behind others", "name: p\ntasks:\n" +
			"  - {id: a, bash: x, after: [b]}\n  - {id: b, bash: x, after: [c, d]}\n" +
			"  - {id: c, bash: x}\n  - {id: d, bash: x, after: [e]}\n  - {id: e, bash: x, after: [b]}\n",
		`p.yaml:4:33: task "b": after closes a cycle: "b" → "d" → "e" → "b" (each waits for the next); remove one of these dependencies`,
	},

	// Inputs that would share a variable.
	{
		"colliding parameters", two("inputs:", "  my-zone: a", "  my_Zone: a"),
		`p.yaml:8:7: task "b": inputs "my-zone" and "my_Zone" would share the variable LEOFLOW_XCOM_MY_ZONE; rename one of the two`,
	},
	{
		"parameter like another's path", two("inputs:", "  zone: a", "  zone_path: a"),
		`p.yaml:8:7: task "b": inputs "zone" and "zone_path" would share the variable LEOFLOW_XCOM_ZONE_PATH; rename one of the two`,
	},

	// Return schemas.
	{
		"returns as text", pipe("bash: x", "returns: object"),
		`p.yaml:5:14: task "a": returns must be a mapping, not text; write a JSON Schema such as {type: object}, or leave the key out`,
	},
	{
		"returns of a wrong type", pipe("bash: x", "returns:", "  type: object", "  properties:", "    n: {type: integr}"),
		`p.yaml:8:19: task "a": returns.properties.n.type: value must be one of 'array', 'boolean', 'integer', 'null', 'number', 'object', 'string'; correct the JSON Schema of the return value`,
	},
	{
		"returns with a bad keyword value", pipe("bash: x", "returns:", "  required: yes please"),
		`p.yaml:6:17: task "a": returns.required: got string, want array; correct the JSON Schema of the return value`,
	},
	{
		"returns with a bad pattern", pipe("bash: x", "returns:", "  type: string", "  pattern: '('"),
		"p.yaml:7:16: task \"a\": returns.pattern: '(' is not valid regex: error parsing regexp: missing closing ): `(`; correct the JSON Schema of the return value",
	},
	{
		"returns with a file", pipe("bash: x", "returns:", "  $ref: file:///etc/passwd"),
		`p.yaml:6:13: task "a": returns: it refers to "file:///etc/passwd", but only references within the schema are followed; correct the JSON Schema of the return value`,
	},
	{
		"returns with a file beside it", pipe("bash: x", "returns:", "  $ref: other.json#/a"),
		`p.yaml:6:13: task "a": returns: it refers to "other.json", but only references within the schema are followed; correct the JSON Schema of the return value`,
	},
	{
		"returns with a URL", pipe("bash: x", "returns:", "  $ref: https://example.com/x.json"),
		`p.yaml:6:13: task "a": returns: it refers to "https://example.com/x.json", but only references within the schema are followed; correct the JSON Schema of the return value`,
	},
	{
		"returns with a dangling pointer", pipe("bash: x", "returns: {$ref: '#/$defs/none'}"),
		`p.yaml:5:21: task "a": returns: nothing stands at "#/$defs/none"; correct the JSON Schema of the return value`,
	},
	{
		"returns with an unknown draft", pipe("bash: x", "returns: {$schema: 'https://example.com/draft'}"),
		`p.yaml:5:24: task "a": returns: it refers to "https://example.com/draft", but only references within the schema are followed; correct the JSON Schema of the return value`,
	},
	{
		"returns with infinity", pipe("bash: x", "returns: {maximum: .inf}"),
		`p.yaml:5:24: task "a": returns holds ".inf", which JSON cannot carry exactly; use a finite number, whole ones below 2^53`,
	},
	{
		"returns with a long number", pipe("bash: x", "returns: {maximum: 9007199254740993}"),
		`p.yaml:5:24: task "a": returns holds "9007199254740993", which JSON cannot carry exactly; use a finite number, whole ones below 2^53`,
	},
	{
		"returns too big", pipe("bash: x", "returns: {description: "+strings.Repeat("x", 256<<10)+"}"),
		`p.yaml:5:14: task "a": returns: it is over 256 KiB as JSON; correct the JSON Schema of the return value`,
	},

	// The first of several, whatever finds it.
	{
		"first is a duplicate id", "name: p\ntasks:\n  - {id: a, bash: x}\n  - {id: a, bash: x}\n  - {id: c, scirpt: x}\n",
		`p.yaml:4:10: task "a": the id is used twice, first at line 3; give each task an id of its own`,
	},
	{
		"first is a wrong type", "name: p\nversion: [1]\ntasks:\n  - {id: a, bash: x, after: [zz]}\n",
		`p.yaml:2:10: version must be text, a number or a boolean, not a list; write a version such as "1", or leave the key out`,
	},
	{
		"an unreadable id hides what names it", "name: p\ntasks:\n  - {id: a, bash: x, after: ['5']}\n  - {id: 5, bash: x}\n",
		`p.yaml:4:10: task 2: id must be text, not a number; write "id:" and a name of its own for the task, in quotes if it looks like a number`,
	},
}
