package secrets

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// Kind says what kind of secret is sealed.
type Kind string

// The kinds.
const (
	KindVariable   Kind = "variable"
	KindConnection Kind = "connection"
)

// ErrUnsealable says that a ciphertext is not one of this keyset for this tenant,
// kind and name: another key made it, or it was changed or moved (SECRET-6).
var ErrUnsealable = errors.New("secret cannot be unsealed")

// Name says which secret a ciphertext belongs to. A ciphertext unseals under the
// very name that it was sealed under, and no other.
type Name struct {
	Tenant string
	Kind   Kind
	Name   string
}

// associated is the associated data of n. Each part follows its length, so that
// no two names have the same.
func (n Name) associated() []byte {
	var out []byte
	for _, part := range []string{n.Tenant, string(n.Kind), n.Name} {
		out = binary.BigEndian.AppendUint64(out, uint64(len(part)))
		out = append(out, part...)
	}
	return out
}

// Keyset seals and unseals with AES-256-GCM. It is safe for concurrent use.
type Keyset struct{ aead tink.AEAD }

// Ephemeral returns a keyset with a new key that lives in memory only: what it
// sealed nobody unseals after the process has ended.
func Ephemeral() (*Keyset, error) {
	handle, err := generate()
	if err != nil {
		return nil, err
	}
	return fromHandle(handle)
}

// Seal returns the ciphertext of plaintext for n.
func (k *Keyset) Seal(n Name, plaintext []byte) ([]byte, error) {
	sealed, err := k.aead.Encrypt(plaintext, n.associated())
	if err != nil {
		return nil, fmt.Errorf("seal %s: %w", n.Kind, err)
	}
	return sealed, nil
}

// Unseal returns what was sealed for n, or [ErrUnsealable].
func (k *Keyset) Unseal(n Name, sealed []byte) ([]byte, error) {
	plaintext, err := k.aead.Decrypt(sealed, n.associated())
	if err != nil {
		// The library's text says nothing beyond that, and could come to say more.
		return nil, fmt.Errorf("%w: %s %q", ErrUnsealable, n.Kind, n.Name)
	}
	return plaintext, nil
}

func generate() (*keyset.Handle, error) {
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("generate a keyset: %w", err)
	}
	return handle, nil
}

func fromHandle(handle *keyset.Handle) (*Keyset, error) {
	primitive, err := aead.New(handle)
	if err != nil {
		return nil, fmt.Errorf("keyset: %w", err)
	}
	return &Keyset{primitive}, nil
}
