package file

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/neochaotic/leoflow/internal/domain"
)

const everything = `
name: all
description: Every key there is.
version: 1.10
env: {SHARED: pipeline, ZERO: 007, FLAG: true, RATIO: 1e3, DAY: 2026-11-24, EMPTY: "", BIG: .inf}
defaults: {retries: 1, retry_delay: 1m30s, timeout: 2h}
tasks:
  - id: first
    retries: 0
    bash: &script |
      echo "one"
      exit 0
  - id: second
    bash: *script
  - id: third
    description: The last.
    bash: echo done
    env: {SHARED: task, OWN: 1_000}
    after: [second, first]
    inputs:
      z: second
      a: [first, second, first]
      one: [first]
    returns: &schema
      type: object
      properties: {n: {type: integer, maximum: 10}}
    timeout: 1h30m
    retries: 3
    retry_delay: 1500ms
    retry_delay_max: 1h
    when: none_failed
    variables: [A, B]
    connections: [db]
  - id: fourth
    bash: echo done
    after: [third]
    returns: *schema
  - id: fifth
    python: reports.daily:Writer.run
    args:
      z: [1, 1.0, 1e3, -0.0, 2.5e-7, 0x10, 1_000, 123456789012345678901234567890, 18446744073709551615, !!float 1]
      a: {text: "é <&>\"\n", "1": null, flag: true, day: 2026-11-24, "": ~}
      shared: *schema
    inputs: {rows: fourth}
`

func parsed(t testing.TB, text string) *Pipeline {
	t.Helper()
	p, err := Parse("p.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestEveryKeyIsKept(t *testing.T) {
	script := "echo \"one\"\nexit 0\n"
	schema := map[string]any{
		"type":       "object",
		"properties": map[string]any{"n": map[string]any{"type": "integer", "maximum": float64(10)}},
	}
	again := Retry{Times: 1, Delay: 90 * time.Second, DelayMax: 5 * time.Minute}
	want := &Pipeline{
		Name: "all", Description: "Every key there is.", Version: "1.10",
		Env: map[string]string{
			"SHARED": "pipeline", "ZERO": "007", "FLAG": "true", "RATIO": "1e3", "DAY": "2026-11-24", "EMPTY": "", "BIG": ".inf",
		},
		Tasks: []Task{
			{ID: "first", Operator: "bash", Entrypoint: script, Timeout: 2 * time.Hour, When: WhenAllSucceeded},
			{ID: "second", Operator: "bash", Entrypoint: script, Timeout: 2 * time.Hour, Retry: again, When: WhenAllSucceeded},
			{
				ID: "third", Description: "The last.", Operator: "bash", Entrypoint: "echo done",
				Env:   map[string]string{"SHARED": "task", "OWN": "1_000"},
				After: []string{"second", "first"},
				Inputs: []Input{
					{Parameter: "z", Sources: []string{"second"}},
					{Parameter: "a", Sources: []string{"first", "second", "first"}},
					{Parameter: "one", Sources: []string{"first"}},
				},
				Returns: schema, Timeout: 90 * time.Minute,
				Retry: Retry{Times: 3, Delay: 1500 * time.Millisecond, DelayMax: time.Hour}, When: WhenNoneFailed,
				Variables: []string{"A", "B"}, Connections: []string{"db"},
			},
			{ID: "fourth", Operator: "bash", Entrypoint: "echo done", After: []string{"third"}, Returns: schema, Timeout: 2 * time.Hour, Retry: again, When: WhenAllSucceeded},
			{
				ID: "fifth", Operator: "python", Entrypoint: "reports.daily:Writer.run",
				Args: `{"z":[1,1.0,1000.0,-0.0,2.5e-7,16,1000,123456789012345678901234567890,18446744073709551615,1.0],` +
					`"a":{"text":"é \u003c\u0026\u003e\"\n","1":null,"flag":true,"day":"2026-11-24","":null},` +
					`"shared":{"type":"object","properties":{"n":{"type":"integer","maximum":10}}}}`,
				Inputs:  []Input{{Parameter: "rows", Sources: []string{"fourth"}}},
				Timeout: 2 * time.Hour, Retry: again, When: WhenAllSucceeded,
			},
		},
	}
	if diff := cmp.Diff(want, parsed(t, everything)); diff != "" {
		t.Error(diff)
	}
}

func TestUpstreamIsAfterThenInputsEachOnce(t *testing.T) {
	p := parsed(t, "name: p\ntasks:\n  - {id: x, bash: x, after: [c, b], inputs: {m: [a, c], k: b, l: d}}\n"+
		"  - {id: a, bash: x}\n  - {id: b, bash: x}\n  - {id: c, bash: x}\n  - {id: d, bash: x}\n")
	if diff := cmp.Diff([]string{"c", "b", "a", "d"}, p.Upstream("x")); diff != "" {
		t.Error(diff)
	}
	if got := p.Upstream("a"); got != nil {
		t.Errorf("Upstream of a task without dependencies = %v", got)
	}
	if got := p.Upstream("nobody"); got != nil {
		t.Errorf("Upstream of no task = %v", got)
	}
	if _, ok := p.Task("nobody"); ok {
		t.Error("Task found what is not there")
	}
}

func TestDefinitionsMergeEnvAndInventNothing(t *testing.T) {
	defs := parsed(t, everything).Definitions()
	if diff := cmp.Diff(map[string]string{
		"SHARED": "task", "OWN": "1_000", "ZERO": "007", "FLAG": "true", "RATIO": "1e3", "DAY": "2026-11-24", "EMPTY": "", "BIG": ".inf",
	}, defs[2].Spec.Environment); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string][]string{"z": {"second"}, "a": {"first", "second", "first"}, "one": {"first"}}, defs[2].Spec.XComInputMapping); diff != "" {
		t.Error(diff)
	}
	if got := defs[2].Spec.TimeoutSeconds; got != 5400 {
		t.Errorf("TimeoutSeconds = %d, want 5400", got)
	}
	plain := parsed(t, "name: p\ntasks:\n  - {id: a, bash: x}\n  - {id: b, python: m:f, args: {}}\n  - {id: c, python: m:f, args: {n: 1}}\n").Definitions()
	want := []domain.TaskDefinition{
		{TaskID: "a", Spec: domain.TaskSpec{Operator: "bash", Entrypoint: "x"}},
		{TaskID: "b", Spec: domain.TaskSpec{Operator: "python", Entrypoint: "m:f"}},
		{TaskID: "c", Spec: domain.TaskSpec{Operator: "python", Entrypoint: "m:f", CallArgsJSON: `{"n":1}`}},
	}
	if diff := cmp.Diff(want, plain); diff != "" {
		t.Error(diff)
	}
}

