package main

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/server"
)

var startLine = regexp.MustCompile(`^leoflow serves on (127\.0\.0\.1:\d+), with its data in (\S+); for a token: leoflow (token --data-dir (\S+))\n$`)

// startServe starts a server and returns its address, and what mints a token for it.
func startServe(t *testing.T, data string, more ...string) (serve *command, addr string, tokenArgs []string) {
	t.Helper()
	serve = start(t, nil, append([]string{"serve", "--addr", "127.0.0.1:0", "--data-dir", data, "--log-format", "json"}, more...)...)
	m := startLine.FindStringSubmatch(serve.awaitLine("leoflow serves"))
	if m == nil || m[2] != data || m[4] != data {
		t.Fatalf("start line %q", serve.seen.String())
	}
	return serve, m[1], strings.Fields(m[3])
}

// createRun calls the server as whoever has the token.
func createRun(t *testing.T, addr, token string) error {
	t.Helper()
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	_, err = controlv1.NewControlServiceClient(conn).CreateRun(
		metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token),
		&controlv1.CreateRunRequest{DagId: "d", RunId: "r", Tasks: []*controlv1.TaskDefinition{{TaskId: "t", Operator: "bash"}}})
	return err
}

// TestServeTokenAndOrderlyEnd does what the start line says.
func TestServeTokenAndOrderlyEnd(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	serve, addr, tokenArgs := startServe(t, data)
	info, err := os.Stat(filepath.Join(data, server.KeyFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key file: %v, %v", info, err)
	}
	token := leoflow(t, tokenArgs...)
	token.wantCode(t, exitOK)
	if err := createRun(t, addr, strings.TrimSpace(token.out)); err != nil {
		t.Errorf("with the token: %v", err)
	}
	viewer := leoflow(t, append(tokenArgs, "--role", "viewer")...)
	if err := createRun(t, addr, strings.TrimSpace(viewer.out)); status.Code(err) != codes.PermissionDenied {
		t.Errorf("with a viewer's token: %v", err)
	}
	serve.signal(syscall.SIGTERM)
	got := serve.end()
	got.wantCode(t, exitOK)
	if strings.Contains(got.errOut, strings.TrimSpace(token.out)) {
		t.Error("the log holds the token")
	}
}

func TestOneServerADirectory(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	serve, _, _ := startServe(t, data)
	second := leoflow(t, "serve", "--addr", "127.0.0.1:0", "--data-dir", data)
	second.wantCode(t, exitFailed)
	second.wantOneLine(t, data, "in use by another process", "choose another directory")
	run := leoflow(t, "run", "--data-dir", data, pipelineFile(t, "name: p\ntasks: [{id: a, bash: 'true'}]\n"))
	run.wantCode(t, exitFailed)
	run.wantOneLine(t, data, "in use by another process")
	serve.signal(syscall.SIGINT)
	serve.end().wantCode(t, exitOK)
	again, _, _ := startServe(t, data)
	again.signal(syscall.SIGTERM)
	again.end().wantCode(t, exitOK)
}
