package agent

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/neochaotic/leoflow/internal/domain"
)

// The variables that a task finds beside its own.
const (
	envCallArgs    = "LEOFLOW_CALL_ARGS_JSON"
	envReturnValue = "LEOFLOW_RETURN_VALUE_PATH"
	prefixAgent    = "LEOFLOW_AGENT_"
	prefixVariable = "AIRFLOW_VAR_"
	prefixConn     = "AIRFLOW_CONN_"
)

// maxEntry is where the system's limit on one environment entry or argument lies,
// its final NUL included.
const maxEntry = 128 << 10

// environment is a task's environment as it is put together. What is set later
// wins: what the agent inherited, then secrets, then the specification's own
// entries, then what the protocol names itself.
type environment map[string]string

// inherited returns what a task takes over from its agent: all but the agent's own
// settings, whatever else holds the token (A-START-1), and what only a
// specification may set, so that what is absent stays unset (A-ENV-2).
func inherited(environ []string, token string) environment {
	env := environment{}
	for _, kv := range environ {
		name, value, ok := strings.Cut(kv, "=")
		if !ok || name == "" || strings.HasPrefix(name, prefixAgent) || strings.HasPrefix(name, domain.EnvXComPrefix) ||
			name == envCallArgs || name == envReturnValue || strings.Contains(value, token) {
			continue
		}
		env[name] = value
	}
	return env
}

// set adds an entry, or says why the system could not pass it. The error names the
// entry and not its value.
func (env environment) set(name, value string) error {
	switch {
	case name == "":
		return fmt.Errorf("an environment variable has no name")
	case strings.ContainsAny(name, "=\x00"):
		return fmt.Errorf("the environment variable %q cannot be passed: its name holds '=' or NUL", name)
	case strings.ContainsRune(value, 0):
		return fmt.Errorf("the environment variable %q cannot be passed: its value holds a NUL byte", name)
	case !fits(name, value):
		return fmt.Errorf("the environment variable %q cannot be passed: it is longer than %d KiB", name, maxEntry>>10)
	}
	env[name] = value
	return nil
}

// setAll adds entries in the order of their names, up to the first that cannot be passed.
func (env environment) setAll(entries map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		if err := env.set(name, entries[name]); err != nil {
			return err
		}
	}
	return nil
}

// setSecrets adds variables or connections: the prefix and the key in upper case,
// other characters left alone, each value exactly as given (A-ENV-1). Of keys that
// differ in case alone, the one in upper case wins, else the first by name. It
// returns the keys left out, because the system cannot pass them or another won.
func (env environment) setSecrets(prefix string, secrets map[string]string) (left []string) {
	taken := map[string]bool{}
	keys := slices.Sorted(maps.Keys(secrets))
	slices.SortStableFunc(keys, func(a, b string) int { return order(isUpper(b)) - order(isUpper(a)) })
	for _, key := range keys {
		name := prefix + strings.ToUpper(key)
		if key == "" || taken[name] || env.set(name, secrets[key]) != nil {
			left = append(left, key)
			continue
		}
		taken[name] = true
	}
	return left
}

func isUpper(key string) bool { return key == strings.ToUpper(key) }

func order(b bool) int {
	if b {
		return 1
	}
	return 0
}

// list returns the entries as KEY=value, sorted.
func (env environment) list() []string {
	out := make([]string, 0, len(env))
	for _, name := range slices.Sorted(maps.Keys(env)) {
		out = append(out, name+"="+env[name])
	}
	return out
}

// fits reports whether an entry is one that the system can pass (A-ENV-4).
func fits(name, value string) bool {
	return len(value) < maxEntry && len(name)+1+len(value)+1 <= maxEntry && !strings.ContainsRune(value, 0)
}

// checkInputNames refuses parameters whose variables collide: two of one name, or
// one that has the name of the other's file (A-ENV-4).
func checkInputNames(params []string) error {
	owner := map[string]string{}
	for _, param := range params {
		name := domain.XComVariable(param)
		for _, n := range []string{name, name + domain.EnvPathSuffix} {
			if other, ok := owner[n]; ok {
				return fmt.Errorf("the inputs %q and %q collide: both would be %s", other, param, n)
			}
			owner[n] = param
		}
	}
	return nil
}

// fanIn returns the values of a fan-in as one JSON array in their order: nil as
// null, JSON as it is, other text as a string, anything else as base64 (A-ENV-2, A-ENV-4).
func fanIn(values [][]byte) ([]byte, error) {
	out := []byte{'['}
	for i, v := range values {
		if i > 0 {
			out = append(out, ',')
		}
		switch {
		case v == nil:
			out = append(out, "null"...)
		case !utf8.Valid(v):
			out = append(out, '"')
			out = base64.StdEncoding.AppendEncode(out, v)
			out = append(out, '"')
		case json.Valid(v):
			out = append(out, v...)
		default:
			text, err := json.Marshal(string(v))
			if err != nil {
				return nil, fmt.Errorf("a value cannot be put into a JSON string: %w", err)
			}
			out = append(out, text...)
		}
	}
	return append(out, ']'), nil
}
