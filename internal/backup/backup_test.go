package backup_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/backup"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/logs"
	"github.com/neochaotic/leoflow/internal/secrets"
	"github.com/neochaotic/leoflow/internal/server"
	"github.com/neochaotic/leoflow/internal/store"
)

var ref = logs.Ref{TenantID: "a", DagID: "../d", RunID: "r", TaskID: "t", TryNumber: 1}

func as(tenant string) context.Context { return domain.WithTenant(context.Background(), tenant) }

// dataDir makes a data directory with a variable and a line of a log.
func dataDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if _, _, err := auth.LoadOrGenerateKeys(filepath.Join(dir, server.KeyFile)); err != nil {
		t.Fatal(err)
	}
	s := openStore(t, dir)
	lines, err := logs.NewDir(logs.Options{Root: filepath.Join(dir, server.LogsDir)})
	if err != nil {
		t.Fatal(err)
	}
	w, err := lines.Open(ref)
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(w.WriteEvent(logs.Event{Message: "line"}), w.Close(), lines.Close(),
		s.PutVariable(as("a"), "somebody", "v", "value"), s.Close())
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func keyring(t *testing.T, dir string) *secrets.Keyring {
	t.Helper()
	k, err := secrets.OpenKeyring(filepath.Join(dir, server.SecretsFile), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func openStore(t *testing.T, dir string) *store.Store {
	t.Helper()
	s, err := store.Open(context.Background(), store.Config{Dir: dir, Sealer: keyring(t, dir)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// create backs dir up into a new file.
func create(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "backup.tar.gz")
	if _, err := backup.Create(context.Background(), backup.Options{Dir: dir, To: to}); err != nil {
		t.Fatal(err)
	}
	return to
}

// wantVariable opens the data and looks for the variable.
func wantVariable(t *testing.T, dir string) {
	t.Helper()
	s := openStore(t, dir)
	got, err := s.SecretVariables(as("a"), "a")
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err != nil || got["v"] != "value" {
		t.Errorf("variables %v, %v", got, err)
	}
}

// tree lists what is below dir, with modes.
func tree(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(at string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		rel, _ := filepath.Rel(dir, at)
		out = append(out, info.Mode().String()+" "+rel)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestBackupIsRestored(t *testing.T) {
	dir, to := dataDir(t), filepath.Join(t.TempDir(), "backup.tar.gz")
	made, err := backup.Create(context.Background(), backup.Options{Dir: dir, To: to})
	if err != nil || made.LogFiles != 1 || !made.Keys || made.LostKeys != 0 {
		t.Fatalf("made %+v, %v", made, err)
	}
	if info, err := os.Stat(to); err != nil || info.Mode() != 0o600 || info.Size() != made.Bytes {
		t.Errorf("file %v, %d bytes, %v", info.Mode(), info.Size(), err)
	}
	if left, err := os.ReadDir(filepath.Dir(to)); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	empty, parent, link := filepath.Join(t.TempDir(), "empty"), t.TempDir(), filepath.Join(t.TempDir(), "link")
	if err := errors.Join(os.Mkdir(empty, 0o755), os.Symlink(t.TempDir(), link)); err != nil {
		t.Fatal(err)
	}
	for _, restored := range []string{empty, filepath.Join(parent, "absent", "too"), link} {
		got, err := backup.Restore(context.Background(), to, restored)
		want := made
		want.Bytes = 0
		if err != nil || got != want {
			t.Errorf("restored %+v, %v, want %+v", got, err, want)
		}
		files := tree(t, restored+"/")
		want2 := []string{
			"drwx------ .", "-rw------- keys.json", "-rw------- leoflow.db", "drwx------ logs", "drwx------ logs/a", "drwx------ logs/a/%2e%2e%2fd",
			"drwx------ logs/a/%2e%2e%2fd/r", "drwx------ logs/a/%2e%2e%2fd/r/t", "drwx------ logs/a/%2e%2e%2fd/r/t/1",
			"-rw------- logs/a/%2e%2e%2fd/r/t/1/00000000000000000000.jsonl", "-rw------- secrets.json",
		}
		if !slices.Equal(files, want2) {
			t.Errorf("restored:\n%s\nwant:\n%s", strings.Join(files, "\n"), strings.Join(want2, "\n"))
		}
		wantVariable(t, restored)
		lines, err := logs.NewDir(logs.Options{Root: filepath.Join(restored, server.LogsDir)})
		if err != nil {
			t.Fatal(err)
		}
		if records, err := lines.Read(context.Background(), ref, 0, 10); err != nil || len(records) != 1 || records[0].Message != "line" {
			t.Errorf("log %v, %v", records, err)
		}
		if left, err := os.ReadDir(filepath.Dir(restored)); err != nil || len(left) != 1 {
			t.Errorf("left beside: %v, %v", left, err)
		}
		if _, err := backup.Restore(context.Background(), to, restored); !errors.Is(err, backup.ErrRefused) || !strings.Contains(err.Error(), restored) {
			t.Errorf("again: %v", err)
		}
	}
	wantVariable(t, dir)
}

func TestBackupOverwritesByForceAlone(t *testing.T) {
	dir, to := dataDir(t), filepath.Join(t.TempDir(), "backup")
	if err := os.WriteFile(to, []byte("precious"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := backup.Create(context.Background(), backup.Options{Dir: dir, To: to})
	if text, _ := os.ReadFile(to); !errors.Is(err, backup.ErrRefused) || string(text) != "precious" {
		t.Errorf("without force: %v, left %q", err, text)
	}
	if _, err := backup.Create(context.Background(), backup.Options{Dir: dir, To: to, Force: true}); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(to); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if _, err := backup.Restore(context.Background(), to, t.TempDir()); err != nil {
		t.Error(err)
	}
}

func TestBackupWithoutKeysHoldsNone(t *testing.T) {
	dir, to := dataDir(t), filepath.Join(t.TempDir(), "backup")
	sum, err := backup.Create(context.Background(), backup.Options{Dir: dir, To: to, WithoutKeys: true})
	if err != nil || sum.Keys {
		t.Fatalf("%+v, %v", sum, err)
	}
	restored := t.TempDir()
	if sum, err = backup.Restore(context.Background(), to, restored); err != nil || sum.Keys {
		t.Fatalf("%+v, %v", sum, err)
	}
	for _, name := range []string{server.KeyFile, server.SecretsFile} {
		if _, err := os.Stat(filepath.Join(restored, name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// With the keys of before, it is whole again.
	text, err := os.ReadFile(filepath.Join(dir, server.SecretsFile))
	if err := errors.Join(err, os.WriteFile(filepath.Join(restored, server.SecretsFile), text, 0o600)); err != nil {
		t.Fatal(err)
	}
	wantVariable(t, restored)
}

func TestBackupTellsOfSecretsThatNobodyOpens(t *testing.T) {
	dir := dataDir(t)
	if err := os.Remove(filepath.Join(dir, server.SecretsFile)); err != nil {
		t.Fatal(err)
	}
	keyring(t, dir) // another one
	to := filepath.Join(t.TempDir(), "backup")
	if sum, err := backup.Create(context.Background(), backup.Options{Dir: dir, To: to}); err != nil || sum.LostKeys != 1 {
		t.Errorf("made %+v, %v", sum, err)
	}
	if sum, err := backup.Restore(context.Background(), to, t.TempDir()); err != nil || sum.LostKeys != 1 {
		t.Errorf("restored %+v, %v", sum, err)
	}
}

// TestBackupTakesTheKeysThatOpenIt rotates and retires keys while backups are taken.
func TestBackupTakesTheKeysThatOpenIt(t *testing.T) {
	dir, to := dataDir(t), filepath.Join(t.TempDir(), "backup")
	path := filepath.Join(dir, server.SecretsFile)
	ctx, stop := context.WithCancel(context.Background())
	var rotated atomic.Int64
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ; ctx.Err() == nil; rotated.Add(1) {
			if err := rotate(dir, path); err != nil {
				t.Error(err)
				break
			}
		}
	}()
	for made := 0; made < 10 || rotated.Load() == 0 && made < 1000 && !t.Failed(); made++ { // it may begin late
		sum, err := backup.Create(context.Background(), backup.Options{Dir: dir, To: to, Force: true})
		if err != nil || sum.LostKeys != 0 {
			t.Errorf("made %+v, %v", sum, err)
		}
		restored := t.TempDir()
		if sum, err = backup.Restore(context.Background(), to, restored); err != nil || sum.LostKeys != 0 {
			t.Errorf("restored %+v, %v", sum, err)
		}
		wantVariable(t, restored)
	}
	stop()
	<-ended
	if rotated.Load() == 0 {
		t.Error("nothing was rotated")
	}
	wantVariable(t, dir)
}

// rotate makes a new key the only one.
func rotate(dir, path string) (err error) {
	key, err := secrets.Rotate(path)
	if err != nil {
		return err
	}
	keys, err := secrets.OpenKeyring(path, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	s, err := store.Open(context.Background(), store.Config{Dir: dir, Sealer: keys})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if _, err := s.ResealSecrets(context.Background()); err != nil {
		return err
	}
	_, err = secrets.Retire(path, key)
	return err
}

func TestBackupRefusesWhatIsNoDataDirectory(t *testing.T) {
	broken := dataDir(t)
	if err := os.Chmod(filepath.Join(broken, server.SecretsFile), 0o644); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "backup")
	if _, err := backup.Create(context.Background(), backup.Options{Dir: broken, To: to}); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("keys of others: %v", err)
	}
	for _, keys := range []bool{true, false} {
		empty := t.TempDir()
		if _, err := backup.Create(context.Background(), backup.Options{Dir: empty, To: to, WithoutKeys: !keys}); !errors.Is(err, backup.ErrRefused) {
			t.Errorf("an empty one: %v", err)
		}
		if left := tree(t, empty); len(left) != 1 {
			t.Errorf("made %v", left)
		}
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := backup.Create(ended, backup.Options{Dir: dataDir(t), To: to}); !errors.Is(err, context.Canceled) {
		t.Errorf("ended: %v", err)
	}
	if left := tree(t, filepath.Dir(to)); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

// entries reads an archive.
func entries(t *testing.T, path string) (headers []*tar.Header, contents [][]byte) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	zip, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for in := tar.NewReader(zip); ; {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			return headers, contents
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		headers, contents = append(headers, header), append(contents, content)
	}
}

// pack writes an archive.
func pack(t *testing.T, headers []*tar.Header, contents [][]byte) []byte {
	t.Helper()
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	w := tar.NewWriter(zip)
	for i, header := range headers {
		header.Size = int64(len(contents[i]))
		if err := w.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(contents[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), zip.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestRestoreRefusesForeignEntries adds entries to a good archive, and changes it.
func TestRestoreRefusesForeignEntries(t *testing.T) {
	path := create(t, dataDir(t))
	headers, contents := entries(t, path)
	with := func(header tar.Header, content string) []byte {
		header.Mode = 0o600
		return pack(t, append(slices.Clone(headers), &header), append(slices.Clone(contents), []byte(content)))
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	changed := slices.Clone(good)
	changed[len(changed)/2] ^= 1
	without := func(name string) []byte {
		i := slices.IndexFunc(headers, func(h *tar.Header) bool { return h.Name == name })
		return pack(t, slices.Delete(slices.Clone(headers), i, i+1), slices.Delete(slices.Clone(contents), i, i+1))
	}
	replaced := func(name, content string) []byte {
		i := slices.IndexFunc(headers, func(h *tar.Header) bool { return h.Name == name })
		other := slices.Clone(contents)
		other[i] = []byte(content)
		return pack(t, headers, other)
	}
	for name, archive := range map[string][]byte{
		"parent":       with(tar.Header{Name: "../evil"}, "x"),
		"deep parent":  with(tar.Header{Name: "logs/../../evil"}, "x"),
		"absolute":     with(tar.Header{Name: "/tmp/evil"}, "x"),
		"not clean":    with(tar.Header{Name: "logs//x"}, "x"),
		"foreign":      with(tar.Header{Name: "lock"}, "x"),
		"link":         with(tar.Header{Name: "logs/x", Typeflag: tar.TypeSymlink, Linkname: "/etc"}, ""),
		"hard link":    with(tar.Header{Name: "logs/x", Typeflag: tar.TypeLink, Linkname: "leoflow.db"}, ""),
		"directory":    with(tar.Header{Name: "logs/x/", Typeflag: tar.TypeDir}, ""),
		"device":       with(tar.Header{Name: "logs/x", Typeflag: tar.TypeChar}, ""),
		"twice":        with(tar.Header{Name: server.KeyFile}, "x"),
		"file as dir":  with(tar.Header{Name: headers[len(headers)-1].Name + "/x"}, "x"),
		"no manifest":  without("backup.json"),
		"no database":  without(store.DatabaseFile),
		"no keys":      without(server.KeyFile),
		"no keyset":    without(server.SecretsFile),
		"bad keys":     replaced(server.KeyFile, "{}"),
		"bad keyset":   replaced(server.SecretsFile, "{}"),
		"bad database": replaced(store.DatabaseFile, "no database"),
		"newer format": replaced("backup.json", `{"format":2}`),
		"bad manifest": replaced("backup.json", `{`),
		"cut":          good[:len(good)*2/3],
		"changed":      changed,
		"text":         []byte("text"),
		"nothing":      nil,
	} {
		t.Run(name, func(t *testing.T) {
			from := filepath.Join(t.TempDir(), "backup")
			if err := os.WriteFile(from, archive, 0o600); err != nil {
				t.Fatal(err)
			}
			parent := t.TempDir()
			dir := filepath.Join(parent, "data")
			if _, err := backup.Restore(context.Background(), from, dir); !errors.Is(err, backup.ErrRefused) {
				t.Errorf("error = %v", err)
			}
			if left := tree(t, parent); len(left) != 1 {
				t.Errorf("left: %v", left)
			}
		})
	}
	if _, err := backup.Restore(context.Background(), filepath.Join(t.TempDir(), "none"), t.TempDir()); !errors.Is(err, backup.ErrRefused) {
		t.Errorf("no file: %v", err)
	}
}
