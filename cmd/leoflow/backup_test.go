package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"google.golang.org/grpc/credentials/insecure"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
)

// load uses a server from several sides at once, and counts what was acknowledged.
type load struct {
	stop    context.CancelFunc
	wg      sync.WaitGroup
	runs    atomic.Int64 // created: load-1 …
	secrets atomic.Int64 // stored: load-1 …
	lines   atomic.Int64 // durable: line 1 …
	enough  chan struct{}
	once    sync.Once
}

// begin begins the load. Its log is that of the agent.
func begin(s *served, a *attempting) *load {
	ctx, stop := context.WithCancel(s.ctx)
	l := &load{stop: stop, enough: make(chan struct{})}
	s.t.Cleanup(stop)
	l.wg.Go(func() {
		l.until(ctx, s.t, &l.runs, func(name string) error {
			_, err := s.client.CreateRun(ctx, &controlv1.CreateRunRequest{DagId: "etl", RunId: name, Tasks: []*controlv1.TaskDefinition{task("t")}})
			return err
		})
	})
	l.wg.Go(func() {
		l.until(ctx, s.t, &l.secrets, func(name string) error {
			_, err := s.client.PutVariable(ctx, &controlv1.PutVariableRequest{Key: name, Value: "value of " + name})
			return err
		})
	})
	stream, err := a.client.StreamLogs(a.ctx)
	if err != nil {
		s.t.Fatal(err)
	}
	l.wg.Go(func() {
		for i := int64(1); ctx.Err() == nil; i++ {
			if stream.Send(&agentv1.LogLine{Stream: "stdout", LineNumber: i, Message: fmt.Sprintf("line %d.", i)}) != nil {
				break
			}
			// At the pace of the other two, so that the log can be read through.
			for ctx.Err() == nil && i > 20*(l.runs.Load()+1) {
				if _, err := s.client.GetRun(ctx, &controlv1.GetRunRequest{DagId: "etl", RunId: "r"}); err != nil {
					break
				}
			}
		}
		_ = stream.CloseSend()
	})
	l.wg.Go(func() {
		for {
			ack, err := stream.Recv()
			if err != nil {
				return
			}
			l.lines.Store(ack.GetAcknowledgedThroughLine())
			l.look()
		}
	})
	return l
}

func (l *load) until(ctx context.Context, t *testing.T, count *atomic.Int64, do func(name string) error) {
	for i := int64(1); ctx.Err() == nil; i++ {
		if err := do(fmt.Sprintf("load-%d", i)); err != nil {
			if ctx.Err() == nil {
				t.Errorf("load-%d: %v", i, err)
			}
			return
		}
		count.Store(i)
		l.look()
	}
}

func (l *load) look() {
	if min(l.runs.Load(), l.secrets.Load(), l.lines.Load()) >= 10 {
		l.once.Do(func() { close(l.enough) })
	}
}

// again is a server on restored data, called with the tokens of before.
func (s *served) again(data string, more ...string) *served {
	s.t.Helper()
	next := &served{t: s.t, data: data, creds: insecure.NewCredentials(), ctx: s.ctx}
	_, next.addr, _ = startServe(s.t, data, more...)
	next.client = controlv1.NewControlServiceClient(next.dial())
	next.env = []string{"LEOFLOW_SERVER=" + next.addr, s.env[1]}
	return next
}

