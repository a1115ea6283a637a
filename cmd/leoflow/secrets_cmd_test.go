package main

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"google.golang.org/grpc/credentials/insecure"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/secrets"
)

// serveSecrets starts a server that takes secrets over plaintext.
func serveSecrets(t *testing.T) (*served, *command) {
	t.Helper()
	s := &served{t: t, data: filepath.Join(t.TempDir(), "data"), creds: insecure.NewCredentials()}
	serve, addr, _ := startServe(t, s.data, "--allow-plaintext-secrets")
	s.addr = addr
	return s.connect(), serve
}

func (s *served) put(key, value string) {
	s.t.Helper()
	if _, err := s.client.PutVariable(s.ctx, &controlv1.PutVariableRequest{Key: key, Value: value}); err != nil {
		s.t.Fatal(err)
	}
}

// sealedUnder returns how many variables each key has sealed.
func sealedUnder(t *testing.T, data string) map[secrets.KeyID]int {
	t.Helper()
	out := map[secrets.KeyID]int{}
	inDatabase(t, data, func(db *sql.DB) error {
		rows, err := db.Query("SELECT sealed FROM variables")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var sealed []byte
			if err := rows.Scan(&sealed); err != nil {
				return err
			}
			id, _ := secrets.SealedUnder(sealed)
			out[id]++
		}
		return rows.Err()
	})
	return out
}

// TestSecret6RotateByCommand rotates while a server runs and while none does, retires,
// and reads what was stored at first.
func TestSecret6RotateByCommand(t *testing.T) {
	s, serve := serveSecrets(t)
	path := filepath.Join(s.data, "secrets.json")
	const more = 80
	s.put("before", "1")
	for i := range more {
		s.put(fmt.Sprint(i), "v")
	}
	s.createRun("r", task("t"))
	a := s.launch("r", "t", 1)
	first, err := secrets.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	rotated := leoflow(t, "secrets", "rotate", "--data-dir", s.data, "-o", "json").parsed(t)
	if rotated["left_to_the_server"] != true || rotated["key_added"] != true {
		t.Errorf("told %v", rotated)
	}
	if finish := leoflow(t, "secrets", "rotate", "--finish", "--data-dir", s.data, "-o", "json").parsed(t); finish["key_added"] != false || finish["primary_key_id"] != rotated["primary_key_id"] {
		t.Errorf("told %v", finish)
	}
	busy := leoflow(t, "secrets", "retire", "--data-dir", s.data)
	busy.wantCode(t, exitFailed)
	busy.wantOneLine(t, s.data, "in use by another process", "stop that process")
	serve.signal(syscall.SIGKILL) // wherever it is
	serve.end()

	s.rotateAlone(path, 3, more+1)
	if got := sealedUnder(t, s.data); len(got) != 1 || got[first.Primary()] != 0 {
		t.Errorf("sealed under %v", got)
	}
	retired := leoflow(t, "secrets", "retire", "--data-dir", s.data)
	retired.wantCode(t, exitOK)
	retired.wantIn(t, "keys removed: 2")
	if left, err := secrets.Load(path); err != nil || left.Len() != 1 || left.Has(first.Primary()) {
		t.Errorf("left %+v, %v", left, err)
	}
	next := s.again(s.data, "--allow-plaintext-secrets")
	got, err := agentv1.NewAgentServiceClient(next.dial()).GetVariables(a.ctx, &agentv1.GetVariablesRequest{})
	if err != nil || got.GetVariables()["before"] != "1" || len(got.GetVariables()) != more+1 {
		t.Errorf("delivered %v, %v", got, err)
	}
}

// rotateAlone rotates where no server runs.
func (s *served) rotateAlone(path string, keys, count int) {
	s.t.Helper()
	got := leoflow(s.t, "secrets", "rotate", "--data-dir", s.data)
	got.wantCode(s.t, exitOK)
	got.wantIn(s.t, fmt.Sprintf("is new, and seals secrets from now on; sealed anew: %d\n", count))
	if k, err := secrets.Load(path); err != nil || k.Len() != keys {
		s.t.Errorf("keyset %+v, %v", k, err)
	}
}

// TestSecretRetireRefusesWhileAnOlderKeySeals: the rotation was cut off before anything
// was sealed anew.
func TestSecretRetireRefusesWhileAnOlderKeySeals(t *testing.T) {
	s, serve := serveSecrets(t)
	path := filepath.Join(s.data, "secrets.json")
	s.put("a", "1")
	s.put("b", "2")
	serve.signal(syscall.SIGTERM)
	serve.end().wantCode(t, exitOK)
	key, err := secrets.Rotate(path)
	if err != nil {
		t.Fatal(err)
	}
	refused := leoflow(t, "secrets", "retire", "--data-dir", s.data)
	refused.wantCode(t, exitFailed)
	refused.wantOneLine(t, "under an older key: 2;", "leoflow secrets rotate --finish --data-dir "+s.data)
	if k, err := secrets.Load(path); err != nil || k.Len() != 2 {
		t.Errorf("keyset %+v, %v", k, err)
	}
	leoflow(t, "secrets", "rotate", "--finish", "--data-dir", s.data).wantIn(t, "sealed anew: 2")
	if got := sealedUnder(t, s.data); got[key] != 2 || len(got) != 1 {
		t.Errorf("sealed under %v", got)
	}
	leoflow(t, "secrets", "retire", "--data-dir", s.data).wantIn(t, "keys removed: 1")
}

func TestSecretKeysetFileThatIsBadIsToldWithTheRemedy(t *testing.T) {
	s, serve := serveSecrets(t)
	path := filepath.Join(s.data, "secrets.json")
	serve.signal(syscall.SIGTERM)
	serve.end().wantCode(t, exitOK)
	none := leoflow(t, "secrets", "rotate", "--data-dir", t.TempDir())
	none.wantCode(t, exitBadInput)
	none.wantOneLine(t, "--data-dir", "holds no keyset", "give the data directory")
	writeFile(t, path, "{")
	for _, args := range []string{"secrets rotate", "secrets retire", "serve --addr 127.0.0.1:0"} {
		got := leoflow(t, append(strings.Fields(args), "--data-dir", s.data)...)
		got.wantCode(t, exitFailed)
		got.wantOneLine(t, path, "is broken", "put the last good file back")
	}
}

func TestSecret3ScopeByCommand(t *testing.T) {
	s := servePlain(t)
	s.leoflow("secrets", "scope").wantRows(t, "SCOPE", "tenant")
	s.leoflow("secrets", "scope", "declared").wantRows(t, "SCOPE", "declared")
	if doc := s.leoflow("secrets", "scope", "-o", "json").parsed(t); doc["scope"] != "SECRET_SCOPE_DECLARED" {
		t.Errorf("told %v", doc)
	}
	s.leoflow("secrets", "scope", "tenant").wantRows(t, "tenant")
	bad := s.leoflow("secrets", "scope", "all")
	bad.wantCode(t, exitBadInput)
	bad.wantOneLine(t, `"all"`, "tenant or declared")
	s.env[1] = "LEOFLOW_TOKEN=" + s.token("operator")
	refused := s.leoflow("secrets", "scope", "declared")
	refused.wantCode(t, exitFailed)
	refused.wantOneLine(t, "permission denied", "leoflow token --role")
	s.leoflow("secrets", "scope").wantRows(t, "tenant")
}
