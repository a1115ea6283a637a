package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"

	"github.com/neochaotic/leoflow/conformance/report"
)

// judgeBare judges an adapter that can do nothing, in a check.
func judgeBare(t *testing.T, adapter conformancev1.FixtureServiceServer, more ...string) (code int, out, errOut string) {
	t.Helper()
	addr := serve(t, adapter)
	return command(append([]string{"server", "--addr", addr, "--fixtures-addr", addr, "--rule", "AUTH-1/none/Register"}, more...)...)
}

func TestReportsAreWrittenWholeAndNothingElseIs(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"r.json", "kept.html"} {
		if err := os.WriteFile(in(name), []byte("of the last run"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("kept.html", in("r.html")); err != nil {
		t.Fatal(err)
	}
	code, out, errOut := judgeBare(t, bare{}, "-o", "json", "--name", "ours", "--json", in("r.json"), "--junit", in("r.xml"),
		"--html", in("r.html"), "--markdown", in("r.md"), "--badge", in("r.svg"))
	if code != exitFailed || errOut != "" {
		t.Fatalf("exit code %d, standard error %q", code, errOut)
	}
	got := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		text, err := os.ReadFile(in(e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		got[e.Name()] = string(text)
	}
	for name, begin := range map[string]string{
		"r.xml": "<?xml", "r.html": "<!DOCTYPE html>", "kept.html": "<!DOCTYPE html>", "r.md": "## Leoflow server protocol", "r.svg": "<svg",
	} {
		if !strings.HasPrefix(got[name], begin) {
			t.Errorf("%s is %q", name, got[name])
		}
	}
	if len(got) != 6 || got["r.json"] != out {
		t.Errorf("there are %d files; the JSON is %q, and not %q", len(got), got["r.json"], out)
	}
	if link, err := os.Readlink(in("r.html")); link != "kept.html" {
		t.Errorf("the link is replaced: %q, %v", link, err)
	}
	told, err := report.Read([]byte(out))
	if err != nil || told.GetSystem() != "ours" || told.GetExitCode() != exitFailed || told.GetChosenBy()[0] != "check AUTH-1/none/Register" {
		t.Errorf("%v, %v", told, err)
	}
}

// TestReportsThatCannotBeWrittenAreFoundFirst has a server that is not there: it is not
// looked for.
func TestReportsThatCannotBeWrittenAreFoundFirst(t *testing.T) {
	dir, none := t.TempDir(), dead(t)
	for name, c := range map[string]struct {
		flags []string
		want  []string
	}{
		"no directory":         {[]string{"--json", filepath.Join(dir, "no", "r.json")}, []string{"--json: there is no directory " + filepath.Join(dir, "no") + ": make it"}},
		"a directory":          {[]string{"--html", dir}, []string{"--html: " + dir + " is a directory: give a file"}},
		"in what is no folder": {[]string{"--badge", filepath.Join(file(t, "x"), "r.svg")}, []string{"--badge: nothing can be written in", "not a directory"}},
		"two in one": {
			[]string{"--junit", filepath.Join(dir, "r"), "--markdown", filepath.Join(dir, "..", filepath.Base(dir), "r")},
			[]string{"--markdown: ", "is the file of --junit, too"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, errOut := command(append([]string{"server", "--addr", none, "--fixtures-addr", none}, c.flags...)...)
			if code != exitBadUsage || out != "" || strings.Count(errOut, "\n") != 1 {
				t.Errorf("exit code %d, output %q, standard error %q", code, out, errOut)
			}
			for _, piece := range c.want {
				if !strings.Contains(errOut, piece) {
					t.Errorf("%q lacks %q", errOut, piece)
				}
			}
		})
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("%v is left, %v", entries, err)
	}
}

// vandal takes away where the reports go.
type vandal struct {
	bare
	dir string
}

func (v vandal) GetCapabilities(ctx context.Context, in *conformancev1.GetCapabilitiesRequest) (*conformancev1.GetCapabilitiesResponse, error) {
	if err := os.RemoveAll(v.dir); err != nil {
		return nil, err
	}
	return v.bare.GetCapabilities(ctx, in)
}

func TestAReportThatIsNotWrittenIsTheSuitesFault(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "reports")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	kept := filepath.Join(t.TempDir(), "r.md")
	code, out, errOut := judgeBare(t, vandal{dir: dir}, "--json", filepath.Join(dir, "r.json"), "--markdown", kept)
	if code != exitOwnFault || !strings.Contains(out, "1 check of 1 rule") || strings.Count(errOut, "\n") != 1 || !strings.Contains(errOut, "--json: the report is not written: ") {
		t.Errorf("exit code %d, output %q, standard error %q", code, out, errOut)
	}
	if text, err := os.ReadFile(kept); err != nil || len(text) == 0 {
		t.Errorf("the other report is not written either: %v", err)
	}
}

func TestAReportGoesIntoAStream(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	name := filepath.Join(t.TempDir(), "pipe")
	if err := os.Symlink(fmt.Sprintf("/dev/fd/%d", w.Fd()), name); err != nil {
		t.Fatal(err)
	}
	code, _, errOut := judgeBare(t, bare{}, "--badge", name, "--json", "/dev/null")
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	begin := make([]byte, 4)
	if _, err := r.Read(begin); err != nil || string(begin) != "<svg" || code != exitFailed || errOut != "" {
		t.Errorf("exit code %d, %q came, %v, standard error %q", code, begin, err, errOut)
	}
}

func TestAReportCallsTheServerWhatItCallsItself(t *testing.T) {
	if _, out, _ := judgeBare(t, bare{}, "-o", "markdown"); !strings.Contains(out, "\n`bare` · ") {
		t.Errorf("the summary is %q", out)
	}
}

func TestWhatIsLeftOutNeedsAReason(t *testing.T) {
	for text, want := range map[string]string{
		"AUTH-1": `--skip "AUTH-1" has no reason`, "AUTH-1=": "has no reason", "AUTH" + "-99=why": "skip: there is no rule",
	} {
		code, out, errOut := judgeBare(t, bare{}, "--skip", text)
		if code != exitBadUsage || out != "" || strings.Count(errOut, "\n") != 1 || !strings.Contains(errOut, want) {
			t.Errorf("%s: exit code %d, output %q, standard error %q", text, code, out, errOut)
		}
	}
	code, out, errOut := judgeBare(t, bare{}, "--skip", "auth-1=it stops the machine, and more", "-o", "markdown")
	if code != exitFailed || errOut != "" || !strings.Contains(out, "- `left out: it stops the machine, and more`: AUTH-1\n") {
		t.Errorf("exit code %d, output %q, standard error %q", code, out, errOut)
	}
}
