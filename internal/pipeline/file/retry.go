package file

import (
	"fmt"
	"time"

	"go.yaml.in/yaml/v3"
)

// When is the rule by which a task starts, once all that it waits for is done.
type When string

// The rules. What could not start because of a failure counts as failed.
const (
	WhenAllSucceeded When = "all_succeeded" // the default
	WhenAllDone      When = "all_done"
	WhenAnySucceeded When = "any_succeeded"
	WhenAnyFailed    When = "any_failed"
	WhenNoneFailed   When = "none_failed"
)

// Retry says how often and after which waits a task that failed is tried again. It is
// zero where it is not.
type Retry struct {
	Times    int           // 1 to 100
	Delay    time.Duration // before the second try; it doubles for each further one, 0 to 24 h
	DelayMax time.Duration // the longest wait, no less than Delay
}

const (
	maxRetryDelay        = 24 * time.Hour
	defaultRetryDelay    = 5 * time.Second
	defaultRetryDelayMax = 5 * time.Minute

	retriesRemedy    = "write a whole number from 0 to 100, or leave the key out"
	retryDelayRemedy = "write a duration with a unit such as 30s or 5m, or leave the key out"
)

// defaults is what each task has that does not say otherwise.
type defaults struct {
	retry   retryKeys
	timeout time.Duration
}

// retryKeys are the keys of a mapping that make a [Retry]; nil where one is not there.
type retryKeys struct {
	times           *int
	delay, delayMax *delay
}

// delay is a wait and where it stands.
type delay struct {
	d  time.Duration
	at *yaml.Node
}

// defaults reads the pipeline's defaults.
func (d *document) defaults() defaults {
	e, ok := d.get(d.root, "defaults")
	if !ok {
		return defaults{}
	}
	out := defaults{retry: d.retryKeys(e.value, "defaults."), timeout: d.timeout(e.value, "defaults.timeout")}
	d.retry(out.retry, retryKeys{}, "defaults.")
	return out
}

// retryKeys reads the keys; prefix begins their names in what is told.
func (d *document) retryKeys(n *yaml.Node, prefix string) retryKeys {
	keys := retryKeys{delay: d.delay(n, "retry_delay", prefix), delayMax: d.delay(n, "retry_delay_max", prefix)}
	if e, ok := d.get(n, "retries"); ok {
		if number, ok := d.convertScalar(e.value).(float64); ok && number >= 0 && number <= 100 {
			times := int(number) // the schema refuses a fraction
			keys.times = &times
		}
	}
	return keys
}

func (d *document) delay(n *yaml.Node, key, prefix string) *delay {
	e, ok := d.get(n, key)
	if !ok || !isText(e.value) {
		return nil
	}
	wait, err := time.ParseDuration(e.value.Value)
	if err != nil || wait < 0 || wait > maxRetryDelay {
		d.faults.at(e.value, func() (string, string) { return badDelay(prefix+key, e.value.Value) })
		return nil
	}
	return &delay{wait, e.value}
}

// badDelay says why text is no wait.
func badDelay(name, text string) (problem, remedy string) {
	wait, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return fmt.Sprintf("%s %s is not a duration", name, quote(text)), retryDelayRemedy
	case wait < 0:
		return fmt.Sprintf("%s %s is below zero", name, quote(text)), retryDelayRemedy
	}
	return fmt.Sprintf("%s %s is over %d hours", name, quote(text), int(maxRetryDelay.Hours())), retryDelayRemedy
}

// retry puts the keys together with those that stand in for them, and records a
// longest wait that is shorter than the first.
func (d *document) retry(own, base retryKeys, prefix string) Retry {
	at := own.delayMax
	if at == nil {
		at = own.delay
	}
	if own.times == nil {
		own.times = base.times
	}
	if own.delay == nil {
		own.delay = base.delay
	}
	if own.delayMax == nil {
		own.delayMax = base.delayMax
	}
	out := Retry{Delay: defaultRetryDelay}
	if own.delay != nil {
		out.Delay = own.delay.d
	}
	out.DelayMax = max(defaultRetryDelayMax, out.Delay)
	if own.delayMax != nil {
		out.DelayMax = own.delayMax.d
	}
	if out.DelayMax < out.Delay && at != nil {
		d.faults.at(at.at, func() (string, string) {
			return fmt.Sprintf("%sretry_delay_max %v is below retry_delay %v", prefix, out.DelayMax, out.Delay),
				"raise retry_delay_max, or lower retry_delay"
		})
	}
	if own.times == nil || *own.times == 0 {
		return Retry{}
	}
	out.Times = *own.times
	return out
}

// when reads the rule of a task, which must wait for something where it needs
// something to have happened.
func (d *document) when(n *yaml.Node, where taskNodes) When {
	e, ok := d.get(n, "when")
	if !ok || !isText(e.value) {
		return WhenAllSucceeded
	}
	rule := When(e.value.Value)
	_, after := d.get(n, "after")
	_, inputs := d.get(n, "inputs")
	if len(where.edges) == 0 && !after && !inputs && (rule == WhenAnySucceeded || rule == WhenAnyFailed) {
		d.faults.at(e.value, func() (string, string) {
			return joined(d.nameOf(where), "when is "+string(rule)+", but the task waits for no other"),
				"add the tasks that it waits for to after, or leave the key out"
		})
	}
	return rule
}

// whenSynonyms are what other tools call the rules.
var whenSynonyms = map[string]string{
	"all_success": string(WhenAllSucceeded), "on_success": string(WhenAllSucceeded), "success": string(WhenAllSucceeded),
	"always": string(WhenAllDone), "all_completed": string(WhenAllDone), "done": string(WhenAllDone), "completed": string(WhenAllDone),
	"one_success": string(WhenAnySucceeded), "any_success": string(WhenAnySucceeded),
	"one_failed": string(WhenAnyFailed), "on_failure": string(WhenAnyFailed), "failed": string(WhenAnyFailed), "failure": string(WhenAnyFailed),
}
