package faults

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/server"
)

// lines is how many lines a task prints on either stream, in two halves.
const lines = 1000

// source is the script of a task that prints, and returns a value, or fails with a
// code, with a stop at the gate before, between and after.
func source(id, end string) string {
	return fmt.Sprintf(`
half() { for ((i = $1; i <= $2; i++)); do echo "%[1]s prints $i"; echo "%[1]s complains $i" >&2; done; }
arrive %[1]s-begin
half 1 %[2]d
arrive %[1]s-middle
half %[3]d %[4]d
arrive %[1]s-end
%[5]s
`, id, lines/2, lines/2+1, lines, end)
}

// value is a script that returns a value of some length, which names its task.
func value(id string) string {
	return fmt.Sprintf(`printf '{"of":"%s","pad":"%%0*d"}' 50000 7 >"$LEOFLOW_RETURN_VALUE_PATH"`, id)
}

// outcome is what is left of a run, to be the same in every weather.
type outcome struct {
	Ends   map[string]string
	Values map[string]string
	Lines  map[string][]string // by task and stream
}

var sources = []string{"a", "b", "c", "broken"}

// createWeather creates the run: three sources with values, one that fails, and two that
// take the values of all of them.
func (r *rig) createWeather() {
	r.t.Helper()
	fanIn := func(id, script string) *controlv1.TaskDefinition {
		task := r.task(id, script)
		task.Inputs = map[string]*controlv1.InputSources{"all": {TaskIds: sources}}
		return task
	}
	r.create(
		r.task("a", source("a", value("a"))), r.task("b", source("b", value("b"))), r.task("c", source("c", value("c"))),
		r.task("broken", source("broken", "exit 3")),
		fanIn("all", source("all", `cp "$LEOFLOW_XCOM_ALL_PATH" "$LEOFLOW_RETURN_VALUE_PATH"`)),
		fanIn("count", `arrive count-begin; arrive count-middle; arrive count-end; wc -c <"$LEOFLOW_XCOM_ALL_PATH"`),
	)
}

// fair is the outcome without a fault.
func fair() outcome {
	out := outcome{Ends: map[string]string{}, Values: map[string]string{}, Lines: map[string][]string{}}
	var all []string
	for _, id := range append(sources, "all") {
		out.Ends[id] = "TASK_STATE_SUCCESS CAUSE_UNSPECIFIED 0"
		for i := 1; i <= lines; i++ {
			out.Lines[id+" stdout"] = append(out.Lines[id+" stdout"], fmt.Sprintf("%d: %s prints %d", i, id, i))
			out.Lines[id+" stderr"] = append(out.Lines[id+" stderr"], fmt.Sprintf("%d: %s complains %d", i, id, i))
		}
		if id != "all" && id != "broken" {
			out.Values[id] = fmt.Sprintf(`{"of":"%s","pad":"%s7"}`, id, strings.Repeat("0", 49999))
			all = append(all, out.Values[id])
		}
	}
	out.Values["all"] = "[" + strings.Join(append(all, "null"), ",") + "]"
	out.Ends["broken"] = "TASK_STATE_FAILED CAUSE_EXIT_NONZERO 3"
	out.Ends["count"] = out.Ends["all"]
	out.Lines["count stdout"] = []string{fmt.Sprintf("1: %d", len(out.Values["all"]))}
	return out
}

// outcome reads what is left of a run that is over.
func (r *rig) outcome() outcome {
	r.t.Helper()
	out := outcome{Ends: map[string]string{}, Values: map[string]string{}, Lines: map[string][]string{}}
	for _, id := range append(sources, "all", "count") {
		a := r.ended(id, 1)
		out.Ends[id] = fmt.Sprint(a.GetState(), a.GetCause(), a.GetExitCode())
		if id != "broken" && id != "count" {
			out.Values[id] = r.value(id)
		}
		for _, rec := range r.records(id, 1) {
			switch {
			case rec.GetMark() != controlv1.LogMark_LOG_MARK_UNSPECIFIED:
				r.t.Errorf("the log of %s has a mark: %v", id, rec)
			case rec.GetStream() != "agent": // what it says of itself may differ
				key := id + " " + rec.GetStream()
				out.Lines[key] = append(out.Lines[key], fmt.Sprintf("%d: %s", rec.GetLineNumber(), rec.GetMessage()))
			}
		}
	}
	return out
}

// weather is what a network does to a run. Each function comes when every task of a
// stage is at the gate, and returns what ends it, which comes after the tasks went on
// to the next stop, or ended.
type weather struct {
	always []toxic
	stages func(*network) (end func())
}

var weathers = map[string]weather{
	"fair": {},
	"latency": {always: []toxic{
		{Type: "latency", Stream: toServer, Attributes: map[string]int{"latency": 40, "jitter": 30}},
		{Type: "latency", Stream: toAgents, Attributes: map[string]int{"latency": 40, "jitter": 30}},
	}},
	"slow": {always: []toxic{
		{Type: "bandwidth", Stream: toServer, Attributes: map[string]int{"rate": 250}}, // KB/s, a connection
		{Type: "slicer", Stream: toServer, Attributes: map[string]int{"average_size": 400, "size_variation": 300, "delay": 100}},
		{Type: "slicer", Stream: toAgents, Attributes: map[string]int{"average_size": 400, "size_variation": 300, "delay": 100}},
	}},
	"resets":                  {stages: func(n *network) func() { return n.cut(6) }},
	"half-open":               {stages: func(n *network) func() { return n.swallow(toServer, toAgents) }},
	"half-open to the server": {stages: func(n *network) func() { return n.swallow(toServer) }},
	"half-open to the agents": {stages: func(n *network) func() { return n.swallow(toAgents) }},
}

// TestLog3EveryNetworkEndsAlike runs the same tasks through every kind of network, and
// finds the same states, values and lines as without a fault: nothing lost, nothing twice.
func TestLog3EveryNetworkEndsAlike(t *testing.T) {
	t.Parallel()
	want := fair()
	for name, w := range weathers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t, server.Config{SilenceWindow: 16 * window})
			n := r.network()
			for _, x := range w.always {
				x.Toxicity = 1
				n.add(x)
			}
			r.createWeather()
			r.through(n, w, sources...)
			r.through(n, w, "all", "count")
			if came := n.log.count("Accepted client"); w.stages != nil && came <= len(want.Ends) {
				t.Errorf("%d connections: nothing broke", came)
			}
			if diff := cmp.Diff(want, r.outcome()); diff != "" {
				t.Errorf("the outcome differs (-want +got):\n%.4000s", diff)
			}
		})
	}
}

// through runs tasks at once, with agents that connect through the network.
func (r *rig) through(n *network, w weather, tasks ...string) {
	r.t.Helper()
	var agents []*agent
	for _, task := range tasks {
		agents = append(agents, r.agent(n.address(), r.launch(task, 1)))
	}
	for _, stop := range []string{"begin", "middle", "end"} {
		var visits []*visit
		for _, task := range tasks {
			visits = append(visits, r.gate.await(task+"-"+stop))
		}
		end := func() {}
		if w.stages != nil {
			end = w.stages(n)
		}
		for _, v := range visits {
			v.pass()
			v.gone()
		}
		end()
	}
	for _, a := range agents {
		a.wantExit(0)
	}
}
