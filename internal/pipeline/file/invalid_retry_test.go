package file

const (
	tellRetries = "write a whole number from 0 to 100, or leave the key out"
	tellDelay   = "write a duration with a unit such as 30s or 5m, or leave the key out"
	tellRules   = "the rules are all_succeeded, all_done, any_succeeded, any_failed, none_failed"
)

var invalidRetries = []invalid{
	{
		"retries below zero", pipe("bash: x", "retries: -1"),
		`p.yaml:5:14: task "a": retries is -1; ` + tellRetries,
	},
	{
		"many retries", pipe("bash: x", "retries: 101"),
		`p.yaml:5:14: task "a": retries is 101; ` + tellRetries,
	},
	{
		"retries as text", pipe("bash: x", "retries: often"),
		`p.yaml:5:14: task "a": retries must be a whole number, not text; ` + tellRetries,
	},
	{
		"half a retry", pipe("bash: x", "retries: 1.5"),
		`p.yaml:5:14: task "a": retries must be a whole number, not 1.5; ` + tellRetries,
	},
	{
		"retry of another tool", pipe("bash: x", "max_retries: 1"),
		`p.yaml:5:5: task "a": unknown key "max_retries"; did you mean "retries"? the keys here are after, args, bash, connections, description, env, id, inputs, python, retries, retry_delay, retry_delay_max, returns, timeout, variables, when`,
	},
	{
		"delay without a unit", pipe("bash: x", `retry_delay: "5"`),
		`p.yaml:5:18: task "a": retry_delay "5" is not a duration; ` + tellDelay,
	},
	{
		"delay below zero", pipe("bash: x", "retry_delay: -5s"),
		`p.yaml:5:18: task "a": retry_delay "-5s" is below zero; ` + tellDelay,
	},
	{
		"delay of days", pipe("bash: x", "retry_delay_max: 24h1ms"),
		`p.yaml:5:22: task "a": retry_delay_max "24h1ms" is over 24 hours; ` + tellDelay,
	},
	{
		"delay as a number", pipe("bash: x", "retry_delay: 5"),
		`p.yaml:5:18: task "a": retry_delay must be text, not a number; ` + tellDelay,
	},
	{
		"longest delay below the first", pipe("bash: x", "retry_delay: 1m", "retry_delay_max: 59s"),
		`p.yaml:6:22: task "a": retry_delay_max 59s is below retry_delay 1m0s; raise retry_delay_max, or lower retry_delay`,
	},
	{
		"delay above the longest of the defaults", "name: p\ndefaults: {retry_delay_max: 9s}\ntasks:\n  - {id: a, bash: x, retry_delay: 10s}\n",
		`p.yaml:4:35: task "a": retry_delay_max 9s is below retry_delay 10s; raise retry_delay_max, or lower retry_delay`,
	},
	{
		"defaults that do not fit", "name: p\ndefaults: {retry_delay_max: 4s}\ntasks:\n  - {id: a, bash: x}\n",
		`p.yaml:2:29: defaults.retry_delay_max 4s is below retry_delay 5s; raise retry_delay_max, or lower retry_delay`,
	},
	{
		"unknown default", "name: p\ndefaults: {retrys: 1}\ntasks:\n  - {id: a, bash: x}\n",
		`p.yaml:2:12: defaults: unknown key "retrys"; did you mean "retries"? the keys here are retries, retry_delay, retry_delay_max, timeout`,
	},
	{
		"default of a wrong kind", "name: p\ndefaults: {retries: x}\ntasks:\n  - {id: a, bash: x}\n",
		`p.yaml:2:21: defaults.retries must be a whole number, not text; ` + tellRetries,
	},
	{
		"default time-out", "name: p\ndefaults: {timeout: 0s}\ntasks:\n  - {id: a, bash: x}\n",
		`p.yaml:2:21: defaults.timeout "0s" is not above zero; ` + timeoutRemedy,
	},
	{
		"defaults as a list", "name: p\ndefaults: [1]\ntasks:\n  - {id: a, bash: x}\n",
		`p.yaml:2:11: defaults must be a mapping, not a list; write "key: value" lines such as "retries: 2", or leave the key out`,
	},
	{
		"rule of another tool", two("after: [a]", "when: one_failed"),
		`p.yaml:7:11: task "b": when is "one_failed", which is no rule; did you mean "any_failed"? ` + tellRules,
	},
	{
		"no such rule", two("after: [a]", "when: monday"),
		`p.yaml:7:11: task "b": when is "monday", which is no rule; ` + tellRules,
	},
	{
		"rule as a list", two("after: [a]", "when: [all_done]"),
		`p.yaml:7:11: task "b": when must be text, not a list; write all_succeeded, all_done, any_succeeded, any_failed or none_failed, or leave the key out`,
	},
	{
		"rule about nothing", pipe("bash: x", "when: any_failed"),
		`p.yaml:5:11: task "a": when is any_failed, but the task waits for no other; add the tasks that it waits for to after, or leave the key out`,
	},
}
