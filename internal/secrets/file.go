package secrets

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"github.com/neochaotic/leoflow/internal/keyfile"
)

// ErrRotatedMeanwhile says that a keyset file has another primary key than whoever
// changes it has seen.
var ErrRotatedMeanwhile = errors.New("the keyset was rotated meanwhile: try again")

// Load returns the keyset in the file at path: a Tink keyset as JSON text, not
// encrypted. An error names the file, what is wrong with it and what helps; where
// there is no file, it is fs.ErrNotExist. A file that others than its owner may read
// or write is refused.
func Load(path string) (*Keyset, error) {
	text, err := keyfile.Load(path)
	if err != nil {
		return nil, err
	}
	return Parse(path, text)
}

// Rotate adds a new key to the keyset in the file at path, makes it the primary one
// and returns it. The older keys stay, so that what they have sealed unseals.
func Rotate(path string) (primary KeyID, err error) {
	err = keyfile.Replace(path, func(old []byte) ([]byte, error) {
		manager, _, err := manage(path, old)
		if err != nil {
			return nil, err
		}
		id, err := manager.Add(aead.AES256GCMKeyTemplate())
		if err != nil {
			return nil, fmt.Errorf("generate a key: %w", err)
		}
		if err := manager.SetPrimary(id); err != nil {
			return nil, fmt.Errorf("make a key the primary one: %w", err)
		}
		primary = KeyID(id)
		return managedText(manager)
	})
	return primary, err
}

// Retire removes every key but primary from the keyset in the file at path, for good,
// and returns how many. Nothing may be sealed under them any more, and nobody may use
// the keyset as it was. A file with another primary key is left: [ErrRotatedMeanwhile].
func Retire(path string, primary KeyID) (removed int, err error) {
	err = keyfile.Replace(path, func(old []byte) ([]byte, error) {
		manager, current, err := manage(path, old)
		if err != nil {
			return nil, err
		}
		if current.Primary() != primary {
			return nil, ErrRotatedMeanwhile
		}
		for id := range current.keys {
			if id == primary {
				continue
			}
			if err := manager.Delete(uint32(id)); err != nil {
				return nil, fmt.Errorf("remove key %d: %w", id, err)
			}
			removed++
		}
		return managedText(manager)
	})
	return removed, err
}

// Parse reads the text of the keyset file at path, as [Load] does.
func Parse(path string, text []byte) (*Keyset, error) {
	handle, err := readHandle(path, text)
	if err != nil {
		return nil, err
	}
	k, err := fromHandle(handle)
	if err != nil {
		return nil, broken(path, err.Error())
	}
	return k, nil
}

func readHandle(path string, text []byte) (*keyset.Handle, error) {
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(text)))
	if err != nil {
		return nil, broken(path, "it is no Tink keyset as JSON with an enabled primary key") // the library may quote the text (AUTH-8)
	}
	return handle, nil
}

func broken(path, problem string) error {
	return fmt.Errorf("keyset file %s is broken, %s: put the last good file back, from a backup", path, problem)
}

func manage(path string, text []byte) (*keyset.Manager, *Keyset, error) {
	k, err := Parse(path, text)
	if err != nil {
		return nil, nil, err
	}
	handle, err := readHandle(path, text)
	if err != nil {
		return nil, nil, err
	}
	return keyset.NewManagerFromHandle(handle), k, nil
}

func managedText(manager *keyset.Manager) ([]byte, error) {
	handle, err := manager.Handle()
	if err != nil {
		return nil, fmt.Errorf("make a keyset: %w", err)
	}
	return handleText(handle)
}

// newKeysetText returns a new keyset as it stands in a file.
func newKeysetText() ([]byte, error) {
	handle, err := generate()
	if err != nil {
		return nil, err
	}
	return handleText(handle)
}

func handleText(handle *keyset.Handle) ([]byte, error) {
	var text bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&text)); err != nil {
		return nil, fmt.Errorf("write a keyset: %w", err)
	}
	return text.Bytes(), nil
}
