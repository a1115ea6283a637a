package auth

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/neochaotic/leoflow/internal/keyfile"
)

// MinKeyBytes is the least length of a signing key: that of an HS256 digest.
const MinKeyBytes = 32

// Key is one signing key. ID is what the `kid` of a token names.
type Key struct {
	ID     string
	Secret []byte
}

// Keys is a set of signing keys: the first signs, all verify, so that a key can be
// replaced while tokens signed with the old one are still in use (AUTH-9).
type Keys struct {
	keys []Key
}

// NewKeys checks and copies keys. It refuses an empty set, a key under
// [MinKeyBytes], an empty ID and one that comes twice.
func NewKeys(keys ...Key) (*Keys, error) {
	if len(keys) == 0 {
		return nil, errors.New("no signing key: give at least one")
	}
	seen := map[string]bool{}
	set := &Keys{}
	for _, k := range keys {
		switch {
		case k.ID == "":
			return nil, errors.New("signing key without an id: name it")
		case seen[k.ID]:
			return nil, fmt.Errorf("signing key %q comes twice: give each key its own id", k.ID)
		case len(k.Secret) < MinKeyBytes:
			return nil, fmt.Errorf("signing key %q has %d bytes: it needs at least %d", k.ID, len(k.Secret), MinKeyBytes)
		}
		seen[k.ID] = true
		set.keys = append(set.keys, Key{ID: k.ID, Secret: append([]byte(nil), k.Secret...)})
	}
	return set, nil
}

// GenerateKeys returns a set with one new random key.
func GenerateKeys() (*Keys, error) {
	secret := make([]byte, MinKeyBytes)
	if _, err := rand.Read(secret); err != nil {
		return nil, fmt.Errorf("generate signing key: %w", err)
	}
	id := make([]byte, 6)
	if _, err := rand.Read(id); err != nil {
		return nil, fmt.Errorf("generate signing key: %w", err)
	}
	return NewKeys(Key{ID: base64.RawURLEncoding.EncodeToString(id), Secret: secret})
}

// keyFile is the file format: the first key signs, every key verifies.
type keyFile struct {
	Keys []keyFileEntry `json:"keys"`
}

type keyFileEntry struct {
	ID     string `json:"id"`
	Secret []byte `json:"secret"` // base64
}

// LoadKeys reads a key file. A file that others may read is refused.
func LoadKeys(path string) (*Keys, error) {
	data, err := keyfile.Load(path)
	if err != nil {
		return nil, err
	}
	return parseKeys(path, data)
}

// LoadOrGenerateKeys reads the key file at path, or makes one with a new key, of
// mode 0600, where there is none. created tells which.
func LoadOrGenerateKeys(path string) (keys *Keys, created bool, err error) {
	data, created, err := keyfile.LoadOrCreate(path, func() ([]byte, error) {
		generated, err := GenerateKeys()
		if err != nil {
			return nil, err
		}
		var f keyFile
		for _, k := range generated.keys {
			f.Keys = append(f.Keys, keyFileEntry(k))
		}
		return json.MarshalIndent(f, "", "  ")
	})
	if err != nil {
		return nil, false, err
	}
	keys, err = parseKeys(path, data)
	return keys, created, err
}

func parseKeys(path string, data []byte) (*Keys, error) {
	var f keyFile
	if err := json.Unmarshal(data, &f); err != nil {
		// The cause could quote a piece of a key.
		return nil, fmt.Errorf(`key file %s is not of the form {"keys":[{"id":"…","secret":"<base64>"}]}`, path)
	}
	keys := make([]Key, len(f.Keys))
	for i, k := range f.Keys {
		keys[i] = Key(k)
	}
	set, err := NewKeys(keys...)
	if err != nil {
		return nil, fmt.Errorf("key file %s: %w", path, err)
	}
	return set, nil
}
