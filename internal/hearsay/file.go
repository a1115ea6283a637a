package hearsay

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/neochaotic/leoflow/internal/domain"
)

const suffix = ".json"

// keptFor is for how long the file of a server that was killed stays, or one that nobody can
// read. A server that lives writes its file again, or takes it back, within little more than a window.
func (b *Board) keptFor() time.Duration { return max(time.Hour, 4*b.cfg.Window) }

// said is what a file says.
type said struct {
	Heard []entry `json:"heard"`
}

type entry struct {
	Tenant   string `json:"tenant"`
	Instance string `json:"task_instance_id"`
	Try      int    `json:"try"`
	Beat     uint64 `json:"beat"`
}

// tell puts what was heard where the others find it; where that is nothing, it takes back
// what it told.
func (b *Board) tell() (err error) {
	numbers, news := b.fresh()
	switch {
	case !news || b.cfg.Dir == "":
		return nil
	case len(numbers) == 0:
		err = b.takeBack()
	default:
		err = b.put(numbers)
	}
	if err != nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.news = true // for the next time
	}
	return err
}

// put writes the file, which appears whole or not at all.
func (b *Board) put(numbers map[domain.AttemptRef]uint64) error {
	var out said
	for name, number := range numbers {
		out.Heard = append(out.Heard, entry{name.TenantID, name.TaskInstanceID, name.TryNumber, number})
	}
	text, err := json.Marshal(out)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(b.cfg.Dir, 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(b.beside(), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil { // else it may be empty after a crash
		return err
	}
	return os.Rename(b.beside(), b.path)
}

// beside is the file while it is being written.
func (b *Board) beside() string { return strings.TrimSuffix(b.path, suffix) }

// takeBack removes the file.
func (b *Board) takeBack() error {
	if b.cfg.Dir == "" {
		return nil
	}
	return errors.Join(gone(os.Remove(b.path)), gone(os.Remove(b.beside())))
}

// gone is err, unless it says that something is not there.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// others reads what the other servers tell.
func (b *Board) others() (map[domain.AttemptRef]uint64, error) {
	out := map[domain.AttemptRef]uint64{}
	if b.cfg.Dir == "" {
		return out, nil
	}
	files, err := os.ReadDir(b.cfg.Dir)
	if gone(err) != nil {
		return nil, err
	}
	for _, f := range files {
		path := filepath.Join(b.cfg.Dir, f.Name())
		if path == b.path || path == b.beside() {
			continue
		}
		if err := b.read(path, out); err != nil {
			return nil, fmt.Errorf("%s: %w; if no server writes it any more, remove it", path, err)
		}
	}
	return out, nil
}

// read adds what a file says, if it is whole. One that nobody has written for long it removes.
func (b *Board) read(path string, into map[domain.AttemptRef]uint64) error {
	info, err := os.Stat(path)
	if err != nil {
		return gone(err) // its server has nothing to tell any more
	}
	switch {
	case time.Since(info.ModTime()) > b.keptFor():
		return gone(os.Remove(path))
	case !strings.HasSuffix(path, suffix):
		return nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return gone(err)
	}
	var in said
	if err := json.Unmarshal(text, &in); err != nil {
		return err
	}
	for _, e := range in.Heard {
		into[domain.AttemptRef{TenantID: e.Tenant, TaskInstanceID: e.Instance, TryNumber: e.Try}] += e.Beat
	}
	return nil
}
