package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/neochaotic/leoflow/internal/pipeline"
)

// maxSecretFile is more than any secret may have.
const maxSecretFile = 1 << 20

// secretFlags are what --var and --connection give.
type secretFlags struct{ variables, connections map[string]string }

func (c *runCmd) secrets() (secretFlags, error) {
	variables, err := pairs("--var", "KEY=VALUE", c.Var)
	if err != nil {
		return secretFlags{}, err
	}
	connections, err := pairs("--connection", "ID=URI", c.Connection)
	return secretFlags{variables, connections}, err
}

// pairs splits KEY=VALUE flags. Its errors hold no value: it may be a secret.
func pairs(flag, form string, given []string) (map[string]string, error) {
	out := map[string]string{}
	for _, pair := range given {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || key == "" {
			return nil, badInput{fmt.Errorf("%s needs a name and a value: write it as %s", flag, form)}
		}
		if _, twice := out[key]; twice {
			return nil, badInput{fmt.Errorf("%s %s is given twice: give it once", flag, key)}
		}
		value, err := secretValue(value)
		if err != nil {
			return nil, badInput{fmt.Errorf("%s %s: %w", flag, key, err)}
		}
		if !utf8.ValidString(key) || !utf8.ValidString(value) {
			return nil, badInput{fmt.Errorf("%s %s is not UTF-8: encode it, as base64 for example", flag, key)}
		}
		out[key] = value
	}
	return out, nil
}

// secretValue is value itself, or what is in the file that it names with @.
func secretValue(value string) (string, error) {
	path, named := strings.CutPrefix(value, "@")
	if !named || strings.HasPrefix(path, "@") {
		return strings.TrimPrefix(value, "@"), nil
	}
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("the file of its value: %w; give a file that can be read, or @@ for a value that begins with @", err)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxSecretFile+1))
	switch err = errors.Join(err, f.Close()); {
	case err != nil:
		return "", fmt.Errorf("the file of its value: %w", err)
	case len(text) > maxSecretFile:
		return "", fmt.Errorf("the file of its value, %s, is over %d bytes: give a shorter one", path, maxSecretFile)
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r"), nil
}

// put stores the secrets on the control plane of a run.
func (s secretFlags) put(v *venue) error {
	if len(s.variables)+len(s.connections) == 0 {
		return nil
	}
	return pipeline.PutSecrets(v.ctx, v.admin, s.variables, s.connections)
}
