package auth_test

import (
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/neochaotic/leoflow/internal/auth"
)

func TestAuth2KeysThatAreNoneAreRefused(t *testing.T) {
	for what, keys := range map[string][]auth.Key{
		"none":       {},
		"no id":      {{Secret: first.Secret}},
		"no secret":  {{ID: "a"}},
		"31 bytes":   {{ID: "a", Secret: make([]byte, 31)}},
		"one twice":  {first, first},
		"id twice":   {first, {ID: first.ID, Secret: second.Secret}},
		"one of two": {first, {ID: "b", Secret: make([]byte, 8)}},
	} {
		if set, err := auth.NewKeys(keys...); err == nil || set != nil {
			t.Errorf("%s: set %v, error %v", what, set, err)
		}
	}
	if _, err := auth.NewKeys(auth.Key{ID: "a", Secret: make([]byte, auth.MinKeyBytes)}); err != nil {
		t.Errorf("32 bytes: %v", err)
	}
}

func TestKeysAreCopied(t *testing.T) {
	key := auth.Key{ID: "a", Secret: []byte(strings.Repeat("k", 32))}
	tok := tokens(t, key)
	token, _, err := tok.MintAgent(agent, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	clear(key.Secret)
	if _, err := tok.AuthenticateAgent(token); err != nil {
		t.Errorf("clearing the caller's copy spoilt the set: %v", err)
	}
}

func TestGeneratedKeysDiffer(t *testing.T) {
	a, err := auth.GenerateKeys()
	if err != nil {
		t.Fatal(err)
	}
	b, err := auth.GenerateKeys()
	if err != nil {
		t.Fatal(err)
	}
	token, _, err := auth.NewTokens(a, clock).MintAgent(agent, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	checkAgentRefused(t, "a token of another generated key", auth.NewTokens(b, clock), token)
}

// write makes a key file of its owner's.
func write(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func entry(id string, secret []byte) string {
	return `{"id":"` + id + `","secret":"` + base64.StdEncoding.EncodeToString(secret) + `"}`
}

func TestAuth9KeyFileHoldsSeveralKeys(t *testing.T) {
	set, err := auth.LoadKeys(write(t, `{"keys":[`+entry("second", second.Secret)+`,`+entry("first", first.Secret)+`]}`))
	if err != nil {
		t.Fatal(err)
	}
	tok := auth.NewTokens(set, clock)
	for _, key := range []auth.Key{first, second} {
		token, _, err := tokens(t, key).MintAgent(agent, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tok.AuthenticateAgent(token); err != nil {
			t.Errorf("key %s: %v", key.ID, err)
		}
	}
	token, _, err := tok.MintAgent(agent, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tokens(t, second).AuthenticateAgent(token); err != nil {
		t.Errorf("not the first key of the file signed: %v", err)
	}
}

func TestAuth8MalformedKeyFilesAreRefusedUnquoted(t *testing.T) {
	const secret = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"
	for what, content := range map[string]string{
		"empty":       ``,
		"no JSON":     secret,
		"cut off":     `{"keys":[{"id":"a","secret":"` + secret,
		"no keys":     `{}`,
		"empty list":  `{"keys":[]}`,
		"null":        `{"keys":null}`,
		"no base64":   `{"keys":[{"id":"a","secret":"!` + secret + `"}]}`,
		"no text":     `{"keys":[{"id":"a","secret":12345}]}`,
		"a list":      `["` + secret + `"]`,
		"short":       `{"keys":[{"id":"a","secret":"` + secret + `"}]}`,
		"no id":       `{"keys":[` + entry("", first.Secret) + `]}`,
		"id twice":    `{"keys":[` + entry("a", first.Secret) + `,` + entry("a", second.Secret) + `]}`,
		"second keys": `{"keys":[` + entry("a", first.Secret) + `]}{"keys":[]}`,
	} {
		path := write(t, content)
		for name, load := range map[string]func() error{
			"LoadKeys":           func() error { _, err := auth.LoadKeys(path); return err },
			"LoadOrGenerateKeys": func() error { _, _, err := auth.LoadOrGenerateKeys(path); return err },
		} {
			err := load()
			if err == nil {
				t.Errorf("%s accepted a file that is %s", name, what)
				continue
			}
			if !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), secret[:8]) {
				t.Errorf("%s, %s: the error names no file, or quotes the key: %v", name, what, err)
			}
		}
		if after, err := os.ReadFile(path); err != nil || string(after) != content {
			t.Errorf("%s: the file was changed to %q, %v", what, after, err)
		}
	}
}

func TestKeyFilesOthersMayUseAreRefused(t *testing.T) {
	for _, mode := range []fs.FileMode{0o604, 0o640, 0o644, 0o620, 0o602, 0o601, 0o660, 0o666} {
		path := write(t, `{"keys":[`+entry("a", first.Secret)+`]}`)
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := auth.LoadKeys(path); err == nil || !strings.Contains(err.Error(), "600") {
			t.Errorf("mode %04o: error %v, want one that tells the remedy", mode, err)
		}
		if _, created, err := auth.LoadOrGenerateKeys(path); err == nil || created {
			t.Errorf("mode %04o: created %v, error %v", mode, created, err)
		}
	}
	for _, mode := range []fs.FileMode{0o600, 0o400} {
		path := write(t, `{"keys":[`+entry("a", first.Secret)+`]}`)
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := auth.LoadKeys(path); err != nil {
			t.Errorf("mode %04o: %v", mode, err)
		}
	}
}

func TestKeyFileIsMadeOnceAndForItsOwner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	if _, err := auth.LoadKeys(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("LoadKeys of no file: %v", err)
	}
	keys, created, err := auth.LoadOrGenerateKeys(path)
	if err != nil || !created {
		t.Fatalf("created %v, error %v", created, err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, error %v", info.Mode(), err)
	}
	token, _, err := auth.NewTokens(keys, clock).MintAgent(agent, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	again, created, err := auth.LoadOrGenerateKeys(path)
	if err != nil || created {
		t.Fatalf("the second time: created %v, error %v", created, err)
	}
	if _, err := auth.NewTokens(again, clock).AuthenticateAgent(token); err != nil {
		t.Errorf("a token did not survive the restart: %v", err)
	}
	if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
		t.Errorf("reading changed the file, %v", err)
	}
}

func TestKeyFileThatCannotBeMadeIsAnError(t *testing.T) {
	if _, created, err := auth.LoadOrGenerateKeys(filepath.Join(t.TempDir(), "no", "keys.json")); err == nil || created {
		t.Errorf("created %v, error %v", created, err)
	}
	if _, _, err := auth.LoadOrGenerateKeys(t.TempDir()); err == nil {
		t.Error("a directory was taken for a key file")
	}
}
