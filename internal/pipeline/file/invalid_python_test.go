package file

import "strings"

var invalidPythons = []invalid{
	// The operator.
	{
		"both operators", pipe("python: m:f", "bash: x"),
		`p.yaml:5:5: task "a" has both bash and python; keep one of the two: a task runs one thing`,
	},
	{
		"both operators, the other way round", pipe("bash: x", "python: m:f"),
		`p.yaml:5:5: task "a" has both bash and python; keep one of the two: a task runs one thing`,
	},
	{
		"another operator", pipe("http_api: https://example.org"),
		`p.yaml:4:5: task "a": unknown key "http_api"; bash and python are the only operators so far`,
	},
	{
		"python misspelt", pipe("pyhton: m:f", "args: {n: 1}"),
		`p.yaml:4:5: task "a": unknown key "pyhton"; did you mean "python"? the keys here are after, args, bash, connections, description, env, id, inputs, python, retries, retry_delay, retry_delay_max, returns, timeout, variables, when`,
	},
	{
		"python of another tool", pipe("args: {n: 1}", "python_callable: m:f"),
		`p.yaml:5:5: task "a": unknown key "python_callable"; did you mean "python"? the keys here are after, args, bash, connections, description, env, id, inputs, python, retries, retry_delay, retry_delay_max, returns, timeout, variables, when`,
	},
	{
		"args of another tool", pipe("python: m:f", "op_kwargs: {n: 1}"),
		`p.yaml:5:5: task "a": unknown key "op_kwargs"; did you mean "args"? the keys here are after, args, bash, connections, description, env, id, inputs, python, retries, retry_delay, retry_delay_max, returns, timeout, variables, when`,
	},
	{
		"no function", pipe("python: reports"),
		`p.yaml:4:13: task "a": python "reports" is not module:function; write "python: module:function", such as reports.daily:write`,
	},
	{
		"a path", pipe("python: reports/daily.py:write"),
		`p.yaml:4:13: task "a": python "reports/daily.py:write" is not module:function; write "python: module:function", such as reports.daily:write`,
	},
	{
		"source", pipe("python: |", "  print(1)"),
		`p.yaml:4:13: task "a": python "print(1)\n" is not module:function; write "python: module:function", such as reports.daily:write`,
	},
	{
		"a space after the colon", pipe("python: {m: f}"),
		`p.yaml:4:13: task "a": python must be text, not a mapping; write "python: module:function", such as reports.daily:write`,
	},
	{
		"empty function", pipe(`python: ""`),
		`p.yaml:4:13: task "a": python is empty; write "python: module:function", such as reports.daily:write`,
	},
	{
		"no text", pipe(`python:`),
		`p.yaml:4:12: task "a": python must be text, not empty; write "python: module:function", such as reports.daily:write`,
	},
	{
		"long function", pipe("python: m:" + strings.Repeat("f", 999)),
		`p.yaml:4:13: task "a": python is 1001 characters long; use at most 1000`,
	},

	// The arguments.
	{
		"args for bash", pipe("bash: x", "args: {n: 1}"),
		`p.yaml:5:5: task "a": args is for python tasks only; put the values into env, where a script finds them`,
	},
	{
		"args as list", pipe("python: m:f", "args: [1]"),
		`p.yaml:5:11: task "a": args must be a mapping, not a list; write "name: value" lines, or leave the key out`,
	},
	{
		"name of an argument", pipe("python: m:f", "args: {my-zone: 1}"),
		`p.yaml:5:12: task "a": arg "my-zone": no argument of a Python function has such a name; use letters, digits and _, and no digit first`,
	},
	{
		"empty name of an argument", pipe("python: m:f", `args: {"": 1}`),
		`p.yaml:5:12: task "a": arg "": the name is empty; give it a name`,
	},
	{
		"number as name of an argument", pipe("python: m:f", "args: {1: 1}"),
		`p.yaml:5:12: key "1" is a number, not text; put the key in quotes`,
	},
	{
		"argument twice", pipe("python: m:f", "args:", "  n: 1", "  n: 2"),
		`p.yaml:7:7: duplicate key "n", first at line 6; keep one of the two`,
	},
	{
		"infinite argument", pipe("python: m:f", "args:", "  n: [1, {m: -.inf}]"),
		`p.yaml:6:18: task "a": args holds "-.inf", which JSON cannot carry; use a finite number, or text in quotes`,
	},
	{
		"big arguments", pipe("python: m:f", "args: {n: "+strings.Repeat("x", 127<<10)+"}"),
		`p.yaml:5:11: task "a": args is over 127 KiB as JSON; keep it in a file beside the pipeline, and pass its name`,
	},
	{
		"arguments that aliases blow up", pipe("python: m:f", "args:", "  a: &a "+strings.Repeat("x", 1<<20), "  b: &b ["+strings.Repeat("*a, ", 1000)+"*a]",
			"  c: ["+strings.Repeat("*b, ", 30)+"*b]"),
		`p.yaml:6:7: task "a": args is over 127 KiB as JSON; keep it in a file beside the pipeline, and pass its name`,
	},
	{
		"argument and input", two("after: [c]") + "  - {id: c, python: m:f, args: {n: 1, rows: 2}, inputs: {rows: a}}\n",
		`p.yaml:7:58: task "c": the argument "rows" is in args and in inputs; keep one of the two`,
	},
	{
		"input and argument", two("after: [c]") + "  - {id: c, python: m:f, inputs: {rows: a}, args: {n: 1, rows: 2}}\n",
		`p.yaml:7:58: task "c": the argument "rows" is in args and in inputs; keep one of the two`,
	},
	{
		"input that names no argument", two("after: [c]") + "  - {id: c, python: m:f, inputs: {my-zone: a}}\n",
		`p.yaml:7:35: task "c": input "my-zone": no argument of a Python function has such a name; use letters, digits and _, and no digit first`,
	},
}
