package main

import (
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"

	"github.com/neochaotic/leoflow/internal/server"
)

func TestBadInputIsOneLineAndCodeTwo(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "keys.json"), "{}")
	pipelineOfOne := pipelineFile(t, "name: p\ntasks: [{id: a, bash: 'true'}]\n")
	for name, tc := range map[string]struct {
		args []string
		want []string // pieces of the line
	}{
		"unknown flag":     {[]string{"run", "--colour", "p.yaml"}, []string{"--colour", "leoflow run --help"}},
		"unknown command":  {[]string{"fly"}, []string{"fly", "leoflow --help"}},
		"no command":       {nil, []string{`"run"`, "leoflow --help"}},
		"no file":          {[]string{"run"}, []string{"<pipeline>", "leoflow run --help"}},
		"missing file":     {[]string{"run", "none.yaml"}, []string{"none.yaml", "no such file", "check the path"}},
		"flag value":       {[]string{"run", "--parallel", "many", "p.yaml"}, []string{"--parallel", `"many"`}},
		"role":             {[]string{"token", "--role", "king"}, []string{"--role", `"king"`, "viewer"}},
		"life":             {[]string{"token", "--life=-1h"}, []string{"--life", "-1h", "give"}},
		"no key":           {[]string{"token", "--data-dir", "/nowhere"}, []string{"/nowhere", "data directory of a server"}},
		"broken key":       {[]string{"token", "--data-dir", dir}, []string{dir, "no signing key"}},
		"no tenant":        {[]string{"token", "--tenant", " "}, []string{"--tenant is empty", "give a name"}},
		"no subject":       {[]string{"token", "--subject="}, []string{"--subject is empty", "give a name"}},
		"address":          {[]string{"serve", "--addr", "7400"}, []string{"--addr", `"7400"`, "host:port"}},
		"no address":       {[]string{"serve", "--addr="}, []string{"--addr is empty"}},
		"no directory":     {[]string{"serve", "--data-dir="}, []string{"--data-dir is empty"}},
		"metrics address":  {[]string{"serve", "--metrics-addr", "9090"}, []string{"--metrics-addr", `"9090"`, "host:port"}},
		"remote plaintext": {[]string{"serve", "--addr", "0.0.0.0:0"}, []string{"--addr", "0.0.0.0:0", "TLS", "--allow-plaintext-remote"}},
		"half of TLS":      {[]string{"serve", "--tls-cert", "c.pem"}, []string{"--tls-cert, --tls-key", "both"}},
		"no certificate":   {[]string{"serve", "--tls-cert", "c.pem", "--tls-key", "k.pem"}, []string{"--tls-cert", `"c.pem"`, "give a PEM certificate"}},
		"no XCom":          {[]string{"serve", "--xcom-max-bytes", "0"}, []string{"--xcom-max-bytes is 0", "1 or more"}},
		"large XCom":       {[]string{"serve", "--xcom-max-bytes", "999999999"}, []string{"--xcom-max-bytes", "999999999", "between 1 and"}},
		"XCom life":        {[]string{"serve", "--xcom-ttl=-1h"}, []string{"--xcom-ttl is -1h", "at least 1s"}},
		"short XCom life":  {[]string{"serve", "--xcom-ttl=1ms"}, []string{"--xcom-ttl", "1ms", "at least one second"}},
		"silence":          {[]string{"serve", "--silence-window", "0s"}, []string{"--silence-window is 0s", "at least 1s"}},
		"short silence":    {[]string{"serve", "--silence-window", "1ms"}, []string{"--silence-window", "1ms", "at least one second"}},
		"no rate":          {[]string{"serve", "--attempt-rate", "0"}, []string{"--attempt-rate is 0", "1 or more"}},
		"tenant rate":      {[]string{"serve", "--tenant-rate", "100"}, []string{"--tenant-rate", "tenant rate 100", "at least the attempt rate, 200"}},
		"no time":          {[]string{"serve", "--authenticate-within", "0s"}, []string{"--authenticate-within is 0s", "leave it out"}},
		"little time":      {[]string{"serve", "--authenticate-within", "2s"}, []string{"--authenticate-within", "at least the time for handshakes, 20s"}},
		"long queue":       {[]string{"serve", "--queue-window", "25h"}, []string{"--queue-window", "25h", "at most 24h"}},
		"queue":            {[]string{"serve", "--queue-window", "soon"}, []string{"--queue-window", "soon"}},
		"parallel":         {[]string{"run", "--parallel=-1", pipelineOfOne}, []string{"--parallel is -1", "give 1 or more"}},
		"two planes":       {[]string{"run", "--server", "a:1", "--data-dir", "d", pipelineOfOne}, []string{"--server", "--data-dir", "leave one out"}},
		"log form":         {[]string{"serve", "--log-format", "xml"}, []string{"--log-format", `"xml"`, "json"}},
		"shell of none":    {[]string{"completion"}, []string{"<shell>", "leoflow completion --help"}},
		"log level":        {[]string{"serve", "--log-level", "loud"}, []string{"--log-level", "loud"}},
		"no subcommand":    {[]string{"runs"}, []string{`"list"`, "leoflow runs --help"}},
		"no run":           {[]string{"runs", "show", "d"}, []string{"<run>", "leoflow runs show --help"}},
		"no token":         {[]string{"runs", "list"}, []string{"no token", "leoflow token"}},
		"two tokens":       {[]string{"audit", "--token", "a", "--token-file", "b"}, []string{"--token", "--token-file"}},
		"not a token":      {[]string{"audit", "--token", "a b"}, []string{"--token", "no token"}},
		"no token file":    {[]string{"audit", "--token-file", "none"}, []string{"--token-file", "none", "no such file"}},
		"server":           {[]string{"audit", "--token", "a", "--server", "7400"}, []string{"--server", `"7400"`, "host:port"}},
		"no host":          {[]string{"audit", "--token", "a", "--server", ":7400"}, []string{"--server", "no host"}},
		"no CA":            {[]string{"audit", "--token", "a", "--ca", "none.pem"}, []string{"--ca", "none.pem", "no such file"}},
		"empty CA":         {[]string{"audit", "--token", "a", "--ca", filepath.Join(dir, "keys.json")}, []string{"--ca", "no certificate"}},
		"CA and plaintext": {[]string{"audit", "--token", "a", "--ca", "x", "--plaintext"}, []string{"--ca", "--plaintext"}},
		"limit":            {[]string{"runs", "list", "--limit=-1"}, []string{"--limit", "-1"}},
		"form":             {[]string{"runs", "list", "-o", "xml"}, []string{"--output", `"xml"`, "json"}},
		"try":              {[]string{"logs", "d", "r", "t", "--try=-1"}, []string{"--try", "-1"}},
		"within":           {[]string{"cancel", "d", "r", "--within", "25h"}, []string{"--within", "25h", "24h"}},
		"no task":          {[]string{"retry", "d", "r"}, []string{"retry", "--failed"}},
		"all and one":      {[]string{"retry", "d", "r", "t", "--failed"}, []string{"--failed", "not both"}},
		"shell":            {[]string{"completion", "csh"}, []string{"bash", `"csh"`}},
		"no value":         {[]string{"variable", "set", "k"}, []string{"KEY=VALUE"}},
		"no URI":           {[]string{"connection", "set", "k"}, []string{"ID=URI"}},
		"control bytes":    {[]string{"run", "\x1b[2J.yaml"}, []string{`\x1b[2J.yaml`}},
	} {
		t.Run(name, func(t *testing.T) {
			got := leoflow(t, tc.args...)
			got.wantCode(t, exitBadInput)
			got.wantOneLine(t, tc.want...)
		})
	}
}

