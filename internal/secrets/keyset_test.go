package secrets_test

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/neochaotic/leoflow/internal/secrets"
)

var name = secrets.Name{Tenant: "a", Kind: secrets.KindConnection, Name: "db"}

func ephemeral(t *testing.T) *secrets.Keyset {
	t.Helper()
	k, err := secrets.Ephemeral()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestSecret6SealedBoundToItsName(t *testing.T) {
	k := ephemeral(t)
	sealed, err := k.Seal(name, []byte("postgres://secret"))
	if err != nil || bytes.Contains(sealed, []byte("secret")) {
		t.Fatalf("sealed %q, %v", sealed, err)
	}
	if got, err := k.Unseal(name, sealed); err != nil || string(got) != "postgres://secret" {
		t.Fatalf("unsealed %q, %v", got, err)
	}
	for _, other := range []secrets.Name{
		{Tenant: "b", Kind: secrets.KindConnection, Name: "db"},
		{Tenant: "a", Kind: secrets.KindVariable, Name: "db"},
		{Tenant: "a", Kind: secrets.KindConnection, Name: "db2"},
		{Tenant: "aconnection", Kind: "", Name: "db"},
		{Tenant: "", Kind: "aconnection", Name: "db"},
		{Tenant: "a", Kind: "connectiond", Name: "b"},
	} {
		if _, err := k.Unseal(other, sealed); !errors.Is(err, secrets.ErrUnsealable) {
			t.Errorf("%+v: %v", other, err)
		}
	}
	sealed[len(sealed)-1] ^= 1
	if _, err := k.Unseal(name, sealed); !errors.Is(err, secrets.ErrUnsealable) {
		t.Errorf("changed: %v", err)
	}
}

func TestSecret6AnotherKeysetDoesNotUnseal(t *testing.T) {
	sealed, err := ephemeral(t).Seal(name, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ephemeral(t).Unseal(name, sealed); !errors.Is(err, secrets.ErrUnsealable) {
		t.Fatalf("error = %v", err)
	}
}

func TestSecretKeysetFileIsMadeOnceAndPrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyset.json")
	keysets := make([]*secrets.Keyring, 8)
	var wg sync.WaitGroup
	for i := range keysets {
		wg.Go(func() {
			k, err := secrets.OpenKeyring(path, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Error(err)
			}
			keysets[i] = k
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	sealed, err := keysets[0].Seal(name, []byte("v"))
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keysets {
		if got, err := k.Unseal(name, sealed); err != nil || string(got) != "v" {
			t.Fatalf("another keyset: %q, %v", got, err)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v", info.Mode(), err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Fatalf("left behind: %v, %v", left, err)
	}
}

func TestSecretKeysetFileOfOthersIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyset.json")
	if _, err := secrets.OpenKeyring(path, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []os.FileMode{0o640, 0o604, 0o660} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := secrets.OpenKeyring(path, slog.New(slog.DiscardHandler)); err == nil {
			t.Errorf("mode %v is accepted", mode)
		}
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := secrets.OpenKeyring(path, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a broken file is accepted")
	}
}

func TestSecret3ScopesAreTwo(t *testing.T) {
	if !secrets.ScopeTenant.Valid() || !secrets.ScopeDeclared.Valid() || secrets.Scope("").Valid() {
		t.Error("wrong scopes")
	}
}
