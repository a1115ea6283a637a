package backup

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/keyfile"
	"github.com/neochaotic/leoflow/internal/logs"
	"github.com/neochaotic/leoflow/internal/secrets"
	"github.com/neochaotic/leoflow/internal/server"
	"github.com/neochaotic/leoflow/internal/store"
)

// ErrRefused says that what was given cannot be backed up or restored, or that
// something is in the way; the error says what helps.
var ErrRefused = errors.New("refused")

// Options say what is backed up.
type Options struct {
	Dir         string // the data directory
	To          string // the file to write
	Force       bool   // overwrite To
	WithoutKeys bool   // leave out the signing keys and the secrets' keyset
}

// Summary is what is in a backup.
type Summary struct {
	At       time.Time // when it was begun, UTC
	Database int64     // version of the database
	LogFiles int
	Keys     bool
	// LostKeys is how many keys are missing from the keyset though secrets are sealed
	// under them: nobody can open those. 0 where the keys are left out.
	LostKeys int
	Bytes    int64 // size of the file
}

// Create writes a backup of the data directory, which a server may use meanwhile:
// everything that was acknowledged before the call is in it. The file appears under its
// name whole and on disk, mode 0600, and takes the place of another only by Force.
func Create(ctx context.Context, o Options) (sum Summary, err error) {
	if _, err := os.Lstat(o.To); err == nil && !o.Force {
		return sum, inTheWay(o.To)
	}
	temp, err := os.MkdirTemp(filepath.Dir(o.To), ".leoflow-backup-*") // mode 0700
	if err != nil {
		return sum, fmt.Errorf("write beside %s: %w", o.To, err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temp)) }()
	sum.At, sum.Keys = time.Now().UTC(), !o.WithoutKeys
	database := filepath.Join(temp, store.DatabaseFile)
	keys, err := takeDatabase(ctx, o, database, &sum)
	if err != nil {
		return sum, err
	}
	whole := filepath.Join(temp, "backup")
	if err := writeArchive(ctx, o.Dir, whole, database, keys, &sum); err != nil {
		return sum, err
	}
	info, err := os.Stat(whole)
	if err != nil {
		return sum, err
	}
	sum.Bytes = info.Size()
	return sum, publish(whole, o.To, o.Force)
}

func inTheWay(to string) error {
	return fmt.Errorf("%w: %s is there already: give another name, or overwrite it with --force", ErrRefused, to)
}

// keyFiles are the contents of the files of keys; nil: they are left out.
type keyFiles struct{ signing, sealing []byte }

// takeDatabase takes a snapshot to path, and the keys. Until it is taken no key can be
// added or retired, so that the keys are those that open what is in it.
func takeDatabase(ctx context.Context, o Options, path string, sum *Summary) (*keyFiles, error) {
	if o.WithoutKeys {
		_, err := snapshot(ctx, o.Dir, path, sum)
		return nil, err
	}
	if _, err := auth.LoadKeys(filepath.Join(o.Dir, server.KeyFile)); err != nil {
		return nil, noKeys(err)
	}
	signing, err := keyfile.Load(filepath.Join(o.Dir, server.KeyFile))
	if err != nil {
		return nil, noKeys(err)
	}
	keyset := filepath.Join(o.Dir, server.SecretsFile)
	keys := &keyFiles{signing: signing}
	err = keyfile.Hold(keyset, func(sealing []byte) error {
		keys.sealing = sealing
		wanted, err := snapshot(ctx, o.Dir, path, sum)
		if err != nil {
			return err
		}
		sum.LostKeys, err = lostKeys(keyset, sealing, wanted)
		return err
	})
	return keys, noKeys(err)
}

// snapshot takes and checks one, and returns the keys that secrets are sealed under.
func snapshot(ctx context.Context, dir, path string, sum *Summary) ([]secrets.KeyID, error) {
	err := store.Snapshot(ctx, dir, path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s holds no database: give the data directory of a server that was started once", ErrRefused, dir)
	}
	if errors.Is(err, store.ErrElsewhere) {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if err != nil {
		return nil, err
	}
	state, err := store.CheckFile(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("check the copy of the database: %w", err)
	}
	sum.Database = state.Database
	return state.SealedUnder, nil
}

func noKeys(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w; give the data directory of a server that was started once, or back up without keys", ErrRefused, err)
	}
	return err
}

