package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/neochaotic/leoflow/cmd/leoflow/internal/completion"
)

// inShell has a shell source the completion of the program and run text, with the
// program in its path. It returns the lines of the output, sorted.
func inShell(t *testing.T, shell, text string) []string {
	t.Helper()
	got := leoflow(t, "completion", shell)
	got.wantCode(t, exitOK)
	script := filepath.Join(t.TempDir(), "completion")
	writeFile(t, script, got.out)
	cmd := exec.CommandContext(t.Context(), shell)
	cmd.Stdin = strings.NewReader(strings.ReplaceAll(text, "SCRIPT", script))
	cmd.Dir = t.TempDir()
	writeFile(t, filepath.Join(cmd.Dir, "etl.yaml"), "")
	cmd.Env = []string{"PATH=" + filepath.Dir(program) + string(os.PathListSeparator) + os.Getenv("PATH"), "HOME=" + t.TempDir()}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", shell, err, out)
	}
	lines := strings.Fields(string(out))
	slices.Sort(lines)
	return lines
}

// completed are command lines and what their last words may become, as whole words; the
// second is what bash, whose words end at = and :, puts in the place of its own.
var completed = []struct{ line, words, inBash string }{
	{"leoflow versi", "version", "version"},
	{"leoflow runs list --out", "--output", "--output"},
	{"leoflow runs list --output=j", "--output=json", "json"},
	{"leoflow runs list --output=", "--output=json --output=table", "json table"},
	{"leoflow logs etl 10:20:30 extract --fol", "--follow", "--follow"},
	{"leoflow run e", "etl.yaml", "etl.yaml"},
	{"leoflow run --ca=e", "etl.yaml", "etl.yaml"},
}

func TestBashCompletes(t *testing.T) {
	for _, tc := range completed {
		// readline's own words: = and : are words of their own.
		words := strings.Fields(strings.NewReplacer("=", " = ", ":", " : ").Replace(tc.line))
		text := fmt.Sprintf("source SCRIPT\nCOMP_LINE=%q\nCOMP_POINT=%d\nCOMP_WORDS=(%s)\nCOMP_CWORD=%d\n_leoflow leoflow\nprintf '%%s\\n' \"${COMPREPLY[@]}\"\n",
			tc.line, len(tc.line), strings.Join(words, " "), len(words)-1)
		if got := strings.Join(inShell(t, "bash", text), " "); got != tc.inBash {
			t.Errorf("%s: bash offers %q, want %q", tc.line, got, tc.inBash)
		}
	}
	if got := inShell(t, "bash", "source SCRIPT\ncomplete -p leoflow\n"); !slices.Contains(got, "_leoflow") {
		t.Errorf("bash completes by %v", got)
	}
}

// TestOtherShellsComplete tries those that are here: what zsh's own functions do is
// printed in place of being shown.
func TestOtherShellsComplete(t *testing.T) {
	const stubs = `compdef() { }
compset() { PREFIX=${PREFIX#--*=} }
_files() { print -l $PREFIX*(N) }
_describe() { for each in ${(P)2}; do print -r - "${each%%%%:*}"; done }
source SCRIPT
words=(%s) CURRENT=$#words PREFIX=${words[-1]}
_leoflow
`
	for shell, form := range map[string]string{"zsh": stubs, "fish": "source SCRIPT\ncomplete -C %q | string replace -r '\\t.*' ''; true\n"} {
		if _, err := exec.LookPath(shell); err != nil {
			if _, err := completion.Script(shell); err != nil {
				t.Error(err)
			}
			continue
		}
		for _, tc := range completed {
			got := strings.Join(inShell(t, shell, fmt.Sprintf(form, tc.line)), " ")
			if got != tc.words && got != "--ca="+tc.words {
				t.Errorf("%s: %s offers %q, want %q", tc.line, shell, got, tc.words)
			}
		}
	}
}
