package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/localca"
)

// served is a control plane that a server of this program is, and its caller.
type served struct {
	t          *testing.T
	addr, data string
	ca         string // file of the authority; empty: plaintext
	creds      credentials.TransportCredentials
	env        []string // of the commands that call it, as its admin
	client     controlv1.ControlServiceClient
	ctx        context.Context //nolint:containedctx // carries the admin's token
}

// servePlain starts a server without TLS.
func servePlain(t *testing.T, flags ...string) *served {
	t.Helper()
	s := &served{t: t, data: filepath.Join(t.TempDir(), "data"), creds: insecure.NewCredentials()}
	_, s.addr, _ = startServe(t, s.data, flags...)
	return s.connect()
}

// serveTLS starts a server with TLS, by files of an authority made for it.
func serveTLS(t *testing.T) *served {
	t.Helper()
	ca, err := localca.New()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	s := &served{t: t, data: filepath.Join(dir, "data"), ca: filepath.Join(dir, "ca.pem"), creds: credentials.NewTLS(ca.ClientTLS())}
	pair, err := ca.ServerTLS().GetCertificate(&tls.ClientHelloInfo{})
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, s.ca, string(ca.PEM()))
	writeFile(t, filepath.Join(dir, "cert.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]})))
	writeFile(t, filepath.Join(dir, "key.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})))
	_, s.addr, _ = startServe(t, s.data, "--tls-cert", filepath.Join(dir, "cert.pem"), "--tls-key", filepath.Join(dir, "key.pem"))
	return s.connect()
}

// connect calls the server as its admin.
func (s *served) connect() *served {
	s.t.Helper()
	token := s.token("admin")
	s.env = []string{"LEOFLOW_SERVER=" + s.addr, "LEOFLOW_TOKEN=" + token, "LEOFLOW_CA=" + s.ca}
	s.client, s.ctx = controlv1.NewControlServiceClient(s.dial()), s.as(token)
	return s
}

func (s *served) dial() *grpc.ClientConn {
	s.t.Helper()
	conn, err := grpc.NewClient(s.addr, grpc.WithTransportCredentials(s.creds))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// as is the context of whoever has the token.
func (s *served) as(token string) context.Context {
	ctx, cancel := context.WithTimeout(s.t.Context(), deadline)
	s.t.Cleanup(cancel)
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
}

func (s *served) token(role string) string {
	s.t.Helper()
	got := leoflow(s.t, "token", "--data-dir", s.data, "--role", role, "--subject", "ada")
	got.wantCode(s.t, exitOK)
	return strings.TrimSpace(got.out)
}

// start starts a command that calls the server.
func (s *served) start(args ...string) *command {
	s.t.Helper()
	return start(s.t, s.env, args...)
}

// leoflow runs such a command to its end.
func (s *served) leoflow(args ...string) outcome {
	s.t.Helper()
	return s.start(args...).end()
}

// createRun creates a run of "etl".
func (s *served) createRun(id string, tasks ...*controlv1.TaskDefinition) {
	s.t.Helper()
	if _, err := s.client.CreateRun(s.ctx, &controlv1.CreateRunRequest{DagId: "etl", RunId: id, DagVersion: "v7", Tasks: tasks}); err != nil {
		s.t.Fatal(err)
	}
}

// task is a task that takes values of others.
func task(id string, from ...string) *controlv1.TaskDefinition {
	def := &controlv1.TaskDefinition{TaskId: id, Operator: "bash", Entrypoint: "true"}
	if len(from) > 0 {
		def.Inputs = map[string]*controlv1.InputSources{"in": {TaskIds: from}}
	}
	return def
}

// attempting is the agent of an attempt.
type attempting struct {
	s      *served
	client agentv1.AgentServiceClient
	ctx    context.Context                                           //nolint:containedctx // carries its token
	lines  grpc.BidiStreamingClient[agentv1.LogLine, agentv1.LogAck] // once it logs
}

// launch begins the next attempt of a task of a run of "etl", which then runs.
func (s *served) launch(run, id string, try int32) *attempting {
	s.t.Helper()
	resp, err := s.client.LaunchAttempt(s.ctx, &controlv1.LaunchAttemptRequest{DagId: "etl", RunId: run, TaskId: id, TryNumber: try})
	if err != nil {
		s.t.Fatal(err)
	}
	a := &attempting{s: s, client: agentv1.NewAgentServiceClient(s.dial()), ctx: s.as(resp.GetAgentToken())}
	if _, err := a.client.Register(a.ctx, &agentv1.RegisterRequest{Hostname: "worker\x1b[2J"}); err != nil {
		s.t.Fatal(err)
	}
	a.report(&agentv1.ReportStateRequest{State: agentv1.TaskState_TASK_STATE_RUNNING})
	return a
}

func (a *attempting) report(req *agentv1.ReportStateRequest) {
	a.s.t.Helper()
	resp, err := a.client.ReportState(a.ctx, req)
	if err != nil || !resp.GetAcknowledged() {
		a.s.t.Fatalf("report: %v, %v", resp, err)
	}
}

// beat beats; where it is to be told to end, until it is: an answer may come without the
// store's word (BEAT-2).
func (a *attempting) beat(end bool) *agentv1.HeartbeatResponse {
	a.s.t.Helper()
	for {
		beat, err := a.client.Heartbeat(a.ctx, &agentv1.HeartbeatRequest{})
		if err != nil {
			a.s.t.Fatalf("beat, to be told to end: %v: %v", end, err)
		}
		if beat.GetShouldTerminate() || !end {
			return beat
		}
	}
}

func (a *attempting) succeed() {
	a.s.t.Helper()
	a.report(&agentv1.ReportStateRequest{State: agentv1.TaskState_TASK_STATE_SUCCESS})
}

// log sends a line.
func (a *attempting) log(stream string, number int64, text string) {
	a.s.t.Helper()
	if a.lines == nil {
		lines, err := a.client.StreamLogs(a.ctx)
		if err != nil {
			a.s.t.Fatal(err)
		}
		a.lines = lines
	}
	if err := a.lines.Send(&agentv1.LogLine{Stream: stream, LineNumber: number, Message: text}); err != nil {
		a.s.t.Fatal(err)
	}
}

// endLog ends the log; it is durable then.
func (a *attempting) endLog() {
	a.s.t.Helper()
	if err := a.lines.CloseSend(); err != nil {
		a.s.t.Fatal(err)
	}
	for {
		if _, err := a.lines.Recv(); err != nil {
			return
		}
	}
}

// entries are the JSON objects of the output, one a line; they must steer no terminal.
func (o outcome) entries(t *testing.T) []map[string]any {
	t.Helper()
	o.wantCode(t, exitOK)
	var out []map[string]any
	for line := range strings.Lines(o.out) {
		out = append(out, parse(t, line))
	}
	return out
}

// parsed is the output as the one JSON object that it is.
func (o outcome) parsed(t *testing.T) map[string]any {
	t.Helper()
	entries := o.entries(t)
	if len(entries) != 1 {
		t.Fatalf("%d objects, want 1:\n%s", len(entries), o.out)
	}
	return entries[0]
}

func parse(t *testing.T, text string) map[string]any {
	t.Helper()
	wantHarmless(t, text)
	var doc map[string]any
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return doc
}

// wantHarmless looks for what steers a terminal.
func wantHarmless(t *testing.T, text string) {
	t.Helper()
	for line := range strings.SplitSeq(text, "\n") {
		if !plain(line) {
			t.Errorf("not fit to be shown: %q", line)
		}
	}
}
