package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/secrets"
	"github.com/neochaotic/leoflow/internal/server"
	"github.com/neochaotic/leoflow/internal/store"
	"github.com/neochaotic/leoflow/internal/terminal"
)

type secretsCmd struct {
	Rotate secretsRotateCmd `cmd:"" help:"Seal secrets under a new key from now on, and those there are anew."`
	Retire secretsRetireCmd `cmd:"" help:"Remove keys that nothing is sealed under any more."`
	Scope  secretsScopeCmd  `cmd:"" help:"Tell or set which secrets the tenant's tasks get."`
}

// dataDirFlag names the data directory of a server, on this machine.
type dataDirFlag struct {
	DataDir string `default:"${dataDir}" env:"LEOFLOW_DATA_DIR" placeholder:"DIR" help:"Data directory of the server, by default ${default}."`
}

// databaseFlag names the database of a server that does not use the embedded one.
type databaseFlag struct {
	Database string `env:"LEOFLOW_DATABASE" placeholder:"URL" help:"PostgreSQL database of the server, as postgres://user@host:5432/name, in place of the embedded one. Other users of this machine see the command line: leave the password to PGPASSWORD, to a .pgpass file or to the configuration file."`
}

// check refuses what names no database.
func (f databaseFlag) check() error {
	if f.Database == "" {
		return nil
	}
	if err := store.CheckDSN(f.Database); err != nil {
		return badInput{fmt.Errorf("--database: %w", err)}
	}
	return nil
}

// keysetFile returns the path of the keyset, which must be there: to open it makes one.
func (f dataDirFlag) keysetFile() (string, error) {
	path := filepath.Join(f.DataDir, server.SecretsFile)
	_, err := secrets.Load(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", badInput{fmt.Errorf("--data-dir %s holds no keyset: give the data directory of a server that was started once", f.DataDir)}
	}
	return path, err
}

// sealedData is a data directory that this process has to itself.
type sealedData struct {
	*store.Store
	keyring *secrets.Keyring
}

// sealedFlags name the keyset of a server, in its data directory, and its database.
type sealedFlags struct {
	dataDirFlag
	databaseFlag
}

// open opens the data as a server does, or is store.ErrLocked.
func (f sealedFlags) open(ctx context.Context, con *console) (*sealedData, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	logger := newLogger(con.err, slog.LevelWarn, "text")
	keyring, err := secrets.OpenKeyring(filepath.Join(f.DataDir, server.SecretsFile), logger)
	if err != nil {
		return nil, err
	}
	s, err := store.Open(ctx, store.Config{Dir: f.DataDir, DSN: f.Database, Sealer: keyring, Logger: logger})
	if err != nil {
		return nil, err
	}
	return &sealedData{s, keyring}, nil
}

// untilSignal calls do, whose context a signal ends; the exit code then tells it.
func untilSignal(do func(ctx context.Context) error) error {
	signals := catchSignals()
	defer signals.release()
	err := do(signals.ctx)
	if number := signals.caught(); number != 0 {
		return exitCode(128 + number)
	}
	return err
}

type secretsRotateCmd struct {
	sealedFlags
	Finish bool `env:"LEOFLOW_SECRETS_ROTATE_FINISH" help:"Add no key: only seal anew what a rotation that was cut off has left under older ones."`
	outputFlags
}

// Help teaches by example.
func (secretsRotateCmd) Help() string {
	return `Add a new key to the keyset, which seals secrets from now on; a server may be running:

  leoflow secrets rotate --data-dir leoflow-data

What older keys have sealed is sealed anew: by the server that has the directory, within seconds and without a restart, as its log tells; where none has it, by this command, which opens the database as leoflow serve does. What a command that was cut off has left, the next server does, or:

  leoflow secrets rotate --finish

The older keys stay in the keyset until leoflow secrets retire.`
}

// rotation is what rotate has done.
type rotation struct {
	Primary  secrets.KeyID `json:"primary_key_id"`
	Added    bool          `json:"key_added"`
	Resealed int           `json:"sealed_anew"`
	ByServer bool          `json:"left_to_the_server"`
}

func (r rotation) String() string {
	text := fmt.Sprintf("key %d seals secrets", r.Primary)
	if r.Added {
		text = fmt.Sprintf("key %d is new, and seals secrets from now on", r.Primary)
	}
	if r.ByServer {
		return text + "; the server that has the directory seals anew what older keys have sealed, and its log tells when it has\n"
	}
	return fmt.Sprintf("%s; sealed anew: %d\n", text, r.Resealed)
}

// Run rotates the keyset.
func (c *secretsRotateCmd) Run(con *console) error {
	path, err := c.keysetFile()
	if err != nil {
		return err
	}
	return untilSignal(func(ctx context.Context) error {
		done, failed, err := c.rotate(ctx, con, path)
		if err != nil {
			return err
		}
		if c.Output == "json" {
			err = c.print(con, done, nil)
		} else {
			err = writeOut(con.out, done.String())
		}
		if err == nil && failed > 0 {
			return fmt.Errorf("%d secrets are opened by no key of %s: put the file back that was used when they were stored, or store them again", failed, path)
		}
		return err
	})
}

