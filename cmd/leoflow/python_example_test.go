package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// needPython ends a test that would prove nothing without the interpreter: skipped,
// but failed in CI.
func needPython(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("python3"); err != nil {
		if os.Getenv("CI") == "" {
			t.Skip("python tasks are not tried: there is no python3 on PATH") //nolint:forbidigo // a machine with Go alone may run the rest; CI may not do without
		}
		t.Fatalf("this test runs python tasks: install Python 3.8 or newer as python3 (apt-get install -y python3): %v", err)
	}
}

// TestPythonExample runs the example on a copy, and holds what the README beside it
// shows of the report.
func TestPythonExample(t *testing.T) {
	needPython(t)
	dir := copyExamples(t)
	got := leoflow(t, "run", "--var", "signing_key=@"+filepath.Join(dir, "etl", "signing-key.example"), filepath.Join(dir, "timezones_python.yaml"))
	got.wantCode(t, exitOK)
	got.wantIn(t, "extract       │ 312 zones in timezones/zone1970.tab\n", "report        │ # The world's time zones, by Python\n")
	table := got.out[strings.LastIndex(got.out, "\nTASK "):]
	for _, task := range []string{"extract", "by_continent", "by_hemisphere", "by_country", "reduce", "report"} {
		if !regexp.MustCompile(`(?m)^` + task + ` +success +1 +\d+\.\d+s$`).MatchString(table) {
			t.Errorf("%s did not succeed:\n%s", task, table)
		}
	}
	for _, row := range []string{`publish +success +2 +\d+\.\d+s`, `alarm +skipped +- +-`} {
		if !regexp.MustCompile(`(?m)^` + row + `$`).MatchString(table) {
			t.Errorf("no row %s:\n%s", row, table)
		}
	}
	report, readme := readText(t, dir, "out/timezones_python.md"), readText(t, dir, "timezones/README.md")
	sign := hmac.New(sha256.New, []byte("an-example-not-a-secret"))
	sign.Write([]byte(report))
	got.wantIn(t, fmt.Sprintf("publish       │ published out/timezones_python.md, signed %x\n", sign.Sum(nil)))
	if got.errOut != "" {
		t.Errorf("stderr: %s", got.errOut)
	}
	_, shown, _ := strings.Cut(readme, "```text\n")
	shown, _, ended := strings.Cut(shown, "```")
	if !ended || !strings.HasPrefix(report, shown) {
		t.Errorf("the README shows\n%s\nbut the report is\n%s", shown, report)
	}
	for _, part := range []string{"\n## By hemisphere\n", "\n| south-west | 53 |\n", "\n## By country, the first 5\n", "\n| AU | 13 |\n\nSource: "} {
		if !strings.Contains(report, part) {
			t.Errorf("the report lacks %q:\n%s", part, report)
		}
	}
}

func readText(t *testing.T, dir, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestRun2PythonFailureIsTold has functions of which one raises, one returns what is no
// JSON, and one is not there: each is told as the cause.
func TestRun2PythonFailureIsTold(t *testing.T) {
	needPython(t)
	path := pipelineFile(t, `
name: broken
tasks:
  - {id: raises, python: "job:raises", args: {n: 3}}
  - {id: returns, python: "job:returns"}
  - {id: misses, python: "job:missing"}
  - {id: waits, python: "job:returns", inputs: {x: raises}}
`)
	writeFile(t, filepath.Join(filepath.Dir(path), "job.py"), "def raises(n):\n    raise ValueError(f'no {n} rows')\ndef returns():\n    return {1}\n")
	got := leoflow(t, "run", path)
	got.wantCode(t, exitFailed)
	got.wantIn(t, "raises  ┃ Traceback (most recent call last):\n", "raises  ┃ ValueError: no 3 rows\n",
		"exited with code 1: ValueError: no 3 rows", "Object of type set is not JSON serializable", "the module 'job' has no 'missing'",
		"raises did not succeed")
	if strings.Contains(got.out, "leoflow_task.py") {
		t.Errorf("frames of the runtime:\n%s", got.out)
	}
}
