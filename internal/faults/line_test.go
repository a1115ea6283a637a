package faults

import (
	"fmt"
	"testing"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/pgtest"
	"github.com/neochaotic/leoflow/internal/server"
)

// badLines lie between a server and its database. A limit ends each connection
// after so many bytes, wherever that is: between a commit and its answer too.
var badLines = map[string][]toxic{
	"breaks": {
		{Type: "limit_data", Stream: fromDatabase, Attributes: map[string]int{"bytes": 3000}},
		{Type: "limit_data", Stream: toDatabase, Attributes: map[string]int{"bytes": 9000}},
	},
	"slow": {
		{Type: "latency", Stream: toDatabase, Attributes: map[string]int{"latency": 15, "jitter": 10}},
		{Type: "slicer", Stream: fromDatabase, Attributes: map[string]int{"average_size": 100, "size_variation": 50, "delay": 200}},
	},
}

// TestState3NoLineToPostgresLosesOrDoubles runs tasks from their beginning to their end
// over a bad line to the database: each change of each is stored, once.
func TestState3NoLineToPostgresLosesOrDoubles(t *testing.T) {
	o := pgtest.NewOwn(t)
	for name, toxics := range badLines {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			database := "line_" + name
			o.Exec("CREATE DATABASE " + database)
			n := networkTo(t, o.Addr())
			r := start(t, server.Config{Database: o.Through(n.address(), database), SilenceWindow: 4 * window})
			const each = 8
			tasks := append(r.mixed(each), r.waiting("runs"))
			r.create(tasks...)
			var tokens []string
			for _, task := range tasks[:2*each] {
				tokens = append(tokens, r.launch(task.GetTaskId(), 1))
			}
			runs := r.deployed("runs", 3*window/8)
			came := n.log.count("Accepted client")
			for _, x := range toxics {
				x.Toxicity = 1
				n.add(x)
			}
			var agents []*agent
			for _, token := range tokens {
				agents = append(agents, r.agent(r.addr, token))
			}
			for _, a := range agents {
				a.wantExit(0) // each report was acknowledged
			}
			if broke := n.log.count("Accepted client") - came; name == "breaks" && broke < 3 {
				t.Errorf("%d connections: nothing broke", broke)
			}
			for _, x := range toxics {
				n.remove(x.Type + " " + x.Stream)
			}
			runs.wantUndisturbed(1)
			if err := await(t, "answered: the report of a deployed agent", runs.ends()); err != nil {
				t.Error(err)
			}
			r.wantEnd("runs", success, none, 0)
			for i := range each {
				r.wantEnd(fmt.Sprint("gives", i), success, none, 0)
				r.wantEnd(fmt.Sprint("fails", i), failed, exitNonzero, 3)
				if value := r.value(fmt.Sprint("gives", i)); value != fmt.Sprintf(`"%d"`, i) {
					t.Errorf("value %d is %s", i, value)
				}
			}
			r.wantChanges(3 * len(tasks))
		})
	}
}

// mixed are n tasks that return a value, and n that fail.
func (r *rig) mixed(n int) (out []*controlv1.TaskDefinition) {
	for i := range n {
		out = append(out,
			r.task(fmt.Sprint("gives", i), fmt.Sprintf(`printf '"%d"' >"$LEOFLOW_RETURN_VALUE_PATH"`, i)),
			r.task(fmt.Sprint("fails", i), "exit 3"))
	}
	return out
}