func TestBadSecretsAreToldWithoutTheirValue(t *testing.T) {
	path := pipelineFile(t, "name: p\ntasks: [{id: a, bash: 'true'}]\n")
	binary := filepath.Join(t.TempDir(), "binary")
	writeFile(t, binary, "s3cret\xff")
	for _, tc := range []struct{ flag, given, want string }{
		{"--var", "s3cret", "KEY=VALUE"},
		{"--connection", "=s3cret", "ID=URI"},
		{"--var", "k=@/no/s3cret", "no such file"},
		{"--var", "k=s3cret\xff", "UTF-8"},
		{"--var", "k=@" + binary, "--var k is not UTF-8"},
		{"--var", strings.Repeat("k", 251) + "=s3cret", "refused"},
		{"--connection", "c=", "refused"},
	} {
		got := leoflow(t, "run", tc.flag, tc.given, path)
		got.wantCode(t, exitBadInput)
		got.wantOneLine(t, tc.want)
		if strings.Contains(strings.ReplaceAll(got.errOut, "/no/s3cret", ""), "s3cret") {
			t.Errorf("the error holds the value: %s", got.errOut)
		}
	}
	got := leoflow(t, "run", "--var", "k=1", "--var", "k=2", path)
	got.wantCode(t, exitBadInput)
	got.wantOneLine(t, "--var k is given twice")
}

