package main

import (
	"bufio"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// newTerminal opens a pseudo-terminal of a width: what is written to tty is read from
// master.
func newTerminal(t *testing.T, width uint16) (master, tty *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = master.Close() })
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: width}); err != nil {
		t.Fatal(err)
	}
	tty, err = os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return master, tty
}

// TestLiveLineOnATerminal runs on a terminal: the live line is drawn in its width and
// gone at the end, and colours are used.
func TestLiveLineOnATerminal(t *testing.T) {
	master, tty := newTerminal(t, 30)
	run := startInto(t, tty, "run", pipelineFile(t, `
name: live
tasks:
  - {id: a, bash: 'echo one'}
  - {id: b, after: [a], bash: 'exit 3'}
`))
	text, _ := io.ReadAll(bufio.NewReader(master)) // EIO, once nobody has it open
	run.end().wantCode(t, exitFailed)
	got := string(text)
	for _, piece := range []string{"1 running, 0/2 done, ", "1/2 done, ", "\r\x1b[K\x1b[36ma\x1b[0m \x1b[2m│\x1b[0m one\r\n", "TIMELINE  0s "} {
		if !strings.Contains(got, piece) {
			t.Errorf("the terminal never got %q:\n%q", piece, got)
		}
	}
	if last := got[strings.LastIndex(got, "\nTASK"):]; strings.Contains(last, "\x1b[K") || strings.Contains(last, " running, ") {
		t.Errorf("the live line is there still:\n%q", last)
	}
	for _, drawn := range strings.Split(got, "\x1b[2m") {
		if line, _, ok := strings.Cut(drawn, "\x1b[0m"); ok && strings.Contains(line, "running") && utf8.RuneCountInString(line) > 29 {
			t.Errorf("too wide: %q", line)
		}
	}
}