// TestBackupUnderLoadIsRestored kills the server after the backup, and serves a copy.
func TestBackupUnderLoadIsRestored(t *testing.T) {
	dir := t.TempDir()
	s := &served{t: t, data: filepath.Join(dir, "data"), creds: insecure.NewCredentials()}
	serve, addr, _ := startServe(t, s.data, "--allow-plaintext-secrets")
	s.addr = addr
	s.connect()
	s.createRun("r", task("a"), task("b", "a"))
	a := s.launch("r", "a", 1)
	if pushed, err := a.client.PushXCom(a.ctx, &agentv1.PushXComRequest{Value: []byte("42"), ContentType: "application/json"}); err != nil || !pushed.GetAccepted() {
		t.Fatalf("push: %v, %v", pushed, err)
	}
	a.succeed()
	b := s.launch("r", "b", 1)
	if _, err := s.client.PutConnection(s.ctx, &controlv1.PutConnectionRequest{ConnectionId: "c", Uri: "pg://u:p@h"}); err != nil {
		t.Fatal(err)
	}
	l := begin(s, b)
	<-l.enough
	runs, secrets, lines := l.runs.Load(), l.secrets.Load(), l.lines.Load()
	file := filepath.Join(dir, "backup.tar.gz")
	got := leoflow(t, "backup", "--data-dir", s.data, "--to", file)
	l.stop()
	l.wg.Wait()
	got.wantCode(t, exitOK)
	got.wantIn(t, file, "the keys are in it")
	serve.signal(syscall.SIGKILL)
	serve.end()

	restored := filepath.Join(dir, "restored")
	leoflow(t, "restore", file, "--data-dir", restored).wantIn(t, restored+" holds what was there at ")
	next := s.again(restored, "--allow-plaintext-secrets")
	for i := range runs {
		if _, err := next.client.GetRun(next.ctx, &controlv1.GetRunRequest{DagId: "etl", RunId: fmt.Sprintf("load-%d", i+1)}); err != nil {
			t.Fatalf("run %d of %d: %v", i+1, runs, err)
		}
	}
	agent := agentv1.NewAgentServiceClient(next.dial())
	variables, err := agent.GetVariables(b.ctx, &agentv1.GetVariablesRequest{})
	if err != nil {
		t.Fatalf("with the token of before: %v", err)
	}
	for i := range secrets {
		name := fmt.Sprintf("load-%d", i+1)
		if value := variables.GetVariables()[name]; value != "value of "+name {
			t.Fatalf("variable %s of %d is %q", name, secrets, value)
		}
	}
	if c, err := agent.GetConnections(b.ctx, &agentv1.GetConnectionsRequest{}); err != nil || c.GetConnectionUris()["c"] != "pg://u:p@h" {
		t.Errorf("connections %v, %v", c, err)
	}
	if x, err := agent.FetchXCom(b.ctx, &agentv1.FetchXComRequest{UpstreamTaskId: "a"}); err != nil || string(x.GetValue()) != "42" {
		t.Errorf("value %v, %v", x, err)
	}
	log := next.leoflow("logs", "etl", "r", "b")
	for i := range lines {
		if n := strings.Count(log.out, fmt.Sprintf("line %d.\n", i+1)); n != 1 {
			t.Fatalf("line %d of %d is in the log %d times:\n%s", i+1, lines, n, log.errOut)
		}
	}
	next.leoflow("tasks", "etl", "r").wantIn(t, "success", "running")
	after := &attempting{s: next, client: agent, ctx: b.ctx}
	after.succeed()
}

func TestBackupCommandLine(t *testing.T) {
	s := servePlain(t)
	dir := t.TempDir()
	file, taken := filepath.Join(dir, "b"), filepath.Join(dir, "taken")
	writeFile(t, taken, "precious")
	doc := leoflow(t, "backup", "--data-dir", s.data, "--to", file, "--without-keys", "-o", "json").parsed(t)
	if doc["keys"] != false || doc["file"] != file || doc["bytes"].(float64) < 1 {
		t.Errorf("told %v", doc)
	}
	again := leoflow(t, "backup", "--data-dir", s.data, "--to", file, "--without-keys", "--force")
	again.wantCode(t, exitOK)
	again.wantIn(t, "the keys are not in it", "keys.json", "secrets.json")
	full := filepath.Join(dir, "full")
	if err := os.Mkdir(full, 0o700); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(full, "x"), "")
	for name, tc := range map[string]struct {
		args []string
		want []string
	}{
		"no file":      {[]string{"backup"}, []string{"--to"}},
		"taken":        {[]string{"backup", "--data-dir", s.data, "--to", taken}, []string{taken, "--force"}},
		"no directory": {[]string{"backup", "--data-dir", "none", "--to", "x"}, []string{"none", "data directory of a server"}},
		"no backup":    {[]string{"restore", taken, "--data-dir", filepath.Join(dir, "new")}, []string{"no backup"}},
		"not there":    {[]string{"restore", "none", "--data-dir", filepath.Join(dir, "new")}, []string{"none", "no such file"}},
		"not empty":    {[]string{"restore", file, "--data-dir", full}, []string{full, "not empty"}},
		"served":       {[]string{"restore", file, "--data-dir", s.data}, []string{s.data, "not empty"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := leoflow(t, tc.args...)
			got.wantCode(t, exitBadInput)
			got.wantOneLine(t, tc.want...)
		})
	}
	restored := leoflow(t, "restore", file, "--data-dir", filepath.Join(dir, "new"))
	restored.wantCode(t, exitOK)
	restored.wantIn(t, "it holds no keys", "keys.json", "0600")
	if _, err := os.Stat(filepath.Join(dir, "new", "keys.json")); !os.IsNotExist(err) {
		t.Errorf("keys: %v", err)
	}
}

// TestBackupIntoTheWorkingDirectory writes where the command is called, as the page of
// serving does.
func TestBackupIntoTheWorkingDirectory(t *testing.T) {
	s := servePlain(t)
	got := leoflow(t, "backup", "--data-dir", s.data, "--to", "backup.tar.gz")
	got.wantCode(t, exitOK)
	got.wantIn(t, "backup.tar.gz holds the database")
}