func TestVariablesOfTheEnvironmentAreFlags(t *testing.T) {
	got := start(t, []string{"LEOFLOW_RUN_PARALLEL=many"}, "run", "p.yaml").end()
	got.wantCode(t, exitBadInput)
	got.wantOneLine(t, "LEOFLOW_RUN_PARALLEL", `"many"`)
	got = start(t, []string{"LEOFLOW_RUN_VAR=k=\xff"}, "run", "p.yaml").end()
	got.wantCode(t, exitBadInput)
	got.wantOneLine(t, "LEOFLOW_RUN_VAR is not UTF-8")
}

func TestHelpTeachesByExample(t *testing.T) {
	paths := [][]string{{}}
	for _, command := range parser(t, &cli{}).Model.Leaves(true) {
		paths = append(paths, strings.Fields(command.Path()))
	}
	for _, path := range paths {
		got := leoflow(t, append(path, "--help")...)
		got.wantCode(t, exitOK)
		got.wantIn(t, "  "+strings.Join(append([]string{"leoflow"}, path...), " "))
		if strings.Contains(got.out, "${") || strings.Contains(got.out, "agent  ") {
			t.Errorf("%v:\n%s", path, got.out)
		}
	}
}

// TestFormsAreTheSameEverywhere holds that every command has -o table|json, by one
// variable, but those that have nothing to tell in forms.
func TestFormsAreTheSameEverywhere(t *testing.T) {
	without := map[string]string{
		"run": "--json", "serve": "a log", "token": "a token alone", "value": "bytes", "completion": "a script",
	}
	for _, command := range parser(t, &cli{}).Model.Leaves(true) {
		i := slices.IndexFunc(command.Flags, func(f *kong.Flag) bool { return f.Name == "output" })
		switch {
		case i < 0 && without[command.Path()] == "":
			t.Errorf("%s has no --output", command.Path())
		case i >= 0:
			f := command.Flags[i]
			if f.Short != 'o' || f.Default != "table" || f.Enum != "table,json" || !slices.Equal(f.Envs, []string{"LEOFLOW_OUTPUT"}) {
				t.Errorf("%s has another --output: %+v", command.Path(), f)
			}
		}
	}
}

func TestVersion(t *testing.T) {
	got := leoflow(t, "version")
	got.wantCode(t, exitOK)
	got.wantIn(t, "leoflow ", "go1.")
	doc := leoflow(t, "version", "-o", "json").parsed(t)
	if doc["version"] == "" || doc["go"] != runtime.Version() || doc["platform"] != runtime.GOOS+"/"+runtime.GOARCH {
		t.Errorf("told: %v", doc)
	}
}

// TestAgentIsTheHiddenCommand holds that a wrong environment is told in a line.
func TestAgentIsTheHiddenCommand(t *testing.T) {
	got := leoflow(t, "agent")
	got.wantCode(t, exitBadInput)
	got.wantOneLine(t, "LEOFLOW_CONTROL_PLANE_ADDR")
}

func parser(t *testing.T, flags *cli) *kong.Kong {
	t.Helper()
	k, err := newParser(flags, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestServeDefaultsAreTheServers holds that no flag's default differs from the
// configuration's own.
func TestServeDefaultsAreTheServers(t *testing.T) {
	var flags cli
	if _, err := parser(t, &flags).Parse([]string{"serve"}); err != nil {
		t.Fatal(err)
	}
	logger := slog.New(slog.DiscardHandler)
	got, err := flags.Serve.config(logger).Complete()
	want, err2 := server.Config{Logger: logger}.Complete()
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	exported := cmp.FilterPath(func(p cmp.Path) bool {
		return slices.Contains([]string{".newID", ".ownClock", ".Logger", ".Clock"}, p.Last().String())
	}, cmp.Ignore())
	if diff := cmp.Diff(want, got, exported); diff != "" {
		t.Errorf("(-server +serve)\n%s", diff)
	}
}

func TestQuoteArg(t *testing.T) {
	for in, want := range map[string]string{"/a/b-c.d": "/a/b-c.d", "a b": "'a b'", "": "''", "it's": `'it'\''s'`} {
		if got := quoteArg(in); got != want {
			t.Errorf("quoteArg(%q) = %s, want %s", in, got, want)
		}
	}
}
