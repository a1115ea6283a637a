package agent

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/neochaotic/leoflow/internal/domain"
)

// splitLines reads r to its end, however it ends, and gives each line to emit
// without its newline (A-LOG-1): the last one though no newline ends it, invalid
// UTF-8 replaced by U+FFFD, a line over 64 KiB in pieces of at most that, cut
// between characters. It holds at most some hundred KiB.
func splitLines(r io.Reader, emit func(string)) {
	in := bufio.NewReaderSize(r, domain.MaxLogLineBytes)
	var line strings.Builder // what of the line is not emitted yet
	var tail []byte          // bytes of a character that the last read cut
	open := false            // whether a line has begun
	for {
		chunk, err := in.ReadSlice('\n')
		whole := err == nil
		if whole {
			chunk = chunk[:len(chunk)-1]
		}
		open = open || whole || len(chunk) > 0
		raw := append(tail, chunk...)
		tail = nil
		full := errors.Is(err, bufio.ErrBufferFull)
		if full {
			n := len(raw) - cutCharacter(raw)
			raw, tail = raw[:n], bytes.Clone(raw[n:])
		}
		line.WriteString(strings.ToValidUTF8(string(raw), "\uFFFD"))
		for line.Len() > domain.MaxLogLineBytes {
			rest := line.String()
			piece := domain.CutString(rest, domain.MaxLogLineBytes)
			emit(piece)
			line.Reset()
			line.WriteString(rest[len(piece):])
		}
		if open && !full {
			emit(line.String())
			line.Reset()
			open = false
		}
		if err != nil && !full {
			return
		}
	}
}

// cutCharacter returns how many bytes at the end of b begin a character that is
// not complete.
func cutCharacter(b []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(b); n++ {
		if c := b[len(b)-n]; utf8.RuneStart(c) {
			if utf8.FullRune(b[len(b)-n:]) {
				return 0
			}
			return n
		}
	}
	return 0
}
