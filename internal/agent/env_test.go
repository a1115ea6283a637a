package agent

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"pgregory.net/rapid"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	"github.com/neochaotic/leoflow/internal/domain"
)

// dump is a script that prints what it is given, each value escaped.
func dump(names ...string) string {
	var s strings.Builder
	for _, name := range names {
		s.WriteString(`printf '` + name + `=%q\n' "$(printenv ` + name + ` || echo '<unset>')"` + "\n")
	}
	return s.String()
}

func value(text string) *agentv1.FetchXComResponse {
	return &agentv1.FetchXComResponse{Value: []byte(text)}
}

// values serves what it holds, and NotFound for all else.
func values(m map[string]string) func(string) (*agentv1.FetchXComResponse, error) {
	return func(task string) (*agentv1.FetchXComResponse, error) {
		v, ok := m[task]
		if !ok {
			return nil, status.Error(codes.NotFound, "no value")
		}
		return value(v), nil
	}
}

func inputs(in map[string][]string) map[string]*agentv1.XComUpstreams {
	out := map[string]*agentv1.XComUpstreams{}
	for param, tasks := range in {
		out[param] = &agentv1.XComUpstreams{TaskIds: tasks}
	}
	return out
}

func TestEnv1ExactlyAsGiven(t *testing.T) {
	f := &fake{
		spec:  bash(dump("PLAIN", "LEOFLOW_CALL_ARGS_JSON", "LEOFLOW_XCOM_ROWS", "AIRFLOW_VAR_KEY", "AIRFLOW_CONN_MY-DB", "BOTH")),
		vars:  map[string]string{"key": " v=1; $x ", "bad=key": "x", "Key": "loser"},
		conns: map[string]string{"my-db": "postgres://u:p%40@h/d?x=y"},
	}
	f.spec.Environment = map[string]string{"PLAIN": "a b'\"$c", "BOTH": "task"}
	f.spec.CallArgsJson = `{"n": [1, "x"]}`
	f.spec.XcomInputMapping = inputs(map[string][]string{"rows": {"up"}})
	f.onFetch = values(map[string]string{"up": `{"rows": 418}`})
	b := newBench(t, f)
	b.cfg.Environ = append(b.cfg.Environ, "BOTH=agent", "HOME=/")
	b.run(t)
	wantOutcome(t, f.terminal(t), success, 0, "")
	wantLines(t, f.texts("stdout"),
		`PLAIN=a\ b\'\"\$c`, `LEOFLOW_CALL_ARGS_JSON=\{\"n\":\ \[1\,\ \"x\"\]\}`, `LEOFLOW_XCOM_ROWS=\{\"rows\":\ 418\}`,
		`AIRFLOW_VAR_KEY=loser`, `AIRFLOW_CONN_MY-DB=postgres://u:p%40@h/d\?x=y`, "BOTH=task")
	said := strings.Join(f.texts("agent"), "\n")
	if strings.Contains(said, "v=1") || !strings.Contains(said, `"bad=key"`) || !strings.Contains(said, `: "key"`) {
		t.Errorf("the agent says %q", said)
	}
}

func TestEnv1SecretsRefusedIsAWarning(t *testing.T) {
	for _, code := range []codes.Code{codes.PermissionDenied, codes.Unavailable} {
		t.Run(code.String(), func(t *testing.T) {
			f := &fake{spec: bash("true")}
			f.onCall = func(m string, _ int) error {
				if strings.HasPrefix(m, "Get") && m != "GetTaskSpec" {
					return status.Error(code, "no secrets")
				}
				return nil
			}
			newBench(t, f).run(t)
			wantOutcome(t, f.terminal(t), success, 0, "")
			wantLines(t, f.texts("agent"), "the task runs without variables: "+code.String()+": no secrets",
				"the task runs without connections: "+code.String()+": no secrets")
			if n := f.called("GetVariables"); n > secretTries+1 {
				t.Errorf("asked %d times for secrets that there are none of", n)
			}
		})
	}
}

