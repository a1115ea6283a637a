package agentsuite

import (
	"encoding/json"
	"reflect"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
)

// awkward are values that are easily changed on the way.
var awkward = map[string]string{
	"SPACES": "  around and  within  ",
	"QUOTES": `'single' "double" \back\\slash`,
	"SHELL":  "$HOME ${PATH} `id` $(id) %s * ~",
	"LINES":  "one\ntwo\n",
	"LETTER": "żółć, 日本語, 🎉 = ; &",
	"EMPTY":  "",
}

func environmentTrials() []trial {
	return []trial{
		{"A-ENV-1", "environment", "the specification's variables are given exactly", 0, []string{getTaskSpec}, func(s *scene) {
			s.spec.Environment = prefixed("CANARY_", awkward)
			s.wantEnvironment(s.spec.Environment)
		}},
		{"A-ENV-1", "call-args", "the call arguments are given exactly", 0, []string{getTaskSpec}, func(s *scene) {
			s.spec.CallArgsJson = `{"b": 1.50,  "a": "$HOME \u00e9 é", "c": [ ] }`
			s.wantEnvironment(map[string]string{"LEOFLOW_CALL_ARGS_JSON": s.spec.GetCallArgsJson()})
		}},
		{"A-ENV-1", "inputs", "each input is given exactly", 0, []string{getTaskSpec, fetchXCom}, func(s *scene) {
			want := map[string]string{}
			for name, value := range awkward {
				s.input(name, value)
				want["LEOFLOW_XCOM_"+name] = value
			}
			s.input("a_param", `{"z": 1.0,  "a": null}`)
			want["LEOFLOW_XCOM_A_PARAM"] = `{"z": 1.0,  "a": null}`
			s.wantEnvironment(want)
		}},
		{"A-ENV-1", "variables", "variables are given exactly", 0, []string{getVariables}, func(s *scene) {
			s.secure("127.0.0.1", "") // over plaintext an agent need not ask for them
			s.variables = awkward
			s.wantEnvironment(prefixed("AIRFLOW_VAR_", awkward))
		}},
		{"A-ENV-1", "connections", "connections are given exactly", 0, []string{getConnections}, func(s *scene) {
			s.secure("127.0.0.1", "")
			s.connections = map[string]string{"CANARY_DB": "postgres://user:p%40ss word$@db.example:5432/x?a=b&c='d'"}
			s.wantEnvironment(prefixed("AIRFLOW_CONN_", s.connections))
		}},
		{"A-ENV-2", "absent", "an absent input is unset, and an empty one is not", 0, []string{getTaskSpec, fetchXCom}, func(s *scene) {
			s.input("there", "value")
			s.input("empty", "")
			s.spec.XcomInputMapping["absent"] = &agentv1.XComUpstreams{TaskIds: []string{"nobody"}}
			got := s.wantEnvironment(map[string]string{"LEOFLOW_XCOM_THERE": "value", "LEOFLOW_XCOM_EMPTY": ""})
			for _, name := range []string{"LEOFLOW_XCOM_ABSENT", "LEOFLOW_XCOM_ABSENT_PATH"} {
				if value, set := got[name]; set {
					s.Errorf("%s is %q, and the input is absent", name, value)
				}
			}
		}},
		{"A-ENV-2", "fan-in", "a fan-in is an array in the declared order, with null for the absent", 0, []string{getTaskSpec, fetchXCom}, func(s *scene) {
			s.values = map[string][]byte{"c": []byte(`{"n": 3}`), "a": []byte(`"one"`), "d": []byte("4")}
			s.spec.XcomInputMapping = map[string]*agentv1.XComUpstreams{"all": {TaskIds: []string{"c", "missing", "a", "d"}}}
			s.wantJSON("LEOFLOW_XCOM_ALL", `[{"n": 3}, null, "one", 4]`)
		}},
		{"A-ENV-3", "internal", "an input that cannot be read, by INTERNAL, ends as FAILED before the task", 0, []string{fetchXCom, reportState}, func(s *scene) {
			unreadable(s, codes.Internal)
		}},
		{"A-ENV-3", "denied", "an input that may not be read ends as FAILED before the task", 0, []string{fetchXCom, reportState}, func(s *scene) {
			unreadable(s, codes.PermissionDenied)
		}},
	}
}

func prefixed(prefix string, entries map[string]string) map[string]string {
	out := map[string]string{}
	for name, value := range entries {
		out[prefix+name] = value
	}
	return out
}

// input declares a parameter, and a task that returned this value.
func (s *scene) input(param, value string) {
	if s.values == nil {
		s.values, s.spec.XcomInputMapping = map[string][]byte{}, map[string]*agentv1.XComUpstreams{}
	}
	s.values["up_"+param] = []byte(value)
	s.spec.XcomInputMapping[param] = &agentv1.XComUpstreams{TaskIds: []string{"up_" + param}}
}

// wantEnvironment runs a task and compares what it was given.
func (s *scene) wantEnvironment(want map[string]string) map[string]string {
	got := s.runForEnvironment()
	for name, value := range want {
		has, set := got[name]
		switch {
		case !set:
			s.Errorf("%s is not set; want %q", name, value)
		case has != value:
			s.Errorf("%s is %q, want %q", name, has, value)
		}
	}
	return got
}

func (s *scene) runForEnvironment() map[string]string {
	s.launch(saveEnvironment, "tell saved\n")
	s.until("the task's look at its environment", said("saved"))
	s.wantSuccess()
	return s.environment()
}

// wantJSON runs a task and compares one of its variables as JSON.
func (s *scene) wantJSON(name, want string) {
	got, set := s.runForEnvironment()[name]
	if !set {
		s.Fatalf("%s is not set", name)
	}
	var have, should any
	if err := json.Unmarshal([]byte(got), &have); err != nil {
		s.Fatalf("%s is %q, which is no JSON", name, got)
	}
	if err := json.Unmarshal([]byte(want), &should); err != nil {
		s.Broken("%v", err)
	}
	if !reflect.DeepEqual(have, should) {
		s.Errorf("%s is %s, want %s", name, got, want)
	}
}

func unreadable(s *scene, code codes.Code) {
	control := s.another()
	control.input("in", "1")
	control.launch()
	control.until("the control's task", started)
	control.wantSuccess()
	s.input("in", "1")
	s.on(fetchXCom, func(*call) error { return status.Error(code, "not now") })
	s.launch()
	s.until("a fetch", called(fetchXCom, 1))
	s.wantFailed()
	s.wantNoTask("its input could not be fetched")
}
