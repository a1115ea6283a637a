package controlrpc

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"

	"google.golang.org/protobuf/proto"

	"github.com/neochaotic/leoflow/internal/rpcstatus"
)

const (
	// defaultPageSize is the size of a page whose request names none.
	defaultPageSize = 100
	// tagBytes is how much of a digest a page token carries.
	tagBytes = 8
)

// pageRequest is what requests of lists have in common.
type pageRequest interface {
	GetPageSize() int32
	GetPageToken() string
}

// position is where a page ends and the next one begins: the key of its last entry.
type position interface{ int64 | string }

// listing reads one list, whose order is that of its entries' keys.
type listing[K position, T any, M proto.Message] struct {
	// scope is what the list is of: its method, the tenant and what it is filtered by.
	// A page token is good for no other.
	scope []string
	// load returns at most limit entries that come after one; the zero key: from the
	// first on.
	load  func(after K, limit int) ([]T, error)
	key   func(T) K
	proto func(T) M
}

// page returns the entries that req asks for, and the token of the next page; empty:
// there is none. A page of long entries ends before its size, at 1 MiB: a client
// takes messages of 4 MiB by default.
func (l listing[K, T, M]) page(req pageRequest) (entries []M, next string, err error) {
	after, err := l.parse(req.GetPageToken())
	if err != nil {
		return nil, "", err
	}
	size := int(req.GetPageSize())
	if size == 0 {
		size = defaultPageSize
	}
	items, err := l.load(after, size+1) // one more tells whether there are more
	if err != nil {
		return nil, "", err
	}
	total := 0
	for i, item := range items {
		entry := l.proto(item)
		total += proto.Size(entry)
		if i == size || i > 0 && total > bytesAtOnce {
			return entries, l.token(l.key(items[i-1])), nil
		}
		entries = append(entries, entry)
	}
	return entries, "", nil
}

// token returns the page token of a position.
func (l listing[K, T, M]) token(k K) string {
	at := encodePosition(k)
	return base64.RawURLEncoding.EncodeToString(append(l.tag(at), at...))
}

// parse returns the position of a page token, the zero one of an empty token. What
// is no token of this list is INVALID_ARGUMENT. Tokens guard nothing: whoever makes
// one up sees no more than the tenant's own list, from another place on.
func (l listing[K, T, M]) parse(token string) (k K, err error) {
	if token == "" {
		return k, nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err == nil && len(raw) > tagBytes && bytes.Equal(raw[:tagBytes], l.tag(raw[tagBytes:])) {
		if k, ok := decodePosition[K](raw[tagBytes:]); ok {
			return k, nil
		}
	}
	return k, rpcstatus.Field("page_token", "is none that this list gave; leave it empty to begin again")
}

// tag binds a position to the list's scope.
func (l listing[K, T, M]) tag(at []byte) []byte {
	h := sha256.New()
	for _, part := range append([][]byte{at}, byteSlices(l.scope)...) {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		h.Write(part)
	}
	return h.Sum(nil)[:tagBytes]
}

func byteSlices(parts []string) [][]byte {
	out := make([][]byte, len(parts))
	for i, part := range parts {
		out[i] = []byte(part)
	}
	return out
}

func encodePosition[K position](k K) []byte {
	switch k := any(k).(type) {
	case int64:
		return binary.BigEndian.AppendUint64(nil, uint64(k)) //nolint:gosec // comes back the same way
	case string:
		return []byte(k)
	}
	return nil
}

func decodePosition[K position](raw []byte) (k K, ok bool) {
	switch k := any(&k).(type) {
	case *int64:
		if len(raw) != 8 {
			return *new(K), false
		}
		*k = int64(binary.BigEndian.Uint64(raw)) //nolint:gosec // went out the same way
	case *string:
		*k = string(raw)
	}
	return k, true
}