func TestEnv2AbsentAndFanIn(t *testing.T) {
	f := &fake{spec: bash(dump("LEOFLOW_XCOM_GONE", "LEOFLOW_XCOM_GONE_PATH", "LEOFLOW_XCOM_NONE", "LEOFLOW_XCOM_EMPTY",
		"LEOFLOW_XCOM_ALL", "LEOFLOW_XCOM_NULLS") + `cat "$LEOFLOW_XCOM_ALL_PATH"; echo; wc -c < "$LEOFLOW_XCOM_EMPTY_PATH"`)}
	f.spec.XcomInputMapping = inputs(map[string][]string{
		"gone": {"absent"}, "none": nil, "empty": {"empty"}, "all": {"b", "absent", "a", "text", "bytes"}, "nulls": {"absent", "absent"},
	})
	f.onFetch = values(map[string]string{"a": "[1.0, \"<\"]\n", "b": "2", "text": `say "hé"`, "bytes": "\xff\x00", "empty": ""})
	newBench(t, f).run(t)
	wantOutcome(t, f.terminal(t), success, 0, "")
	out := f.texts("stdout")
	wantLines(t, out[:4], `LEOFLOW_XCOM_GONE=\<unset\>`, `LEOFLOW_XCOM_GONE_PATH=\<unset\>`, `LEOFLOW_XCOM_NONE=\<unset\>`, `LEOFLOW_XCOM_EMPTY=''`)
	wantLines(t, out[5:], `LEOFLOW_XCOM_NULLS=\[null\,null\]`, `[2,null,[1.0, "<"]`, `,"say \"hé\"","/wA="]`, "0")
	if n := f.called("FetchXCom"); n != 6 {
		t.Errorf("six sources fetched in %d calls", n)
	}
}

func TestEnv2FanInIsJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.SliceOf(rapid.OneOf(
			rapid.Just[[]byte](nil), rapid.SliceOf(rapid.Byte()),
			rapid.Map(rapid.String(), func(s string) []byte { return []byte(s) }),
			rapid.Map(rapid.Float64Range(-1e9, 1e9), func(x float64) []byte { b, _ := json.Marshal([]any{x}); return b }),
		)).Draw(t, "values")
		out, err := fanIn(in)
		if err != nil {
			t.Fatal(err)
		}
		var got []any
		if err := json.Unmarshal(out, &got); err != nil || len(got) != len(in) {
			t.Fatalf("%d values became %q: %v", len(in), out, err)
		}
		for i, v := range in {
			if (v == nil) && got[i] != nil {
				t.Fatalf("an absent value became %v", got[i])
			}
		}
	})
}

func TestEnv3FetchFails(t *testing.T) {
	for _, code := range []codes.Code{codes.PermissionDenied, codes.Internal, codes.FailedPrecondition} {
		t.Run(code.String(), func(t *testing.T) {
			f := &fake{spec: bash("echo ran")}
			f.spec.XcomInputMapping = inputs(map[string][]string{"in": {"there", "up"}})
			f.onFetch = func(task string) (*agentv1.FetchXComResponse, error) {
				if task == "there" {
					return value("1"), nil
				}
				return nil, status.Error(code, "no")
			}
			newBench(t, f).run(t)
			wantOutcome(t, f.terminal(t), failure, 0, `the input "in" could not be fetched: from task "up": `+code.String()+": no")
			if len(f.reports) != 1 || len(f.texts("stdout")) != 0 {
				t.Error("the task was started")
			}
		})
	}
}

func TestEnv4FilesForWhatCannotBePassed(t *testing.T) {
	f := &fake{spec: bash(`for p in BIG EDGE NUL SMALL; do
		v=LEOFLOW_XCOM_$p f=LEOFLOW_XCOM_${p}_PATH
		printf '%s %s %s\n' $p "$(printenv $v >/dev/null && echo set || echo unset)" "$(wc -c < "${!f}")"
	done`)}
	f.spec.XcomInputMapping = inputs(map[string][]string{"big": {"big"}, "edge": {"edge"}, "nul": {"nul"}, "small": {"small"}})
	f.onFetch = values(map[string]string{
		"big": strings.Repeat("x", 3<<20), "edge": strings.Repeat("x", maxEntry-10), "nul": "a\x00b", "small": strings.Repeat("x", 100_000),
	})
	newBench(t, f).run(t)
	wantOutcome(t, f.terminal(t), success, 0, "")
	wantLines(t, f.texts("stdout"), "BIG unset 3145728", "EDGE unset 131062", "NUL unset 3", "SMALL set 100000")
}

