package terminal

import (
	"fmt"
	"strings"
)

// JSON returns a JSON text with everything escaped that could steer a terminal (LOG-8).
func JSON(text string) string {
	var safe strings.Builder
	for _, r := range text {
		// Below are those that JSON itself escapes, and the white space between values.
		if r >= 0x7f && Visible(string(r)) != string(r) {
			fmt.Fprintf(&safe, `\u%04x`, r)
			continue
		}
		safe.WriteRune(r)
	}
	return safe.String()
}
