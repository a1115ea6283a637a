package logs

import (
	"crypto/sha256"
	"encoding/hex"
	"path/filepath"
	"strconv"
	"strings"
)

const (
	// maxNameBytes is the longest escaped name; file systems take 255 bytes, some with encryption fewer.
	maxNameBytes = 200
	// readableBytes is how much of an identifier stays legible in a hashed name.
	readableBytes = 64
	emptyName     = "%_"
	hashMark      = "%h"
)

// relDir returns the directory of the log below the root: always five levels, so
// that a level never holds both logs and directories of other logs.
func (r Ref) relDir() string {
	return filepath.Join(fileName(r.TenantID), fileName(r.DagID), fileName(r.RunID), fileName(r.TaskID),
		strconv.Itoa(r.TryNumber))
}

// refLevels is how many directories relDir has.
const refLevels = 5

// Holds reports whether something at rel, a path below the root of a [Dir], belongs to
// a log: a segment, or, if dir, a directory that may hold some. Whatever else is there
// is not of this package, such as what a file system keeps at its own root.
func Holds(rel string, dir bool) bool {
	names := strings.Split(filepath.ToSlash(rel), "/")
	if !dir {
		last := len(names) - 1
		if _, ok := baseOf(names[last]); !ok || last != refLevels {
			return false
		}
		names = names[:last]
	}
	for _, name := range names {
		if name == "" || strings.ContainsFunc(name, func(r rune) bool { return !strings.ContainsRune(nameCharacters, r) }) {
			return false
		}
	}
	return len(names) <= refLevels
}

// nameCharacters are those that fileName makes names of.
const nameCharacters = "abcdefghijklmnopqrstuvwxyz0123456789-_%"

// fileName maps identifiers one to one to file names (ISO-1). The names hold only
// a-z, 0-9, - _ and %, so they stay distinct where case is ignored or Unicode is
// normalised, and none is "." or "..". A name that would be too long ends in
// "%h" and the SHA-256 of the whole identifier; "%h" and "%_" are no escapes, so
// they never meet an escaped name.
func fileName(id string) string {
	if id == "" {
		return emptyName
	}
	escaped := escapeName(id)
	if len(escaped) <= maxNameBytes {
		return escaped
	}
	sum := sha256.Sum256([]byte(id))
	readable := escaped[:readableBytes]
	if i := strings.LastIndexByte(readable, '%'); i > readableBytes-3 {
		readable = readable[:i] // half an escape helps nobody
	}
	return readable + hashMark + hex.EncodeToString(sum[:])
}

func escapeName(id string) string {
	const digits = "0123456789abcdef"
	var b strings.Builder
	for i := range len(id) {
		switch c := id[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_':
			b.WriteByte(c)
		default:
			b.Write([]byte{'%', digits[c>>4], digits[c&15]})
		}
	}
	return b.String()
}
