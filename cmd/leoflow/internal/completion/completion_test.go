package completion

import (
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

type program struct {
	Config string `placeholder:"FILE" help:"Where to read."`
	Run    struct {
		File string `arg:"" help:"The file."`
		Dir  string `short:"d" placeholder:"DIR"`
		Loud bool   `short:"l" help:"Loudly. Not softly."`
	} `cmd:"" help:"Run it."`
	Runs struct {
		List struct {
			Form string   `short:"o" enum:"table,json" default:"table"`
			Name string   `arg:"" enum:"a,b" optional:"" default:"a"`
			More []string `arg:"" optional:""`
			Key  string   `hidden:""`
		} `cmd:"" help:"List them."`
	} `cmd:""`
	Secret struct{} `cmd:"" hidden:""`
}

func TestComplete(t *testing.T) {
	k, err := kong.New(&program{}, kong.Name("leoflow"))
	if err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{
		"":                          "words run runs",
		"ru":                        "words run runs",
		"runs":                      "words runs",
		"sec":                       "words",
		"runs ":                     "words list",
		"runs list ":                "words a b",
		"runs list b":               "words b",
		"runs list a ":              "words",
		"runs list a b c ":          "words",
		"runs list --":              "words --help --config --form",
		"runs list -o ":             "words table json",
		"runs list -o j":            "words json",
		"runs list --form=":         "words --form=table --form=json",
		"runs list --form=j":        "words --form=json",
		"runs list -o json ":        "words a b",
		"runs list --nothing=":      "words",
		"--config ":                 "files",
		"--config x r":              "words run runs",
		"run ":                      "files",
		"run x ":                    "words",
		"run --loud ":               "files",
		"run -l -d ":                "directories",
		"run --dir=":                "directories",
		"run -- --l":                "files",
		"run --l":                   "words --loud",
		"runs list -- --":           "words",
		"runs list --form=json -- ": "words a b",
	} {
		a := Complete(k.Model, strings.Split(line, " "))
		got := string(a.Kind)
		for _, c := range a.Candidates {
			got += " " + c.Text
		}
		if got != want {
			t.Errorf("%q: %s, want %s", line, got, want)
		}
	}
	if a := Complete(k.Model, nil); len(a.Candidates) != 2 {
		t.Errorf("of nothing: %v", a)
	}
	var b strings.Builder
	if err := Complete(k.Model, []string{"run", "--lo"}).Write(&b); err != nil || b.String() != "words\n--loud\tLoudly\n" {
		t.Errorf("written: %q, %v", b.String(), err)
	}
}

func TestThereIsAScriptForEachShell(t *testing.T) {
	for _, shell := range Shells {
		if script, err := Script(shell); err != nil || !strings.Contains(script, "complete -- ") {
			t.Errorf("%s: %v", shell, err)
		}
	}
	if _, err := Script("csh"); err == nil || !strings.Contains(err.Error(), "bash, zsh, fish") {
		t.Errorf("csh: %v", err)
	}
}