func TestEnv4Names(t *testing.T) {
	for param, want := range map[string]string{
		"rows": "LEOFLOW_XCOM_ROWS", "a.b-c d": "LEOFLOW_XCOM_A_B_C_D", "é1": "LEOFLOW_XCOM__1", "_x": "LEOFLOW_XCOM__X", "": "LEOFLOW_XCOM_",
	} {
		if got := domain.XComVariable(param); got != want {
			t.Errorf("%q: %s, want %s", param, got, want)
		}
	}
}

func TestEnv4Collisions(t *testing.T) {
	for name, c := range map[string]struct {
		params []string
		want   string
	}{
		"same name": {[]string{"a.b", "a-b"}, `the inputs "a-b" and "a.b" collide: both would be LEOFLOW_XCOM_A_B`},
		"a path":    {[]string{"a", "a_path"}, `the inputs "a" and "a_path" collide: both would be LEOFLOW_XCOM_A_PATH`},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fake{spec: bash("echo ran")}
			f.spec.XcomInputMapping = map[string]*agentv1.XComUpstreams{}
			for _, p := range c.params {
				f.spec.XcomInputMapping[p] = &agentv1.XComUpstreams{TaskIds: []string{"up"}}
			}
			newBench(t, f).run(t)
			wantOutcome(t, f.terminal(t), failure, 0, c.want)
			if f.called("FetchXCom") != 0 {
				t.Error("fetched all the same")
			}
		})
	}
}

func TestEnv4UnpassableCallArguments(t *testing.T) {
	f := &fake{spec: bash("echo ran")}
	f.spec.CallArgsJson = `"` + strings.Repeat("x", maxEntry) + `"`
	newBench(t, f).run(t)
	wantOutcome(t, f.terminal(t), failure, 0, `the environment variable "LEOFLOW_CALL_ARGS_JSON" cannot be passed: it is longer than 128 KiB`)
}

func TestEnv1SecretNames(t *testing.T) {
	env := environment{}
	left := env.setSecrets(prefixVariable, map[string]string{
		"KEY": "exact", "key": "lower", "Key": "mixed", "a.b": "dot", "": "none", "n\x00": "x", "nul": "\x00", "é": "accent",
	})
	want := environment{"AIRFLOW_VAR_KEY": "exact", "AIRFLOW_VAR_A.B": "dot", "AIRFLOW_VAR_É": "accent"}
	if !reflect.DeepEqual(env, want) {
		t.Errorf("set %q, want %q", env, want)
	}
	slices.Sort(left)
	wantLines(t, left, "", "Key", "key", "n\x00", "nul")
}

func TestEnv4FileCannotBeWritten(t *testing.T) {
	f := &fake{spec: bash("echo ran")}
	f.spec.XcomInputMapping = inputs(map[string][]string{"in": {"up"}})
	b := newBench(t, f)
	f.onFetch = func(string) (*agentv1.FetchXComResponse, error) {
		entries, err := os.ReadDir(b.cfg.TempDir)
		if err != nil || len(entries) != 1 {
			return nil, status.Error(codes.Internal, "no directory of the attempt")
		}
		return value("1"), os.Remove(b.cfg.TempDir + "/" + entries[0].Name())
	}
	b.run(t)
	if got := f.terminal(t); !strings.HasPrefix(got.GetErrorMessage(), `the input "in" could not be written to a file: `) {
		t.Errorf("reported %v", got)
	}
}

// TestEnv4ManyInputs gives a task more than the system passes in all, by values each of
// which it would pass.
func TestEnv4ManyInputs(t *testing.T) {
	const n, size = 80, 127 << 10
	held, mapping := map[string]string{"small": "1"}, map[string][]string{"small": {"small"}}
	for i := range n {
		source := fmt.Sprintf("big%02d", i)
		held[source], mapping[source] = strings.Repeat("x", size), []string{source}
	}
	f := &fake{spec: bash(`for p in ${!LEOFLOW_XCOM_BIG*}; do case $p in *_PATH) wc -c < "${!p}";; esac; done
echo "small $LEOFLOW_XCOM_SMALL"`), onFetch: values(held)}
	f.spec.XcomInputMapping = inputs(mapping)
	if code := newBench(t, f).run(t); code != ExitOK {
		t.Errorf("exit code %d", code)
	}
	wantOutcome(t, f.terminal(t), success, 0, "")
	want := append(slices.Repeat([]string{fmt.Sprint(size)}, n), "small 1")
	if out := f.texts("stdout"); !slices.Equal(out, want) {
		t.Errorf("got %q", out)
	}
}
