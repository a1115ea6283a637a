package pipeline

import (
	"os"

	"github.com/mattn/go-isatty"
	"golang.org/x/sys/unix"
)

// defaultWidth is the width, in cells, of what does not tell its own.
const defaultWidth = 80

func isTerminal(f *os.File) bool { return isatty.IsTerminal(f.Fd()) }

// Width returns how wide a terminal is at the moment, in cells; 80 where that is unknown.
func Width(f *os.File) int {
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil || size.Col == 0 {
		return defaultWidth
	}
	return int(size.Col)
}