func TestDefinitionsAreTheCallersOwn(t *testing.T) {
	p := parsed(t, everything)
	spoilt := p.Definitions()[2]
	spoilt.Spec.Environment["SHARED"] = "spoilt"
	spoilt.Spec.XComInputMapping["a"][0] = "spoilt"
	spoilt.Variables[0] = "spoilt"
	if diff := cmp.Diff(parsed(t, everything), p); diff != "" {
		t.Error(diff)
	}
}

func TestTimeoutBounds(t *testing.T) {
	for text, want := range map[string]int{
		"1s": 1, "2147483647s": 1<<31 - 1, "1.5m": 90, "1000ms": 1, "+1m": 60, ".5m": 30, "1.s": 1, "3600000000000ns": 3600, "1000000µs": 1,
	} {
		p := parsed(t, "name: p\ntasks:\n  - {id: a, bash: x, timeout: "+text+"}\n")
		if got := p.Definitions()[0].Spec.TimeoutSeconds; got != want {
			t.Errorf("timeout %s = %d s, want %d", text, got, want)
		}
	}
}

func TestIdentifiersMayHoldWhatTheProtocolAllows(t *testing.T) {
	id := strings.Repeat("é", 250)
	p := parsed(t, "name: \"a.b:c+d e\"\ntasks:\n  - {id: "+id+", bash: x}\n  - {id: \"x/../y <>*\", bash: x, after: ["+id+"]}\n")
	if p.Tasks[0].ID != id || p.Upstream("x/../y <>*")[0] != id {
		t.Errorf("ids changed: %v", p.Tasks)
	}
}

func TestReturnsMayReferToItselfAndToTheDrafts(t *testing.T) {
	for _, schema := range []string{
		"{}",
		"{$defs: {n: {type: integer}}, properties: {a: {$ref: '#/$defs/n'}}}",
		"{$id: 'https://example.com/mine', $defs: {n: {$anchor: n}}, items: {$ref: '#n'}}",
		"{$schema: 'http://json-schema.org/draft-07/schema#', definitions: {n: {}}, items: [{$ref: '#/definitions/n'}]}",
		"{$ref: 'https://json-schema.org/draft/2020-12/schema'}",
	} {
		p, err := Parse("p.yaml", []byte("name: p\ntasks:\n  - {id: a, bash: x, returns: "+schema+"}\n"))
		if err != nil {
			t.Errorf("%s: %v", schema, err)
		} else if p.Tasks[0].Returns == nil {
			t.Errorf("%s: lost", schema)
		}
	}
}

func TestAEnv4ParametersMapToVariables(t *testing.T) {
	for parameter, want := range map[string]string{
		"zones": "LEOFLOW_XCOM_ZONES", "My-zone.2": "LEOFLOW_XCOM_MY_ZONE_2", "_é": "LEOFLOW_XCOM___", "€ß": "LEOFLOW_XCOM___",
	} {
		if got := domain.XComVariable(parameter); got != want {
			t.Errorf("domain.XComVariable(%q) = %s, want %s", parameter, got, want)
		}
	}
}

// TestCyclesAreFoundExactly holds random graphs against a second opinion: taking
// away, again and again, the tasks that wait for nothing.
func TestCyclesAreFoundExactly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 8).Draw(t, "tasks")
		waits := make(map[int]map[int]bool, n)
		var text strings.Builder
		text.WriteString("name: p\ntasks:\n")
		for i := range n {
			waits[i] = map[int]bool{}
			for _, j := range rapid.SliceOfNDistinct(rapid.IntRange(0, n-1), 0, 3, rapid.ID).Draw(t, "waits") {
				if j != i {
					waits[i][j] = true
				}
			}
			ids := make([]string, 0, 3)
			for _, j := range slices.Sorted(maps.Keys(waits[i])) {
				ids = append(ids, string(rune('a'+j)))
			}
			text.WriteString("  - {id: " + string(rune('a'+i)) + ", bash: x, after: [" + strings.Join(ids, ", ") + "]}\n")
		}
		_, err := Parse("p.yaml", []byte(text.String()))
		if cyclic := !drains(waits); cyclic != (err != nil) {
			t.Fatalf("cyclic is %v, but Parse says %v of\n%s", cyclic, err, &text)
		}
		if err != nil && !strings.Contains(err.Error(), "closes a cycle") {
			t.Fatalf("another fault: %v", err)
		}
	})
}

// drains takes away what waits for nothing until nothing changes, and reports
// whether nothing is left.
func drains(waits map[int]map[int]bool) bool {
	for changed := true; changed; {
		changed = false
		for i, sources := range waits {
			if len(sources) > 0 {
				continue
			}
			delete(waits, i)
			for _, others := range waits {
				delete(others, i)
			}
			changed = true
		}
	}
	return len(waits) == 0
}
