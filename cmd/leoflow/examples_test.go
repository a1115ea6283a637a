package main

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// copyExamples returns a folder with the examples, without what a run of them left.
func copyExamples(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../../examples")); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "out")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// wantRowsLike looks for rows of the table, given as regular expressions.
func (o outcome) wantRowsLike(t *testing.T, rows ...string) {
	t.Helper()
	for _, row := range rows {
		if !regexp.MustCompile(`(?m)^` + row).MatchString(o.out) {
			t.Errorf("no row %s:\n%s\nstderr:\n%s", row, o.out, o.errOut)
		}
	}
}

// TestETLExample runs it with the example of a secret, and again without.
func TestETLExample(t *testing.T) {
	dir := copyExamples(t)
	path, key := filepath.Join(dir, "etl.yaml"), filepath.Join(dir, "etl", "signing-key.example")
	got := leoflow(t, "run", "--var", "signing_key=@"+key, path)
	got.wantCode(t, exitOK)
	got.wantIn(t, "publish       ┃ busy, try again later\n", "publish       ╌ try 2 of 3 begins in ", "│ | region | 9 | America | 38 % |\n",
		"│ | hemisphere | 4 | north-east | 37 % |\n", "│ | country | 247 | US | 9 % |\n")
	rows := []string{
		`extract +success +1 `, `by_region +success +1 `, `by_hemisphere +success +1 `, `by_country +success +1 `,
		`reduce +success +1 `, `report +success +1 `, `publish +success +2 `, `alarm +skipped +- `, `tidy +success +1 `,
	}
	got.wantRowsLike(t, rows...)
	report, signature, signed := strings.Cut(readText(t, dir, "out/etl.md"), "\nSignature: ")
	sum := sha256.Sum256([]byte("an-example-not-a-secret\n" + report))
	if !signed || strings.TrimSpace(signature) != hex.EncodeToString(sum[:]) {
		t.Errorf("signature %q of\n%s", signature, report)
	}

	got = leoflow(t, "run", path)
	got.wantCode(t, exitOK)
	got.wantIn(t, "report        ┃ the variable signing_key is not given: the report is not signed\n")
	got.wantRowsLike(t, rows...)
	if report := readText(t, dir, "out/etl.md"); strings.Contains(report, "Signature") {
		t.Errorf("signed by nobody:\n%s", report)
	}
}

func TestCancelledExampleByASignal(t *testing.T) {
	run := start(t, nil, "run", filepath.Join(copyExamples(t), "cancelled.yaml"))
	run.awaitLine("work    │ step 1")
	run.signal(syscall.SIGINT)
	got := run.end()
	got.wantCode(t, 130)
	got.wantIn(t, "by the signal interrupt; the tasks that run are asked to end, and killed by a second signal\n", "tidied up\n", "cancelled (code 1)")
	got.wantRowsLike(t, `work +failed +1 `, `publish +skipped +- `)
}

func TestCancelledExampleByLeoflowCancel(t *testing.T) {
	s := servePlain(t, "--silence-window", "20s") // agents learn of a cancel by a beat: the shorter the window, the sooner
	run := s.start("run", "--server", s.addr, "--run-id", "r", filepath.Join(copyExamples(t), "cancelled.yaml"))
	run.awaitLine("work    │ step 1")
	s.leoflow("cancel", "cancelled", "r").wantCode(t, exitOK)
	got := run.end()
	got.wantCode(t, exitFailed)
	got.wantIn(t, "tidied up\n", "cancelled (code 1)")
	got.wantRowsLike(t, `work +failed +1 `, `publish +skipped +- `)
}

func TestManyExample(t *testing.T) {
	dir := copyExamples(t)
	made, err := exec.Command(filepath.Join(dir, "many", "generate.sh")).Output()
	if err != nil || string(made) != readText(t, dir, "many.yaml") {
		t.Errorf("many.yaml is not what many/generate.sh makes: %v", err)
	}
	got := leoflow(t, "run", filepath.Join(dir, "many.yaml"))
	got.wantCode(t, exitOK)
	got.wantIn(t, "sum       │ the sum is 59103\n")
	if n := len(regexp.MustCompile(`(?m)^\S+ +success +1 `).FindAllString(got.out, -1)); n != 200 {
		t.Errorf("%d tasks succeeded:\n%s", n, got.out)
	}
}
