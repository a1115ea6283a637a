package secrets

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/neochaotic/leoflow/internal/keyfile"
)

// Keyring is the keyset in a file that may be rotated while it is in use: it is read
// again by [Keyring.Reload], and at once when something is met that was sealed under a
// key which is not known yet. It is safe for concurrent use.
type Keyring struct {
	path    string
	logger  *slog.Logger
	current atomic.Pointer[Keyset]

	mu    sync.Mutex // held by whoever reads the file
	seen  [sha256.Size]byte
	fault string // why the file could not be taken into use, as logged; empty: it could
}

// OpenKeyring opens the keyset file at path, as [Load] does, and makes it, mode 0600,
// where there is none.
func OpenKeyring(path string, logger *slog.Logger) (*Keyring, error) {
	r := &Keyring{path: path, logger: logger}
	return r, r.Reopen()
}

// Reopen reads the file anew, whatever keys it lacks now. It is for whoever has opened
// it before it had the data to itself, and has sealed nothing yet.
func (r *Keyring) Reopen() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	text, _, err := keyfile.LoadOrCreate(r.path, newKeysetText)
	if err != nil {
		return err
	}
	k, err := Parse(r.path, text)
	if err != nil {
		return err
	}
	r.seen = sha256.Sum256(text)
	r.current.Store(k)
	return nil
}

// Primary returns the key that seals.
func (r *Keyring) Primary() KeyID { return r.current.Load().Primary() }

// Seal is [Keyset.Seal] under the keyset as it was read last.
func (r *Keyring) Seal(n Name, plaintext []byte) ([]byte, error) {
	return r.current.Load().Seal(n, plaintext)
}

// Unseal is [Keyset.Unseal]. Before it fails for want of a key it reads the file: a
// key is in it before anything is sealed under it.
func (r *Keyring) Unseal(n Name, sealed []byte) ([]byte, error) {
	k := r.current.Load()
	if id, ok := SealedUnder(sealed); ok && !k.Has(id) {
		r.Reload(context.Background())
		k = r.current.Load()
	}
	return k.Unseal(n, sealed)
}

// Reload takes the file into use if it has changed and is good. Else the keyset stays
// as it is, and a file that cannot be taken is logged, once. Good is one that lacks
// none of the keys in use: keys are retired while nobody uses them.
func (r *Keyring) Reload(ctx context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	text, err := keyfile.Load(r.path)
	if err != nil {
		r.keep(ctx, err)
		return
	}
	sum := sha256.Sum256(text)
	if sum == r.seen {
		r.fault = ""
		return
	}
	k, err := Parse(r.path, text)
	if err == nil {
		err = r.lacking(k)
	}
	if err == nil {
		err = keyfile.Sync(r.path) // what is sealed must not outlive its key
	}
	if err != nil {
		r.keep(ctx, err)
		return
	}
	r.seen, r.fault = sum, ""
	r.current.Store(k)
	r.logger.InfoContext(ctx, "keyset reloaded", "file", r.path, "primary", k.Primary(), "keys", k.Len())
}

// lacking returns an error where k lacks a key in use.
func (r *Keyring) lacking(k *Keyset) error {
	for id := range r.current.Load().keys {
		if !k.Has(id) {
			return fmt.Errorf("keyset file %s lacks key %d, which is in use: put the last good file back, from a backup", r.path, id)
		}
	}
	return nil
}

func (r *Keyring) keep(ctx context.Context, cause error) {
	if r.fault == cause.Error() {
		return
	}
	r.fault = cause.Error()
	r.logger.ErrorContext(ctx, "keyset not reloaded; the last good one stays in use",
		"file", r.path, "primary", r.Primary(), "cause", cause.Error())
}
