package secrets

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
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

// KeyID names a key of a keyset.
type KeyID uint32

// prefixByte begins what a key with a prefix of type TINK has sealed.
const prefixByte = 0x01

// Prefix returns what begins each ciphertext that the key has sealed, 5 bytes.
func (id KeyID) Prefix() []byte {
	return binary.BigEndian.AppendUint32([]byte{prefixByte}, uint32(id))
}

// SealedUnder returns the key that a ciphertext says it was sealed under; false: it
// is no ciphertext of a keyset.
func SealedUnder(sealed []byte) (KeyID, bool) {
	if len(sealed) < 5 || sealed[0] != prefixByte {
		return 0, false
	}
	return KeyID(binary.BigEndian.Uint32(sealed[1:])), true
}

// Keyset seals under its primary key with AES-256-GCM, and unseals under any of its
// keys. It is safe for concurrent use.
type Keyset struct {
	aead    tink.AEAD
	primary KeyID
	keys    map[KeyID]struct{}
}

// Ephemeral returns a keyset with a new key that lives in memory only: what it
// sealed nobody unseals after the process has ended.
func Ephemeral() (*Keyset, error) {
	handle, err := generate()
	if err != nil {
		return nil, err
	}
	return fromHandle(handle)
}

// Primary returns the key that seals.
func (k *Keyset) Primary() KeyID { return k.primary }

// Has reports whether id is one of the keys.
func (k *Keyset) Has(id KeyID) bool {
	_, ok := k.keys[id]
	return ok
}

// Len returns the number of keys, at least 1.
func (k *Keyset) Len() int { return len(k.keys) }

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

// fromHandle takes keys whose ciphertexts begin with their id, and no others: by it
// those are found that another key has sealed.
func fromHandle(handle *keyset.Handle) (*Keyset, error) {
	info := handle.KeysetInfo()
	k := &Keyset{primary: KeyID(info.GetPrimaryKeyId()), keys: map[KeyID]struct{}{}}
	for _, key := range info.GetKeyInfo() {
		if key.GetOutputPrefixType() != tinkpb.OutputPrefixType_TINK || key.GetStatus() != tinkpb.KeyStatusType_ENABLED {
			return nil, fmt.Errorf("key %d is disabled, or of another prefix than TINK", key.GetKeyId())
		}
		k.keys[KeyID(key.GetKeyId())] = struct{}{}
	}
	var err error
	if k.aead, err = aead.New(handle); err != nil {
		return nil, errors.New("its keys are none for AEAD")
	}
	return k, nil
}
