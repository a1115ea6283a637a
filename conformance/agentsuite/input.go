package agentsuite

import (
	"bytes"
	"encoding/base64"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
)

// tooLarge is more than the system passes in one variable, in bytes.
const tooLarge = 200 << 10

func inputTrials() []trial {
	rpcs := []string{getTaskSpec, fetchXCom}
	return []trial{
		{"A-ENV-4", "file", "an input is also a file", 0, rpcs, func(s *scene) {
			s.wantFile("IN", "in", "  a value\n", true)
		}},
		{"A-ENV-4", "large", "an input that is too large for a variable is a file alone", 0, rpcs, func(s *scene) {
			s.wantFile("IN", "in", strings.Repeat("large ", tooLarge/6), false)
		}},
		{"A-ENV-4", "nul", "an input with a NUL byte is a file alone", 0, rpcs, func(s *scene) {
			s.wantFile("IN", "in", "before\x00after", false)
		}},
		{"A-ENV-4", "name", "the name of a parameter becomes that of a variable", 0, rpcs, func(s *scene) {
			s.wantFile("IN_P_T_1", "in-püt.1", "value", true)
		}},
		{"A-ENV-4", "together", "inputs that are too large together are files, and the task runs", 30 * time.Second, rpcs, tooLargeTogether},
		{"A-ENV-4", "collision", "two parameters of one name end as FAILED", 0, []string{getTaskSpec, reportState}, func(s *scene) {
			s.control()
			s.input("a-b", "1")
			s.input("a.b", "2")
			s.launch()
			s.wantFailed("a-b", "a.b")
			s.wantNoTask("two of its inputs collide")
		}},
		{"A-ENV-4", "fan-in", "in a fan-in, what is no JSON is a string, and what is no text is base64", 0, rpcs, func(s *scene) {
			binary := []byte{0xff, 0x00, 0xfe}
			s.values = map[string][]byte{"a": []byte("plain words"), "b": binary, "c": []byte("[1]")}
			s.spec.XcomInputMapping = map[string]*agentv1.XComUpstreams{"all": {TaskIds: []string{"a", "b", "c"}}}
			s.wantJSON("LEOFLOW_XCOM_ALL", `["plain words", "`+base64.StdEncoding.EncodeToString(binary)+`", [1]]`)
		}},
	}
}

// Inputs of which each would go into a variable. All of them are 3 MiB, where an
// environment has 2 MiB on most systems.
const (
	manyInputs = 25
	oneOfMany  = 120 << 10 // in bytes
)

// tooLargeTogether runs a task with many inputs. Which of them are in no variable is the
// agent's choice. The script starts no program: its environment may be as large as it can.
func tooLargeTogether(s *scene) {
	values := map[string]string{}
	for i := range manyInputs {
		name := "LEOFLOW_XCOM_P" + strconv.Itoa(i)
		values[name] = strings.Repeat(strconv.Itoa(i)+" ", oneOfMany)[:oneOfMany-1] + "."
		s.input("p"+strconv.Itoa(i), values[name])
	}
	s.launch(`for v in ${!LEOFLOW_XCOM_@}; do case $v in
  *_PATH) printf '%s' "$(<"${!v}")" > "$dir/$v" ;;
  *) printf '%s' "${!v}" > "$dir/$v" ;;
esac; done
tell saved
`)
	s.until("the task's look at its inputs", said("saved"))
	s.wantSuccess()
	for name, value := range values {
		if got, err := os.ReadFile(filepath.Join(s.dir, name+"_PATH")); err != nil || string(got) != value {
			s.Errorf("the file of %s holds %d bytes, %.40q; want %d, %.40q", name, len(got), got, len(value), value)
		}
		if got, err := os.ReadFile(filepath.Join(s.dir, name)); err == nil && string(got) != value {
			s.Errorf("%s is set to %d bytes, %.40q; want %d, or none", name, len(got), got, len(value))
		}
	}
}

// wantFile runs a task with one input, and looks at its file and its variable.
func (s *scene) wantFile(variable, param, value string, inVariable bool) {
	name := "LEOFLOW_XCOM_" + variable
	s.input(param, value)
	s.launch(saveEnvironment, `if [ -f "$`+name+`_PATH" ]; then cat "$`+name+`_PATH" > "$dir/value"; tell read; else tell none; fi
`)
	s.until("the task's look at its input", func(ms moments) bool { return said("read")(ms) || said("none")(ms) })
	s.wantSuccess()
	if said("none")(s.now()) {
		s.Fatalf("%s_PATH names no file", name)
	}
	if got := s.file("value"); !bytes.Equal(got, []byte(value)) {
		s.Errorf("the file holds %d bytes, %.100q; want %d, %.100q", len(got), got, len(value), value)
	}
	switch got, set := s.environment()[name]; {
	case inVariable && (!set || got != value):
		s.Errorf("%s is %q, want %q", name, got, value)
	case !inVariable && set:
		s.Errorf("%s is set, to %d bytes; the system cannot pass the %d of the value", name, len(got), len(value))
	}
}
