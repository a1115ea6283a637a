package faults

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/neochaotic/leoflow/internal/pgtest"
	"github.com/neochaotic/leoflow/internal/server"
)

// TestBeat5WhoBeatsOnAServerThatIsCutOffIsNotLost cuts one of two servers off from their
// database, for some windows of silence: the other finds those lost that are silent, and
// nobody who beats on the one that is cut off.
func TestBeat5WhoBeatsOnAServerThatIsCutOffIsNotLost(t *testing.T) {
	t.Parallel()
	o := pgtest.NewOwn(t)
	n := networkTo(t, o.Addr())
	cfg := server.Config{Database: o.DSN(), DataDir: t.TempDir(), Shared: true, SilenceWindow: longWindow}
	well := start(t, cfg)
	cfg.Database = o.Through(n.address(), "leoflow")
	apart := start(t, cfg)
	well.create(well.waiting("beats"), well.waiting("silent"), well.waiting("later"))
	beats, silent := apart.deployed("beats", time.Second), apart.deployed("silent", time.Second)
	heal := n.cut(10)
	apart.log.more(t, 1, "heartbeat not recorded")()
	silent.rest()
	well.wantEnd("silent", failed, lost, 0)
	later := well.deployed("later", time.Second)
	later.wantUndisturbed(1)
	later.rest()
	well.wantEnd("later", failed, lost, 0)
	well.wantState("beats", running)
	beats.wantUndisturbed(4)
	heal()
	eventually(t, "taken back: what was told of heartbeats", func() bool {
		return len(must[[]os.DirEntry](t)(os.ReadDir(filepath.Join(cfg.DataDir, server.HearsayDir)))) == 0
	})
	if err := await(t, "answered: the report of who beat on", beats.ends()); err != nil {
		t.Error(err)
	}
	well.wantEnd("beats", success, none, 0)
}
