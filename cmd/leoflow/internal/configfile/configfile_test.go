package configfile

import (
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"
)

type shared struct {
	Server string `env:"LEOFLOW_SERVER"`
}

type program struct {
	Config string `env:"LEOFLOW_CONFIG"`
	Run    struct {
		shared
		RunID string        `name:"run-id" env:"LEOFLOW_RUN_ID"`
		Wait  time.Duration `env:"LEOFLOW_RUN_WAIT"`
		Var   []string      `sep:"none" env:"LEOFLOW_RUN_VAR"`
		Loud  bool          `env:"LEOFLOW_RUN_LOUD"`
	} `cmd:""`
	Runs struct {
		List struct {
			shared
			Form string `enum:"table,json" default:"table" env:"LEOFLOW_RUNS_LIST_FORM"`
		} `cmd:""`
	} `cmd:""`
}

func newParser(t testing.TB, p *program, options ...kong.Option) *kong.Kong {
	t.Helper()
	k, err := kong.New(p, append(options, kong.Name("leoflow"))...)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestKeys(t *testing.T) {
	app := newParser(t, &program{}).Model
	var got []string
	for _, command := range app.Leaves(true) {
		for _, flag := range command.Flags {
			key, _ := Key(app, command, flag)
			got = append(got, key)
		}
	}
	want := []string{
		"server", "commands.run.run-id", "commands.run.wait", "commands.run.var", "commands.run.loud",
		"server", "commands.runs.list.form",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestValuesArriveAsWritten parses a command line with a file and looks at the flags.
func TestValuesArriveAsWritten(t *testing.T) {
	const text = `
server: shared:1
commands:
  run: {run-id: 007, wait: 90s, var: ["a=1,2", b=x y], loud: yes}
  runs: {list: {server: "own:1", form: json}}
`
	t.Setenv("LEOFLOW_RUN_WAIT", "5s")
	for args, want := range map[string]string{
		"run":                      "shared:1 007 5s a=1,2;b=x y true table",
		"run --server x:1 --var c": "x:1 007 5s c true table",
		"runs list":                "own:1  5s  false json",
	} {
		var p program
		k := newParser(t, &p)
		f, fault := parse([]byte(text), k.Model)
		if fault != nil {
			t.Fatal(fault)
		}
		if err := kong.Resolvers(f).Apply(k); err != nil {
			t.Fatal(err)
		}
		if _, err := k.Parse(strings.Fields(args)); err != nil {
			t.Fatal(err)
		}
		loud := "false"
		if p.Run.Loud {
			loud = "true"
		}
		got := strings.Join([]string{p.Run.Server + p.Runs.List.Server, p.Run.RunID, p.Run.Wait.String(), strings.Join(p.Run.Var, ";"), loud, p.Runs.List.Form}, " ")
		if got != want {
			t.Errorf("%s: %s, want %s", args, got, want)
		}
	}
}

// FuzzConfigFile holds that any text is taken, or refused by one fault that has a
// problem and a remedy, and a line that the text has.
func FuzzConfigFile(f *testing.F) {
	for _, text := range []string{
		"", "server: a:1", "commands: {run: {var: [a, b], loud: true}}", "commands:\n  runs:\n    list: {form: xml}",
		"a: &a [*a]", "? [x]\n: y", "server: !!binary aGk=", "---\n---\n", "\t", "commands: {run: {wait: 1x}}", "{", "'", "<<: {server: x}",
	} {
		f.Add([]byte(text))
	}
	app := newParser(f, &program{}).Model
	f.Fuzz(func(t *testing.T, text []byte) {
		_, fault := parse(text, app)
		if fault == nil {
			return
		}
		// A line end may be one of YAML's own, so the bytes bound the lines.
		if fault.Problem == "" || fault.Remedy == "" || strings.Contains(fault.Problem, "\n") || fault.Line < 0 || fault.Line > len(text)+1 {
			t.Errorf("%+v of %q", fault, text)
		}
	})
}
