package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/neochaotic/leoflow/cmd/leoflow/internal/configfile"
	"github.com/neochaotic/leoflow/internal/domain"
)

// configFile writes a configuration file and returns its path.
func configFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	writeFile(t, path, text)
	return path
}

// TestFlagsAreVariablesAndKeys holds that each flag has one variable, which names its
// command, or is that of a flag which several have and is then said of the flag alone;
// that no two flags have one variable; that none is one that agents and tasks are given;
// and that the configuration file takes each flag by the key that the pages name.
func TestFlagsAreVariablesAndKeys(t *testing.T) {
	app := parser(t, &cli{}).Model
	of := map[string]string{} // variable to flag
	for _, command := range app.Leaves(true) {
		prefix := "LEOFLOW_" + strings.ToUpper(strings.ReplaceAll(command.Path(), " ", "_")) + "_"
		for _, flag := range command.Flags {
			if flag.Hidden {
				continue
			}
			key, shared := configfile.Key(app, command, flag)
			if len(flag.Envs) != 1 {
				t.Errorf("%s --%s has the variables %v", command.FullPath(), flag.Name, flag.Envs)
				continue
			}
			env, owner := flag.Envs[0], command.Path()+" --"+flag.Name
			if shared {
				owner = "--" + flag.Name
			} else if !strings.HasPrefix(env, prefix) {
				t.Errorf("%s --%s has the variable %s, which names another command", command.FullPath(), flag.Name, env)
			}
			if before := of[env]; before != "" && before != owner {
				t.Errorf("%s and %s have the variable %s", before, owner, env)
			}
			of[env] = owner
			wantTaken(t, app, key, flag)
		}
	}
	for _, name := range []string{domain.EnvControlPlaneAddr, domain.EnvAgentToken, domain.EnvAgentInsecure, domain.EnvAgentTLSCA, domain.EnvPython} {
		if of[name] != "" {
			t.Errorf("%s has the variable %s, which configures agents", of[name], name)
		}
	}
	for env, owner := range of {
		if strings.HasPrefix(env, domain.EnvXComPrefix) || strings.HasPrefix(env, "LEOFLOW_AGENT_") {
			t.Errorf("%s has the variable %s, of the kind that tasks or agents are given", owner, env)
		}
	}
}

// wantTaken holds that a configuration file may set the flag by its key.
func wantTaken(t *testing.T, app *kong.Application, key string, flag *kong.Flag) {
	t.Helper()
	value := "text"
	switch {
	case flag.HasDefault:
		value = flag.Default
	case flag.IsBool():
		value = "true"
	}
	var text strings.Builder
	words := strings.Split(key, ".")
	for i, word := range words {
		fmt.Fprintf(&text, "%s%s:", strings.Repeat("  ", i), word)
		if i < len(words)-1 {
			text.WriteString("\n")
		}
	}
	file, err := configfile.Load(configFile(t, fmt.Sprintf("%s %q\n", text.String(), value)), app, isSecret)
	if err != nil {
		t.Errorf("%s: %v", key, err)
		return
	}
	t.Setenv(flag.Envs[0], "") // restored at the end
	if err := os.Unsetenv(flag.Envs[0]); err != nil {
		t.Fatal(err)
	}
	if got, err := file.Resolve(nil, nil, flag); got == nil || err != nil {
		t.Errorf("%s sets %v, %v", key, got, err)
	}
}

// TestPrecedence holds what goes before what: the command line, the environment, the
// section of the command, the shared key, the default.
func TestPrecedence(t *testing.T) {
	shared := "output: xml-of-nobody\n"
	got := leoflow(t, "version", "--config", configFile(t, shared))
	got.wantCode(t, exitBadInput)
	got.wantOneLine(t, "config.yaml:1", `"output"`, "table, json")

	for _, tc := range []struct {
		file, env, arg string
		json           bool
	}{
		{"", "", "", false},
		{"output: json", "", "", true},
		{"output: json\ncommands: {version: {output: table}}", "", "", false},
		{"output: table\ncommands:\n  version:\n    output: json", "", "", true},
		{"output: json", "table", "", false},
		{"commands: {version: {output: json}}", "table", "json", true},
		{"output: table", "", "json", true},
	} {
		env := []string{"LEOFLOW_CONFIG=" + configFile(t, tc.file)}
		if tc.env != "" {
			env = append(env, "LEOFLOW_OUTPUT="+tc.env)
		}
		args := []string{"version"}
		if tc.arg != "" {
			args = append(args, "-o", tc.arg)
		}
		got := start(t, env, args...).end()
		got.wantCode(t, exitOK)
		if strings.HasPrefix(got.out, "{") != tc.json {
			t.Errorf("%+v: %s", tc, got.out)
		}
	}
}

// TestTheUsersConfigurationIsRead looks where it is looked for without --config.
func TestTheUsersConfigurationIsRead(t *testing.T) {
	home := t.TempDir()
	dir := filepath.Join(home, "leoflow")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "config.yaml"), "output: json\n")
	env := []string{"XDG_CONFIG_HOME=" + home}
	if got := start(t, env, "version").end(); !strings.HasPrefix(got.out, "{") {
		t.Errorf("without --config: %s%s", got.out, got.errOut)
	}
	if got := start(t, env, "version", "--config", "").end(); strings.HasPrefix(got.out, "{") {
		t.Errorf("with an empty one: %s%s", got.out, got.errOut)
	}
	writeFile(t, filepath.Join(dir, "config.yaml"), "outptu: json\n")
	start(t, env, "version", "--help").end().wantCode(t, exitOK)
	hidden := start(t, env, "agent").end()
	hidden.wantOneLine(t, "LEOFLOW_CONTROL_PLANE_ADDR")
	got := start(t, env, "runs", "list").end()
	got.wantCode(t, exitBadInput)
	got.wantOneLine(t, filepath.Join(dir, "config.yaml:1"), `unknown key "outptu"`, "leoflow --help")
}

