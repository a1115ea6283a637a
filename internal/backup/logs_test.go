package backup_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/neochaotic/leoflow/internal/backup"
	"github.com/neochaotic/leoflow/internal/server"
)

// TestBackupFollowsALinkToTheLogs: logs are often kept on another disk.
func TestBackupFollowsALinkToTheLogs(t *testing.T) {
	dir := dataDir(t)
	here, elsewhere := filepath.Join(dir, server.LogsDir), filepath.Join(t.TempDir(), "elsewhere")
	if err := errors.Join(os.Rename(here, elsewhere), os.Symlink(elsewhere, here)); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "backup.tar.gz")
	made, err := backup.Create(context.Background(), backup.Options{Dir: dir, To: to})
	if err != nil || made.LogFiles != 1 {
		t.Fatalf("made %+v, %v", made, err)
	}
	restored := filepath.Join(t.TempDir(), "restored")
	if got, err := backup.Restore(context.Background(), to, restored); err != nil || got.LogFiles != 1 {
		t.Errorf("restored %+v, %v", got, err)
	}
}

// TestBackupLeavesOutWhatIsNoLog: neither itself, where it is written among the logs,
// nor an older backup, of any size, nor what a file system keeps at its root.
func TestBackupLeavesOutWhatIsNoLog(t *testing.T) {
	dir := dataDir(t)
	logs := filepath.Join(dir, server.LogsDir)
	if err := errors.Join(os.Mkdir(filepath.Join(logs, "lost+found"), 0), os.WriteFile(filepath.Join(logs, "note"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"first.tar.gz", "second.tar.gz"} {
		made, err := backup.Create(context.Background(), backup.Options{Dir: dir, To: filepath.Join(logs, name)})
		if err != nil || made.LogFiles != 1 {
			t.Errorf("%s: made %+v, %v", name, made, err)
		}
	}
}

// TestBackupRefusesLinksAmongTheLogs: what they point to would be missing.
func TestBackupRefusesLinksAmongTheLogs(t *testing.T) {
	gone := dataDir(t)
	inside := dataDir(t)
	for link, at := range map[string]string{
		filepath.Join(gone, server.LogsDir):                 gone,
		filepath.Join(inside, server.LogsDir, ref.TenantID): inside,
	} {
		if err := errors.Join(os.RemoveAll(link), os.Symlink(filepath.Join(t.TempDir(), "gone"), link)); err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(t.TempDir(), "backup.tar.gz")
		if made, err := backup.Create(context.Background(), backup.Options{Dir: at, To: to}); err == nil {
			t.Errorf("%s: made %+v", link, made)
		}
		if _, err := os.Lstat(to); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: left behind: %v", link, err)
		}
	}
}