// rotate adds the key only once it is known who will seal anew.
func (c *secretsRotateCmd) rotate(ctx context.Context, con *console, path string) (done rotation, failed int, err error) {
	data, err := c.open(ctx, con)
	if errors.Is(err, store.ErrLocked) {
		done.ByServer, err = true, nil
	}
	if err != nil {
		return done, 0, err
	}
	if data != nil {
		defer func() { err = errors.Join(err, data.Close()) }()
	}
	if done.Added = !c.Finish; done.Added {
		if _, err := secrets.Rotate(path); err != nil {
			return done, 0, err
		}
	}
	if data == nil {
		keyset, err := secrets.Load(path)
		if err != nil {
			return done, 0, err
		}
		done.Primary = keyset.Primary()
		return done, 0, nil
	}
	if err := data.keyring.Reopen(); err != nil {
		return done, 0, err
	}
	done.Primary = data.keyring.Primary()
	resealed, err := data.ResealSecrets(ctx)
	done.Resealed = resealed.Done
	if err != nil {
		return done, 0, fmt.Errorf("seal anew: %w; go on with leoflow secrets rotate --finish", err)
	}
	return done, resealed.Failed, nil
}

type secretsRetireCmd struct {
	sealedFlags
	outputFlags
}

// Help teaches by example.
func (secretsRetireCmd) Help() string {
	return `Remove every key but the newest from the keyset, once nothing is sealed under them any more:

  leoflow secrets retire --data-dir leoflow-data

No server may have the directory meanwhile: it could still seal under a key that is about to go. Stop it, retire, and start it again; agents wait for it. Nothing is removed while a secret is sealed under an older key.

A backup without keys, taken before the rotation, opens only with the keyset of then: keep that where you need it.`
}

// retirement is what retire has done.
type retirement struct {
	Primary secrets.KeyID `json:"primary_key_id"`
	Removed int           `json:"keys_removed"`
}

// Run retires keys.
func (c *secretsRetireCmd) Run(con *console) error {
	path, err := c.keysetFile()
	if err != nil {
		return err
	}
	return untilSignal(func(ctx context.Context) error {
		done, err := c.retire(ctx, con, path)
		if err != nil {
			return err
		}
		if c.Output == "json" {
			return c.print(con, done, nil)
		}
		return writeOut(con.out, fmt.Sprintf("keys removed: %d; key %d is left\n", done.Removed, done.Primary))
	})
}

func (c *secretsRetireCmd) retire(ctx context.Context, con *console, path string) (done retirement, err error) {
	data, err := c.open(ctx, con)
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, data.Close()) }()
	if err := data.keyring.Reopen(); err != nil {
		return done, err
	}
	done.Primary = data.keyring.Primary()
	left, err := data.CountSecretsNotUnder(ctx, done.Primary)
	if err != nil {
		return done, err
	}
	if left > 0 {
		return done, fmt.Errorf("secrets that are still sealed under an older key: %d; run leoflow secrets rotate --finish --data-dir %s first, or start the server",
			left, quoteArg(c.DataDir))
	}
	done.Removed, err = secrets.Retire(path, done.Primary)
	return done, err
}

type secretsScopeCmd struct {
	Scope string `arg:"" optional:"" help:"tenant: each task gets every secret of its tenant; declared: those that it declares. Where it is left out, the scope is told and not set."`
	outputFlags
	remoteFlags
}

// Help teaches by example.
func (secretsScopeCmd) Help() string {
	return `Tell which secrets the tasks of the token's tenant get:

  leoflow secrets scope

Have each get only those that it declares, from its next call on, as whoever has a token of the role admin:

  leoflow secrets scope declared

` + remoteHelp
}

// scopes are the words for the scopes.
var scopes = map[string]controlv1.SecretScope{
	string(secrets.ScopeTenant):   controlv1.SecretScope_SECRET_SCOPE_TENANT,
	string(secrets.ScopeDeclared): controlv1.SecretScope_SECRET_SCOPE_DECLARED,
}

// Run sets the scope, where one is given, and tells it.
func (c *secretsScopeCmd) Run(con *console) error {
	scope, ok := scopes[c.Scope]
	if !ok && c.Scope != "" {
		return badInput{fmt.Errorf("the scope is %q: give tenant or declared, or none to be told", c.Scope)}
	}
	return c.call("the tenant", func(ctx context.Context, r *remote) error {
		if c.Scope != "" {
			if _, err := r.SetSecretScope(ctx, &controlv1.SetSecretScopeRequest{Scope: scope}); err != nil {
				return err
			}
		}
		told, err := r.GetSecretScope(ctx, &controlv1.GetSecretScopeRequest{})
		if err != nil {
			return err
		}
		return c.print(con, told, func() terminal.Table {
			return terminal.Table{{"SCOPE"}, {word(told.GetScope(), "SECRET_SCOPE_")}}
		})
	})
}
