package agentsuite

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// prologue is the beginning of every task's script. Descriptor 8 leads to the pipe on
// which it speaks, and is inherited by all that it starts. `tell` says a word there, and
// `gate` waits until the check lets the task go on.
const prologue = `exec 8>%[1]s/events
tell() { printf '%%s\n' "$*" >&8; }
gate() { local word; read -r word <%[1]s/gate; }
dir=%[1]s
tell started $$
`

// quoted is a text as one word of a shell.
func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// ear hears what the task's script says.
type ear struct {
	dir    string
	pipe   *os.File // read from
	own    *os.File // holds the pipe open while no task has; nil: one has
	record *record
	done   chan struct{}
}

// listen makes the pipes of a scene and listens.
func listen(dir string, r *record) (*ear, error) {
	for _, name := range []string{"events", "gate"} {
		if err := syscall.Mkfifo(filepath.Join(dir, name), 0o600); err != nil {
			return nil, fmt.Errorf("make a named pipe: %w", err)
		}
	}
	e := &ear{dir: dir, record: r, done: make(chan struct{})}
	var err error
	// Without O_NONBLOCK either would wait for the other.
	if e.pipe, err = os.OpenFile(e.path(), os.O_RDONLY|syscall.O_NONBLOCK, 0); err != nil {
		return nil, err
	}
	if err := e.hold(); err != nil {
		_ = e.pipe.Close()
		return nil, err
	}
	go e.run()
	return e, nil
}

func (e *ear) path() string { return filepath.Join(e.dir, "events") }

func (e *ear) hold() (err error) {
	e.own, err = os.OpenFile(e.path(), os.O_WRONLY|syscall.O_NONBLOCK, 0)
	return err
}

func (e *ear) run() {
	defer close(e.done)
	in := bufio.NewReader(e.pipe)
	for {
		line, err := in.ReadString('\n')
		if word, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " "); word != "" {
			e.record.add(moment{word: word, rest: rest})
			if word == "started" && e.own != nil {
				_ = e.own.Close() // from now on the end of the pipe is the end of the task
				e.own = nil
			}
		}
		if err == nil {
			continue
		}
		if e.own != nil || e.hold() != nil {
			return // it was closed
		}
		e.record.add(moment{word: wordGone})
	}
}

func (e *ear) close() {
	_ = e.pipe.Close()
	<-e.done
	if e.own != nil {
		_ = e.own.Close()
	}
}

// letGo opens the gate for a task that waits at it, or comes to it.
func (s *scene) letGo() {
	s.Note("the task may go on")
	// For reading, too, so that it does not wait for the task; the scene's end closes it.
	gate, err := os.OpenFile(filepath.Join(s.dir, "gate"), os.O_RDWR, 0)
	if err != nil {
		s.Broken("the gate: %v", err)
	}
	s.Cleanup(func() { _ = gate.Close() })
	if _, err := gate.WriteString("go\n"); err != nil {
		s.Broken("the gate: %v", err)
	}
}

// file is what the script wrote to a file of the scene.
func (s *scene) file(name string) []byte {
	text, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil {
		s.Fatalf("the task wrote no %s", name)
	}
	return text
}

// saveEnvironment is a piece of script that keeps what the task was given.
const saveEnvironment = `env -0 > "$dir/env"
`

// environment is what saveEnvironment kept.
func (s *scene) environment() map[string]string {
	out := map[string]string{}
	for _, entry := range strings.Split(string(s.file("env")), "\x00") {
		if name, value, ok := strings.Cut(entry, "="); ok {
			out[name] = value
		}
	}
	return out
}
