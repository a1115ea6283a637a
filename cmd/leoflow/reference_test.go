package main

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/neochaotic/leoflow/cmd/leoflow/internal/configfile"
	"github.com/neochaotic/leoflow/cmd/leoflow/internal/reference"
)

// TestTheReferencePageIsUpToDate keeps the page, and with it every default, together
// with the program.
func TestTheReferencePageIsUpToDate(t *testing.T) {
	written, err := os.ReadFile("../../docs/reference/commands.md")
	if err != nil {
		t.Fatal(err)
	}
	want := reference.Page(parser(t, &cli{}).Model)
	if diff := cmp.Diff(want, string(written)); diff != "" {
		t.Errorf("the page is stale: run make generate-reference (-program +page)\n%s", diff)
	}
}

// TestTheReferencePageTellsAll looks for each command and each flag, with its default,
// variable and key.
func TestTheReferencePageTellsAll(t *testing.T) {
	app := parser(t, &cli{}).Model
	page := reference.Page(app)
	for _, command := range app.Leaves(true) {
		_, section, ok := strings.Cut(page, "\n### "+command.FullPath()+"\n")
		if !ok {
			t.Errorf("the page lacks %s", command.FullPath())
			continue
		}
		section, _, _ = strings.Cut(section, "\n### ")
		for _, flag := range command.Flags {
			key, _ := configfile.Key(app, command, flag)
			for _, piece := range []string{"`--" + flag.Name, "`" + flag.Envs[0] + "`", "`" + key + "`"} {
				if !strings.Contains(section, piece) {
					t.Errorf("the section of %s lacks %s", command.FullPath(), piece)
				}
			}
			if flag.Default != "" && !strings.Contains(section, "`"+flag.Default+"`") {
				t.Errorf("the section of %s lacks the default %s", command.FullPath(), flag.Default)
			}
		}
	}
	if strings.Contains(page, "leoflow agent") {
		t.Error("the page tells a hidden command")
	}
}

// TestTheExampleOfAConfigurationFileIsGood holds what the page shows.
func TestTheExampleOfAConfigurationFileIsGood(t *testing.T) {
	if _, err := configfile.Load(configFile(t, reference.Config), parser(t, &cli{}).Model, isSecret); err != nil {
		t.Error(err)
	}
}
