package secrets_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/neochaotic/leoflow/internal/secrets"
)

// ring is a keyring over a file, and what it logged.
type ring struct {
	*secrets.Keyring
	t    *testing.T
	path string
	log  bytes.Buffer
}

func newRing(t *testing.T) *ring {
	t.Helper()
	r := &ring{t: t, path: filepath.Join(t.TempDir(), "keyset.json")}
	var err error
	if r.Keyring, err = secrets.OpenKeyring(r.path, slog.New(slog.NewTextHandler(&r.log, nil))); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *ring) rotate() secrets.KeyID {
	r.t.Helper()
	id, err := secrets.Rotate(r.path)
	if err != nil {
		r.t.Fatal(err)
	}
	return id
}

func (r *ring) seal(value string) []byte {
	r.t.Helper()
	sealed, err := r.Seal(name, []byte(value))
	if err != nil {
		r.t.Fatal(err)
	}
	return sealed
}

func (r *ring) wantUnsealed(sealed []byte, want string) {
	r.t.Helper()
	if got, err := r.Unseal(name, sealed); err != nil || string(got) != want {
		r.t.Errorf("unsealed %q, %v, want %q", got, err, want)
	}
}

func (r *ring) text() []byte {
	r.t.Helper()
	text, err := os.ReadFile(r.path)
	if err != nil {
		r.t.Fatal(err)
	}
	return text
}

func TestSecret6RotatedKeysetUnsealsWhatWasSealedBefore(t *testing.T) {
	r := newRing(t)
	first := r.Primary()
	old := r.seal("old")
	second := r.rotate()
	if r.Primary() != first || second == first {
		t.Fatalf("primary %d before the reload, was %d, is %d", r.Primary(), first, second)
	}
	r.Reload(context.Background())
	young := r.seal("young")
	for sealed, want := range map[string]secrets.KeyID{string(old): first, string(young): second} {
		if id, ok := secrets.SealedUnder([]byte(sealed)); !ok || id != want || !strings.HasPrefix(sealed, string(want.Prefix())) {
			t.Errorf("sealed under %d, %v, want %d", id, ok, want)
		}
	}
	r.wantUnsealed(old, "old")
	r.wantUnsealed(young, "young")
	if info, err := os.Stat(r.path); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if _, ok := secrets.SealedUnder([]byte("plain")); ok {
		t.Error("a text is sealed under a key")
	}
}

// TestSecret6UnknownKeyIsLookedForAtOnce: another process has rotated and sealed.
func TestSecret6UnknownKeyIsLookedForAtOnce(t *testing.T) {
	r := newRing(t)
	primary := r.rotate()
	other, err := secrets.Load(r.path)
	if err != nil || other.Primary() != primary || other.Len() != 2 {
		t.Fatalf("loaded %+v, %v", other, err)
	}
	sealed, err := other.Seal(name, []byte("v"))
	if err != nil {
		t.Fatal(err)
	}
	r.wantUnsealed(sealed, "v")
	if r.Primary() != primary {
		t.Errorf("primary %d, want %d", r.Primary(), primary)
	}
	foreign, err := ephemeral(t).Seal(name, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Unseal(name, foreign); !errors.Is(err, secrets.ErrUnsealable) {
		t.Errorf("a foreign one: %v", err)
	}
}

func TestSecretRetireLeavesThePrimaryKeyAlone(t *testing.T) {
	r := newRing(t)
	first := r.Primary()
	old := r.seal("old")
	second := r.rotate()
	if _, err := secrets.Retire(r.path, first); !errors.Is(err, secrets.ErrRotatedMeanwhile) {
		t.Errorf("by another primary: %v", err)
	}
	if n, err := secrets.Retire(r.path, second); err != nil || n != 1 {
		t.Fatalf("retired %d, %v", n, err)
	}
	k, err := secrets.Load(r.path)
	if err != nil || k.Primary() != second || k.Len() != 1 || k.Has(first) {
		t.Fatalf("left %+v, %v", k, err)
	}
	if _, err := k.Unseal(name, old); !errors.Is(err, secrets.ErrUnsealable) {
		t.Errorf("under the retired key: %v", err)
	}
	if n, err := secrets.Retire(r.path, second); err != nil || n != 0 {
		t.Errorf("again: %d, %v", n, err)
	}
	r.Reload(context.Background()) // it may have sealed under the key
	r.wantUnsealed(old, "old")
	if err := r.Reopen(); err != nil || r.Primary() != second {
		t.Fatalf("reopened: %d, %v", r.Primary(), err)
	}
	if _, err := r.Unseal(name, old); !errors.Is(err, secrets.ErrUnsealable) {
		t.Errorf("reopened: %v", err)
	}
}

// edited is a keyset file's text after change has been at its first key.
func edited(t *testing.T, text []byte, change func(key map[string]any)) []byte {
	t.Helper()
	var doc map[string]any
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	change(doc["key"].([]any)[0].(map[string]any))
	out, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestSecretBadKeysetFileKeepsTheOld(t *testing.T) {
	r := newRing(t)
	sealed := r.seal("v")
	good := r.text()
	other := newRing(t)
	for problem, bad := range map[string][]byte{
		"no Tink keyset":  []byte(`{"primaryKeyId":1,"key":[{"keyData":{"value":"c2VjcmV0"}}]`),
		"enabled primary": edited(t, good, func(key map[string]any) { key["status"] = "DISABLED" }),
		"prefix":          edited(t, good, func(key map[string]any) { key["outputPrefixType"] = "RAW" }),
		"lacks key":       other.text(),
		"broken":          nil,
	} {
		if err := os.WriteFile(r.path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		r.log.Reset()
		r.Reload(context.Background())
		r.Reload(context.Background())
		log := r.log.String()
		if strings.Count(log, "level=ERROR") != 1 || strings.Contains(log, "c2VjcmV0") {
			t.Errorf("%s: logged %s", problem, log)
		}
		for _, piece := range []string{r.path, problem, "put the last good file back"} {
			if !strings.Contains(log, piece) {
				t.Errorf("%q is not in the log: %s", piece, log)
			}
		}
		r.wantUnsealed(sealed, "v")
		r.wantUnsealed(r.seal("w"), "w")
		if problem != "lacks key" { // a good file but for that
			if _, err := secrets.Rotate(r.path); err == nil || !bytes.Equal(r.text(), bad) {
				t.Errorf("%s: rotated: %v", problem, err)
			}
		}
		if err := os.WriteFile(r.path, good, 0o600); err != nil {
			t.Fatal(err)
		}
		r.Reload(context.Background())
	}
	if err := os.Chmod(r.path, 0o644); err != nil {
		t.Fatal(err)
	}
	r.log.Reset()
	r.Reload(context.Background())
	if log := r.log.String(); !strings.Contains(log, r.path) || !strings.Contains(log, "chmod 600") {
		t.Errorf("of others: logged %s", log)
	}
	if err := os.Remove(r.path); err != nil {
		t.Fatal(err)
	}
	r.Reload(context.Background())
	r.wantUnsealed(sealed, "v")
	if _, err := secrets.Load(r.path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("made again: %v", err)
	}
}