// TestConfigurationFilesThatAreRefused names file, line, key and remedy, whichever
// command is called.
func TestConfigurationFilesThatAreRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		text string
		want []string
	}{
		"no YAML":         {"output: [", []string{"config.yaml:1", "no YAML"}},
		"no mapping":      {"- output", []string{":1", "not a mapping"}},
		"two documents":   {"output: json\n---\noutput: json\n", []string{"more than one document"}},
		"twice":           {"output: json\nlimit: 1\noutput: json\n", []string{":3", `"output" is there twice`, "line 1"}},
		"of one command":  {"tls-cert: x\n", []string{":1", `"tls-cert"`, "commands.serve.tls-cert"}},
		"a command":       {"token: {life: 1h}\n", []string{":1", `"token" is a command`, "commands"}},
		"unknown command": {"commands:\n  fly: {}\n", []string{":2", `"fly"`, "leoflow --help"}},
		"unknown flag":    {"commands:\n  runs:\n    list: {colour: x}\n", []string{":3", `"colour"`, "leoflow runs list --help"}},
		"hidden command":  {"commands: {agent: {temp-dir: x}}\n", []string{`"agent"`}},
		"number":          {"limit: many\n", []string{":1", `"limit"`, `"many"`}},
		"duration":        {"commands:\n  serve:\n\n    xcom-ttl: [1h]\n", []string{":4", `"xcom-ttl" is a list`, "one value"}},
		"nothing":         {"server:\n", []string{":1", `"server" has no value`}},
		"bool":            {"plaintext: maybe\n", []string{":1", `"plaintext"`, `"maybe"`}},
		"mapping":         {"server: {host: x}\n", []string{":1", `"server" is a mapping`}},
		"list of lists":   {"commands: {run: {var: [[x]]}}\n", []string{`"var"`, "list"}},
		"alias":           {"server: &a x\nca: *a\n", []string{":2", "alias"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := leoflow(t, "version", "--config", configFile(t, tc.text))
			got.wantCode(t, exitBadInput)
			got.wantOneLine(t, tc.want...)
		})
	}
	got := leoflow(t, "version", "--config", "none.yaml")
	got.wantCode(t, exitBadInput)
	got.wantOneLine(t, "none.yaml: ", "no such file", "--config")
}

// TestConfigurationThatOthersMayUse is refused where it holds a token, or where they
// may change whom it has called.
func TestConfigurationThatOthersMayUse(t *testing.T) {
	for _, tc := range []struct {
		text string
		mode os.FileMode
		want string // empty: it is taken
	}{
		{"token: s3cret\n", 0o600, ""},
		{"token: s3cret\n", 0o640, "chmod 600"},
		{"limit: 1\ncommands: {runs: {list: {token: s3cret}}}\n", 0o602, "chmod 600"},
		{"commands: {run: {var: [k=s3cret]}}\n", 0o644, "chmod 600"},
		{"server: a:1\n", 0o664, ""},
		{"server: a:1\n", 0o666, "chmod o-w"},
	} {
		path := configFile(t, tc.text)
		if err := os.Chmod(path, tc.mode); err != nil {
			t.Fatal(err)
		}
		got := leoflow(t, "version", "--config", path)
		if tc.want == "" {
			got.wantCode(t, exitOK)
			continue
		}
		got.wantCode(t, exitBadInput)
		got.wantOneLine(t, path, tc.want)
		if strings.Contains(got.errOut, "s3cret") {
			t.Errorf("the error holds the value: %s", got.errOut)
		}
	}
}

// TestWhereAWrongFlagIsFrom is told where it is not on the command line.
func TestWhereAWrongFlagIsFrom(t *testing.T) {
	path := configFile(t, "limit: -1\ntoken: a\n")
	got := leoflow(t, "runs", "list", "--config", path)
	got.wantCode(t, exitBadInput)
	got.wantOneLine(t, "--limit is -1", "(--limit is from "+path+":1)")
	got = start(t, []string{"LEOFLOW_LIMIT=-2"}, "runs", "list", "--config", path).end()
	got.wantOneLine(t, "--limit is -2", "(--limit is from LEOFLOW_LIMIT)")
	if got := leoflow(t, "runs", "list", "--config", path, "--limit=-3"); strings.Contains(got.errOut, "from") {
		t.Errorf("of the command line: %s", got.errOut)
	}
	// Of two that exclude each other, the nearer one counts.
	got = start(t, []string{"LEOFLOW_TOKEN_FILE=none", "LEOFLOW_LIMIT=0"}, "runs", "list", "--config", path).end()
	got.wantOneLine(t, "--token-file", "none", "(--token-file is from LEOFLOW_TOKEN_FILE)")
	got = leoflow(t, "audit", "--token", "a", "--plaintext", "--config", configFile(t, "ca: none.pem\nserver: 127.0.0.1:1\n"))
	got.wantCode(t, exitFailed)
	got.wantOneLine(t, "unavailable", "in plaintext")
}
