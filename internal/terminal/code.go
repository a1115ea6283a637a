package terminal

import (
	"strings"

	"google.golang.org/grpc/codes"
)

// CodeWord is a code's name in words: "failed precondition".
func CodeWord(c codes.Code) string {
	var b strings.Builder
	for i, r := range c.String() {
		if i > 0 && r >= 'A' && r <= 'Z' {
			b.WriteByte(' ')
		}
		b.WriteRune(r)
	}
	return strings.ToLower(b.String())
}
