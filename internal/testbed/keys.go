package testbed

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/keyfile"
	"github.com/neochaotic/leoflow/internal/server"
)

// signingKey is one of the server's, as its key file has it.
type signingKey struct {
	ID     string `json:"id"`
	Secret []byte `json:"secret"`
}

type keyFile struct {
	Keys []signingKey `json:"keys"`
}

// openKeys returns the keys of a data directory, at least two, so that there is one that
// signs no new tokens (AUTH-9). It makes what is missing.
func openKeys(dir string) ([]signingKey, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	path := filepath.Join(dir, server.KeyFile)
	data, _, err := keyfile.LoadOrCreate(path, func() ([]byte, error) { return withSecondKey([]byte("{}")) })
	if err != nil {
		return nil, err
	}
	file, err := parseKeys(data)
	if err == nil && len(file.Keys) < 2 {
		err = keyfile.Replace(path, func(old []byte) (data []byte, err error) {
			if data, err = withSecondKey(old); err == nil {
				file, err = parseKeys(data)
			}
			return data, err
		})
	}
	if err != nil {
		return nil, fmt.Errorf("key file %s: %w", path, err)
	}
	return file.Keys, nil
}

// withSecondKey adds keys to a key file until it has two.
func withSecondKey(old []byte) ([]byte, error) {
	file, err := parseKeys(old)
	if err != nil {
		return nil, err
	}
	for len(file.Keys) < 2 {
		key := signingKey{ID: randomID(), Secret: make([]byte, auth.MinKeyBytes)}
		if _, err := rand.Read(key.Secret); err != nil {
			return nil, err
		}
		file.Keys = append(file.Keys, key)
	}
	return json.MarshalIndent(file, "", "  ")
}

func parseKeys(data []byte) (file keyFile, err error) {
	if json.Unmarshal(data, &file) != nil { // what is wrong could quote a key
		return file, fmt.Errorf("it is no list of keys as JSON")
	}
	return file, nil
}
