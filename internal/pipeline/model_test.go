package pipeline

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/pipeline/file"
)

// plan is a task of a random pipeline, and how it will go.
type plan struct {
	up      []int // of the tasks before it
	when    file.When
	retries int
	fails   int  // its first tries
	skips   bool // its agent reports it as skipped, where it does not fail
	silent  bool // its agents die without a word where they fail
}

func drawPlans(t *rapid.T) []plan {
	rules := []file.When{file.WhenAllSucceeded, file.WhenAllDone, file.WhenAnySucceeded, file.WhenAnyFailed, file.WhenNoneFailed}
	plans := make([]plan, rapid.IntRange(1, 9).Draw(t, "tasks"))
	for i := range plans {
		p := &plans[i]
		p.retries, p.fails = rapid.IntRange(0, 2).Draw(t, "retries"), rapid.IntRange(0, 3).Draw(t, "fails")
		p.skips, p.silent = rapid.IntRange(0, 4).Draw(t, "skips") == 0, rapid.Bool().Draw(t, "silent")
		for j := range i {
			if rapid.IntRange(0, 2).Draw(t, "waits") == 0 {
				p.up = append(p.up, j)
			}
		}
		if p.when = file.WhenAllSucceeded; len(p.up) > 0 {
			p.when = rapid.SampledFrom(rules).Draw(t, "when")
		}
	}
	return plans
}

// outcomes is what becomes of the tasks, by the words of the rules alone: states, and
// the last tries.
func outcomes(plans []plan) (states []domain.TaskState, tries []int) {
	for _, p := range plans {
		failed, skipped, succeeded := 0, 0, 0
		for _, j := range p.up {
			switch states[j] {
			case domain.TaskStateSuccess:
				succeeded++
			case domain.TaskStateSkipped:
				skipped++
			default:
				failed++
			}
		}
		starts := map[file.When]bool{
			file.WhenAllSucceeded: failed+skipped == 0,
			file.WhenAllDone:      true,
			file.WhenAnySucceeded: succeeded > 0,
			file.WhenAnyFailed:    failed > 0,
			file.WhenNoneFailed:   failed == 0,
		}[p.when]
		state, try := domain.TaskStateSuccess, min(p.fails, p.retries)+1
		switch {
		case !starts && failed > 0:
			state, try = domain.TaskStateUpstreamFailed, 0
		case !starts:
			state, try = domain.TaskStateSkipped, 0
		case p.fails > p.retries:
			state = domain.TaskStateFailed
		case p.skips:
			state = domain.TaskStateSkipped
		}
		states, tries = append(states, state), append(tries, try)
	}
	return states, tries
}

// act is the agent of a task that goes as planned.
func (p plan) act(a *agentSim) Exit {
	switch {
	case a.try <= p.fails && p.silent:
		return Exit{Code: 1}
	case a.try <= p.fails:
		return fail(a)
	case p.skips:
		a.report(skipped, 0, "")
		return Exit{}
	}
	return succeed(a)
}

// TestEveryPipelineEndsAsItsRulesSay drives random pipelines against a model: of their
// graph, their rules, their retries and what their agents do.
func TestEveryPipelineEndsAsItsRulesSay(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		plans := drawPlans(rt)
		graph := make([]string, len(plans))
		for i, p := range plans {
			graph[i] = fmt.Sprintf("t%d:", i)
			for _, j := range p.up {
				graph[i] += fmt.Sprintf(" t%d", j)
			}
		}
		s := newScene(t, graph...)
		s.opts.Parallel = rapid.IntRange(1, 4).Draw(rt, "parallel")
		for i, p := range plans {
			id := fmt.Sprintf("t%d", i)
			s.task(id).When, s.task(id).Retry = p.when, file.Retry{Times: p.retries}
			s.launcher.scripts[id] = p.act
		}
		result, err := s.run(t.Context())
		if err != nil {
			rt.Fatal(err)
		}
		states, tries := outcomes(plans)
		var got, want []string
		for i, task := range result.Tasks {
			got = append(got, fmt.Sprint(task.ID, " ", task.State, " ", task.Try))
			want = append(want, fmt.Sprint(task.ID, " ", states[i], " ", tries[i]))
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			rt.Fatalf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if s.launcher.most > s.opts.Parallel {
			rt.Fatalf("%d agents at once, of %d", s.launcher.most, s.opts.Parallel)
		}
	})
}