// lostKeys counts the keys that the keyset of a file lacks.
func lostKeys(path string, keyset []byte, wanted []secrets.KeyID) (lost int, err error) {
	k, err := secrets.Parse(path, keyset)
	if err != nil {
		return 0, err
	}
	for _, id := range wanted {
		if !k.Has(id) {
			lost++
		}
	}
	return lost, nil
}

func writeArchive(ctx context.Context, dir, to, database string, keys *keyFiles, sum *Summary) error {
	a, err := newArchive(ctx, to, sum.At)
	if err != nil {
		return err
	}
	if err := a.fill(dir, database, keys, sum); err != nil {
		_ = a.close() // it only says that something is missing
		return err
	}
	return a.close()
}

func (a *archive) fill(dir, database string, keys *keyFiles, sum *Summary) error {
	head, err := json.Marshal(manifest{Format: format, At: sum.At, Database: sum.Database, Keys: sum.Keys})
	if err != nil {
		return err
	}
	if err := a.addBytes(manifestName, head); err != nil {
		return err
	}
	if err := a.addFile(store.DatabaseFile, database); err != nil {
		return err
	}
	if keys != nil {
		if err := errors.Join(a.addBytes(server.KeyFile, keys.signing), a.addBytes(server.SecretsFile, keys.sealing)); err != nil {
			return err
		}
	}
	sum.LogFiles, err = a.addLogs(filepath.Join(dir, server.LogsDir))
	return err
}

func (a *archive) addBytes(name string, content []byte) error {
	return a.add(name, int64(len(content)), bytes.NewReader(content))
}

// addFile adds a file that nobody writes to.
func (a *archive) addFile(name, path string) (err error) {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return a.add(name, info.Size(), f)
}

// addLogs adds the segment files below dir as they are: they are only ever appended to,
// and a line that is half written at their end is cut off when the log is opened again,
// as after a crash. Segments that are begun later are left out, and so is what is no log.
func (a *archive) addLogs(dir string) (files int, err error) {
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) { // none was written yet
		return 0, nil
	}
	dir, err = filepath.EvalSymlinks(dir) // whose link is not followed below
	if err != nil {
		return 0, fmt.Errorf("copy the logs: %w", err)
	}
	err = filepath.WalkDir(dir, func(at string, entry fs.DirEntry, err error) error {
		rel, inside := strings.CutPrefix(at, dir+string(filepath.Separator))
		switch {
		case errors.Is(err, fs.ErrNotExist): // it has just gone
			return nil
		case inside && entry.IsDir() && !logs.Holds(rel, true):
			return filepath.SkipDir
		case err != nil || entry.IsDir():
			return err
		case entry.Type()&fs.ModeSymlink != 0 && logs.Holds(rel, true):
			return fmt.Errorf("%s is a link: only %s itself may be one", at, server.LogsDir)
		case !entry.Type().IsRegular() || !logs.Holds(rel, false):
			return nil
		}
		added, err := a.addSegment(at, rel)
		if added {
			files++
		}
		return err
	})
	if err != nil {
		return files, fmt.Errorf("copy the logs: %w", err)
	}
	return files, nil
}

// addSegment adds a segment, unless it has just gone.
func (a *archive) addSegment(at, rel string) (added bool, err error) {
	text, err := a.readSegment(at)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, a.addBytes(path.Join(server.LogsDir, filepath.ToSlash(rel)), text)
}

// readSegment reads a segment whole, some 16 MiB at most: its size is told before its
// content, and it may be cut back meanwhile.
func (a *archive) readSegment(at string) (text []byte, err error) {
	f, err := os.Open(at)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return io.ReadAll(untilDone{a.ctx, f})
}

// publish gives a whole file its name, which is taken first, so that nothing that came
// to it meanwhile is overwritten unless by force.
func publish(whole, to string, force bool) error {
	if !force {
		f, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if errors.Is(err, fs.ErrExist) {
			return inTheWay(to)
		}
		if err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return errors.Join(err, os.Remove(to))
		}
	}
	if err := os.Rename(whole, to); err != nil {
		if !force {
			err = errors.Join(err, os.Remove(to))
		}
		return err
	}
	return syncDir(filepath.Dir(to))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
