package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/neochaotic/leoflow/internal/backup"
	"github.com/neochaotic/leoflow/internal/server"
	"github.com/neochaotic/leoflow/internal/terminal"
)

type backupCmd struct {
	dataDirFlag
	To          string `required:"" env:"LEOFLOW_BACKUP_TO" placeholder:"FILE" help:"File to write, a compressed tar archive."`
	Force       bool   `env:"LEOFLOW_BACKUP_FORCE" help:"Overwrite the file."`
	WithoutKeys bool   `env:"LEOFLOW_BACKUP_WITHOUT_KEYS" help:"Leave out the keys: the secrets in it then open, and tokens of before are good, only where they are kept elsewhere."`
	outputFlags
}

// Help teaches by example.
func (backupCmd) Help() string {
	return `Copy the database, the logs and the keys into one file, while a server runs or not:

  leoflow backup --data-dir leoflow-data --to backup.tar.gz

Everything that the server had acknowledged before the command began is in it. Whoever reads the file can mint tokens and open the secrets: it is its owner's alone, so keep it so. Or leave the keys out, and keep ` + server.KeyFile + ` and ` + server.SecretsFile + ` of the data directory elsewhere, as they are after each rotation:

  leoflow backup --without-keys --to backup.tar.gz

What is copied is checked first. Make a data directory of it with leoflow restore.`
}

// backupDone is what is in a backup.
type backupDone struct {
	File     string    `json:"file,omitempty"`
	DataDir  string    `json:"data_dir"`
	At       time.Time `json:"created_at"`
	Database int64     `json:"database_version"`
	LogFiles int       `json:"log_files"`
	Keys     bool      `json:"keys"`
	LostKeys int       `json:"lost_keys"`
	Bytes    int64     `json:"bytes,omitempty"`
}

func newBackupDone(file, dir string, s backup.Summary) backupDone {
	return backupDone{file, dir, s.At, s.Database, s.LogFiles, s.Keys, s.LostKeys, s.Bytes}
}

// Run writes a backup.
func (c *backupCmd) Run(con *console) error {
	return untilSignal(func(ctx context.Context) error {
		sum, err := backup.Create(ctx, backup.Options{Dir: c.DataDir, To: c.To, Force: c.Force, WithoutKeys: c.WithoutKeys})
		if err != nil {
			return refusedIsInput(err)
		}
		warnOfLostKeys(con, sum)
		if c.Output == "json" {
			return c.print(con, newBackupDone(c.To, c.DataDir, sum), nil)
		}
		keys := "the keys are in it: whoever reads it can mint tokens and open the secrets"
		if !sum.Keys {
			keys = fmt.Sprintf("the keys are not in it: keep %s and %s of %s, or its secrets stay closed and tokens of before are void",
				server.KeyFile, server.SecretsFile, terminal.Visible(c.DataDir))
		}
		return writeOut(con.out, fmt.Sprintf("%s holds the database, at version %d, and %d files of logs; %s\n", terminal.Visible(c.To), sum.Database, sum.LogFiles, keys))
	})
}

type restoreCmd struct {
	File string `arg:"" help:"Backup, as leoflow backup writes it."`
	dataDirFlag
	outputFlags
}

// Help teaches by example.
func (restoreCmd) Help() string {
	return `Make a data directory of a backup, where there is none or an empty one, and serve it:

  leoflow restore backup.tar.gz --data-dir restored
  leoflow serve --data-dir restored

The backup is checked first; what is wrong with it leaves nothing behind. Tasks that were under way then count as live until their agents have been silent for long enough. Never serve a copy beside the server that it was taken of: both would answer for the same attempts.`
}

// Run restores a backup.
func (c *restoreCmd) Run(con *console) error {
	return untilSignal(func(ctx context.Context) error {
		sum, err := backup.Restore(ctx, c.File, c.DataDir)
		if err != nil {
			return refusedIsInput(err)
		}
		warnOfLostKeys(con, sum)
		if c.Output == "json" {
			return c.print(con, newBackupDone(c.File, c.DataDir, sum), nil)
		}
		text := fmt.Sprintf("%s holds what was there at %s: the database, at version %d, and %d files of logs\n",
			terminal.Visible(c.DataDir), sum.At.UTC().Format(time.RFC3339), sum.Database, sum.LogFiles)
		if !sum.Keys {
			text += fmt.Sprintf("it holds no keys: put %s and %s of before into it, with mode 0600, before it is served; a server would make new ones\n",
				server.KeyFile, server.SecretsFile)
		}
		return writeOut(con.out, text)
	})
}

// refusedIsInput makes input errors of those that name what was given.
func refusedIsInput(err error) error {
	if errors.Is(err, backup.ErrRefused) {
		return badInput{err}
	}
	return err
}

func warnOfLostKeys(con *console, sum backup.Summary) {
	if sum.LostKeys > 0 {
		fmt.Fprintf(con.err, "leoflow: secrets in it are sealed under %d keys that %s lacks: nobody can open them\n", sum.LostKeys, server.SecretsFile)
	}
}
