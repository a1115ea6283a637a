package server_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/secrets"
	"github.com/neochaotic/leoflow/internal/server"
	"github.com/neochaotic/leoflow/internal/store"
)

// told is a log whose lines can be waited for.
type told struct {
	mu    sync.Mutex
	text  bytes.Buffer
	lines chan string
}

func newTold() *told { return &told{lines: make(chan string, 10_000)} }

func (l *told) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines <- string(p)
	return l.text.Write(p)
}

func (l *told) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// await waits for a line that holds all pieces.
func (l *told) await(t *testing.T, pieces ...string) {
	t.Helper()
	timeout := time.After(deadline)
	for {
		select {
		case line := <-l.lines:
			held := true
			for _, piece := range pieces {
				held = held && strings.Contains(line, piece)
			}
			if held {
				return
			}
		case <-timeout:
			l.mu.Lock()
			defer l.mu.Unlock()
			t.Fatalf("no line with %q in:\n%s", pieces, l.text.String())
		}
	}
}

// notUnder counts, in the directory of a server that has ended, what is not sealed
// under the key.
func notUnder(t *testing.T, dir string, key secrets.KeyID) int {
	t.Helper()
	s, err := store.Open(t.Context(), store.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	n, err := s.CountSecretsNotUnder(context.Background(), key)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestSecret6RotatedUnderLoad rotates twice while secrets are put and delivered.
func TestSecret6RotatedUnderLoad(t *testing.T) {
	const names, writers, rounds = 40, 2, 3
	dir, log := t.TempDir(), newTold()
	path := filepath.Join(dir, server.SecretsFile)
	p := start(t, server.Config{DataDir: dir, Logger: log.logger()}, false)
	o := p.operator("acme", auth.RoleAdmin)
	o.createRun(bash("t", "true"))
	a := p.launch(o, "t", 1, false)
	put := func(name, value string) error {
		_, err := o.PutVariable(o.ctx, &controlv1.PutVariableRequest{Key: name, Value: value})
		return err
	}
	for i := range names {
		if err := put(fmt.Sprint(i), "first"); err != nil {
			t.Fatal(err)
		}
	}
	var key secrets.KeyID
	for round := range 2 {
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				for i := range rounds {
					if err := put(fmt.Sprint(w), fmt.Sprint(round, i)); err != nil {
						t.Error(err)
					}
					got, err := a.GetVariables(a.ctx, &agentv1.GetVariablesRequest{})
					if err != nil || len(got.GetVariables()) != names || got.GetVariables()[fmt.Sprint(w)] != fmt.Sprint(round, i) {
						t.Errorf("delivered %d, %v", len(got.GetVariables()), err)
					}
				}
			})
		}
		var err error
		if key, err = secrets.Rotate(path); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		log.await(t, "secrets sealed anew", fmt.Sprintf("primary=%d", key))
	}
	p.stop()
	if n := notUnder(t, dir, key); n != 0 {
		t.Errorf("%d secrets are under an older key", n)
	}
	if n, err := secrets.Retire(path, key); err != nil || n != 2 {
		t.Errorf("retired %d, %v", n, err)
	}
	p = start(t, server.Config{DataDir: dir, Logger: newTold().logger()}, false)
	a2 := &agent{AgentServiceClient: agentv1.NewAgentServiceClient(p.conn), ctx: a.ctx}
	got := must[*agentv1.GetVariablesResponse](t)(a2.GetVariables(a2.ctx, &agentv1.GetVariablesRequest{})).GetVariables()
	for i := range names {
		want := "first"
		if i < writers {
			want = fmt.Sprint(1, rounds-1)
		}
		if got[fmt.Sprint(i)] != want {
			t.Errorf("variable %d is %q, want %q", i, got[fmt.Sprint(i)], want)
		}
	}
}

// TestSecret6NextStartSealsAnew: the keyset was rotated while no server ran.
func TestSecret6NextStartSealsAnew(t *testing.T) {
	dir := t.TempDir()
	p := start(t, server.Config{DataDir: dir}, false)
	o := p.operator("acme", auth.RoleAdmin)
	must[*controlv1.PutConnectionResponse](t)(o.PutConnection(o.ctx, &controlv1.PutConnectionRequest{ConnectionId: "c", Uri: "x://"}))
	p.stop()
	key, err := secrets.Rotate(filepath.Join(dir, server.SecretsFile))
	if err != nil {
		t.Fatal(err)
	}
	if n := notUnder(t, dir, key); n != 1 {
		t.Fatalf("%d secrets are under another key, want 1", n)
	}
	log := newTold()
	p = start(t, server.Config{DataDir: dir, Logger: log.logger()}, false)
	log.await(t, "secrets sealed anew", "secrets=1")
	p.stop()
	if n := notUnder(t, dir, key); n != 0 {
		t.Errorf("%d secrets are under another key", n)
	}
}

func TestSecretServerKeepsTheKeysetWhereTheFileIsBad(t *testing.T) {
	dir, log := t.TempDir(), newTold()
	path := filepath.Join(dir, server.SecretsFile)
	p := start(t, server.Config{DataDir: dir, Logger: log.logger()}, false)
	o := p.operator("acme", auth.RoleAdmin)
	o.createRun(bash("t", "true"))
	a := p.launch(o, "t", 1, false)
	must[*controlv1.PutVariableResponse](t)(o.PutVariable(o.ctx, &controlv1.PutVariableRequest{Key: "k", Value: "v"}))
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	log.await(t, "keyset not reloaded", path, "is broken", "put the last good file back")
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	log.await(t, "keyset not reloaded", path, "may be used by others", "chmod 600")
	must[*controlv1.PutVariableResponse](t)(o.PutVariable(o.ctx, &controlv1.PutVariableRequest{Key: "l", Value: "w"}))
	got := must[*agentv1.GetVariablesResponse](t)(a.GetVariables(a.ctx, &agentv1.GetVariablesRequest{})).GetVariables()
	if got["k"] != "v" || got["l"] != "w" {
		t.Errorf("delivered %v", got)
	}
	p.stop()
	if _, err := server.New(t.Context(), server.Config{DataDir: dir, Addr: "127.0.0.1:0"}); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("started: %v", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, good, 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, server.Config{DataDir: dir}, false)
}
