package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	"github.com/neochaotic/leoflow/internal/domain"
)

func TestStart1TokenStaysWithAgent(t *testing.T) {
	f := &fake{spec: bash(`env; tr '\0' ' ' < /proc/$$/cmdline; ls -ld "$(dirname "$LEOFLOW_RETURN_VALUE_PATH")"; pwd`)}
	b := newBench(t, f)
	b.cfg.Environ = append(b.cfg.Environ, "LEOFLOW_AGENT_TOKEN="+testToken, "LEOFLOW_AGENT_INSECURE=true",
		"COPY=Bearer "+testToken, "LEOFLOW_XCOM_OLD=old", "LEOFLOW_CALL_ARGS_JSON={}", "LEOFLOW_PYTHON=py")
	if code := b.run(t); code != ExitOK {
		t.Fatalf("exit code %d", code)
	}
	out := strings.Join(f.texts("stdout"), "\n")
	for _, not := range []string{testToken, "LEOFLOW_AGENT_", "LEOFLOW_XCOM_", "LEOFLOW_CALL_ARGS_JSON", "COPY="} {
		if strings.Contains(out, not) {
			t.Errorf("the task sees %q", not)
		}
	}
	cwd, _ := os.Getwd()
	for _, want := range []string{"LEOFLOW_PYTHON=py", "LEOFLOW_RETURN_VALUE_PATH=", "drwx------", cwd} {
		if !strings.Contains(out, want) {
			t.Errorf("the task does not see %q in\n%s", want, out)
		}
	}
	if strings.Contains(b.log.String(), testToken) {
		t.Error("the token is in the agent's own log")
	}
}

func TestStart2RefusedEndsAtOnce(t *testing.T) {
	for _, method := range []string{"Register", "GetTaskSpec", "ReportState RUNNING"} {
		for _, code := range []codes.Code{codes.FailedPrecondition, codes.Unauthenticated} {
			t.Run(method+" "+code.String(), func(t *testing.T) {
				f := &fake{spec: bash("echo ran")}
				f.onCall = func(m string, _ int) error {
					if m == method {
						return status.Error(code, "not you")
					}
					return nil
				}
				b := newBench(t, f)
				if code := b.run(t); code != ExitUnreported {
					t.Errorf("exit code %d", code)
				}
				if n := f.called(method); n != 1 {
					t.Errorf("A-NET-2: asked %d times", n)
				}
				if len(f.reports) != 0 || len(f.texts("stdout")) != 0 {
					t.Error("went on after the refusal")
				}
				if !strings.Contains(b.log.String(), "refuses this attempt") || !strings.Contains(b.log.String(), "not you") {
					t.Errorf("no clear word in %s", b.log.String())
				}
			})
		}
	}
}

func TestStart3CannotRun(t *testing.T) {
	http := bash("https://example.org")
	http.Operator = "http_api"
	for name, c := range map[string]struct {
		spec *agentv1.TaskSpec
		want string
	}{
		"operator":         {http, `this agent runs the operators bash and python only, and the task asks for "http_api"`},
		"empty entrypoint": {bash(" \n"), "the task has no entrypoint: there is nothing to run"},
		"NUL":              {bash("echo \x00"), "the entrypoint cannot be passed to bash: it holds a NUL byte or is longer than 128 KiB"},
		"long":             {bash(strings.Repeat("#", maxEntry)), "the entrypoint cannot be passed to bash: it holds a NUL byte or is longer than 128 KiB"},
		"environment name": {withEnv("A=B", "c"), `the environment variable "A=B" cannot be passed: its name holds '=' or NUL`},
		"no name":          {withEnv("", "c"), "an environment variable has no name"},
		"NUL in value":     {withEnv("A", "b\x00c"), `the environment variable "A" cannot be passed: its value holds a NUL byte`},
		"long value":       {withEnv("A", strings.Repeat("x", maxEntry)), `the environment variable "A" cannot be passed: it is longer than 128 KiB`},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fake{spec: c.spec}
			if code := newBench(t, f).run(t); code != ExitOK {
				t.Errorf("exit code %d", code)
			}
			wantOutcome(t, f.terminal(t), failure, 0, c.want)
			if len(f.reports) != 1 {
				t.Error("RUNNING was reported")
			}
			wantLines(t, f.texts("agent"), "the task failed: "+c.want)
		})
	}
}

func withEnv(name, value string) *agentv1.TaskSpec {
	spec := bash("echo ran")
	spec.Environment = map[string]string{name: value}
	return spec
}

func TestStart3FailingStartIsReported(t *testing.T) {
	for method, want := range map[string]string{
		"Register":            "the agent could not register: Internal: broken",
		"GetTaskSpec":         "the specification could not be read: Internal: broken",
		"ReportState RUNNING": "RUNNING could not be reported: Internal: broken",
	} {
		t.Run(method, func(t *testing.T) {
			f := &fake{spec: bash("echo ran")}
			f.onCall = func(m string, _ int) error {
				if m == method {
					return status.Error(codes.Internal, "broken")
				}
				return nil
			}
			if code := newBench(t, f).run(t); code != ExitOK {
				t.Errorf("exit code %d", code)
			}
			wantOutcome(t, f.terminal(t), failure, 0, want)
			if len(f.texts("stdout")) != 0 {
				t.Error("the task ran")
			}
		})
	}
}

// TestStart3NoPlaceForFiles has nowhere to make the attempt's directory, as on a full disk.
func TestStart3NoPlaceForFiles(t *testing.T) {
	f := &fake{spec: bash("echo ran")}
	b := newBench(t, f)
	b.cfg.TempDir = filepath.Join(b.cfg.TempDir, "none")
	if code := b.run(t); code != ExitOK {
		t.Errorf("exit code %d", code)
	}
	got := f.terminal(t)
	if got.GetState() != failure || !strings.HasPrefix(got.GetErrorMessage(), "the task could not be started: no directory of its own: ") {
		t.Errorf("reported %v", got)
	}
	if len(f.reports) != 1 {
		t.Error("RUNNING was reported")
	}
}

// TestStart3LongReasonLeavesTheLog refuses a specification whose every word is too long
// for a log line.
func TestStart3LongReasonLeavesTheLog(t *testing.T) {
	f := &fake{spec: withEnv(strings.Repeat("n", 5<<20)+"=", "v")}
	if code := newBench(t, f).run(t); code != ExitOK {
		t.Errorf("exit code %d", code)
	}
	if got := f.terminal(t); got.GetState() != failure || len(got.GetErrorMessage()) > domain.MaxErrorMessageBytes {
		t.Errorf("reported %v, %d bytes", got.GetState(), len(got.GetErrorMessage()))
	}
	if said := f.texts("agent"); len(said) != 1 || len(said[0]) > domain.MaxLogLineBytes {
		t.Errorf("%d lines of the agent's own", len(said))
	}
}
