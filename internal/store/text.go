package store

import (
	"strings"

	"github.com/neochaotic/leoflow/internal/domain"
)

// readable returns a text that others made without what PostgreSQL keeps in no text, a
// NUL or what is no UTF-8. Either becomes the mark of what is unreadable, on every dialect.
func readable(text string) string {
	const unreadable = "\uFFFD"
	return strings.ReplaceAll(strings.ToValidUTF8(text, unreadable), "\x00", unreadable)
}

// stored returns a readable text of at most limit bytes.
func stored(text string, limit int) string { return domain.CutString(readable(text), limit) }
