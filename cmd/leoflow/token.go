package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/server"
)

type tokenCmd struct {
	DataDir string        `default:"${dataDir}" env:"LEOFLOW_DATA_DIR" placeholder:"DIR" help:"Data directory of the server, by default ${default}; its key signs the token."`
	Tenant  string        `default:"default" env:"LEOFLOW_TOKEN_TENANT" placeholder:"NAME" help:"Tenant whose runs the token opens, by default ${default}."`
	Role    string        `default:"operator" enum:"viewer,operator,admin" env:"LEOFLOW_TOKEN_ROLE" placeholder:"ROLE" help:"What it may do: viewer reads runs and logs, operator, the default, also drives runs, admin also stores secrets."`
	Subject string        `default:"operator" env:"LEOFLOW_TOKEN_SUBJECT" placeholder:"NAME" help:"Who it is for, by default ${default}."`
	Life    time.Duration `default:"24h" env:"LEOFLOW_TOKEN_LIFE" placeholder:"DURATION" help:"How long it is good for, by default ${default}."`
}

// Help teaches by example.
func (tokenCmd) Help() string {
	return `Print a token that drives runs of the tenant "default" for a day:

  leoflow token

Print one that stores secrets of another tenant for ten minutes:

  leoflow token --tenant acme --role admin --life 10m

It goes into the metadata of each call, as "authorization: Bearer TOKEN". Nobody keeps a list: a token is good until it ends.`
}

// Run prints a token.
func (c *tokenCmd) Run(con *console) error {
	if c.Life < time.Second {
		return badInput{fmt.Errorf("--life is %v: give at least 1s", c.Life)}
	}
	for flag, value := range map[string]string{"--tenant": c.Tenant, "--subject": c.Subject} {
		if strings.TrimSpace(value) == "" {
			return badInput{fmt.Errorf("%s is empty: give a name, or leave it out", flag)}
		}
	}
	keys, err := auth.LoadKeys(filepath.Join(c.DataDir, server.KeyFile))
	if errors.Is(err, fs.ErrNotExist) {
		return badInput{fmt.Errorf("--data-dir %s holds no key: give the data directory of a server that was started once", c.DataDir)}
	}
	if err != nil {
		return badInput{fmt.Errorf("--data-dir %s: %w", c.DataDir, err)}
	}
	token, _, err := auth.NewTokens(keys, nil).MintOperator(
		auth.OperatorIdentity{Subject: c.Subject, TenantID: c.Tenant, Role: auth.Role(c.Role)}, c.Life)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(con.out, token)
	return err
}
