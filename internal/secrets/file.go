package secrets

import (
	"bytes"
	"fmt"

	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"github.com/neochaotic/leoflow/internal/keyfile"
)

// LoadOrGenerate returns the keyset in the file at path: a Tink keyset as JSON
// text, not encrypted. It makes the file, mode 0600, where there is none. A file
// that others than its owner may read or write is refused.
func LoadOrGenerate(path string) (*Keyset, error) {
	text, _, err := keyfile.LoadOrCreate(path, newKeysetText)
	if err != nil {
		return nil, err
	}
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(text)))
	if err != nil {
		return nil, fmt.Errorf("keyset file %s: %w", path, err)
	}
	return fromHandle(handle)
}

// newKeysetText returns a new keyset as it stands in a file.
func newKeysetText() ([]byte, error) {
	handle, err := generate()
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&text)); err != nil {
		return nil, fmt.Errorf("write a keyset: %w", err)
	}
	return text.Bytes(), nil
}
