package agentrpc

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"google.golang.org/grpc"

	"github.com/neochaotic/leoflow/internal/rpcstatus"
)

// panickers are all methods of all fakes, and an RPC that calls each.
var panickers = []struct {
	rpc, method string
	rig         func() *rig
}{
	{"Register", "AuthenticateAgent", equipped},
	{"StreamLogs", "AuthenticateAgent", equipped},
	{"GetTaskSpec", "TaskSpec", equipped},
	{"FetchXCom", "TaskSpec", equipped},
	{"PushXCom", "TaskSpec", equipped},
	{"ReportState", "ReportState", equipped},
	{"Heartbeat", "RecordHeartbeat", equipped},
	{"FetchXCom", "Fetch", equipped},
	{"PushXCom", "Push", equipped},
	{"StreamLogs", "Open", equipped},
	{"StreamLogs", "WriteEvent", equipped},
	{"StreamLogs", "Publish", equipped},
	{"StreamLogs", "Close", equipped},
	{"GetVariables", "SecretVariables", equipped},
	{"GetConnections", "SecretConnectionURIs", equipped},
	{"Register", "RegisterAgent", enriched},
	{"ReportState", "ReportStateAt", enriched},
	{"StreamLogs", "MayLog", enriched},
	{"PushXCom", "PushFrom", enriched},
	{"FetchXCom", "FetchFor", enriched},
	{"GetVariables", "DeliverVariables", enriched},
	{"GetConnections", "DeliverConnectionURIs", enriched},
}

func TestErr2APanicInAnyPartIsInternalLoggedAndSurvived(t *testing.T) {
	for _, p := range panickers {
		t.Run(p.rpc+"/"+p.method, func(t *testing.T) {
			r := p.rig()
			r.at(p.method, func(context.Context) error { panic(errors.New(secret)) })
			wantInternal(t, rpcNamed(p.rpc).call(good(t), r.Server))
			r.wantPanicLogged(t, rpcNamed(p.rpc).method)
			r.at(p.method, nil)
			if err := rpcNamed(p.rpc).call(good(t), r.Server); err != nil {
				t.Errorf("the server does not go on: %v", err)
			}
		})
	}
}

// wantPanicLogged wants one panic in the log, with its method, text and stack.
func (r *rig) wantPanicLogged(t *testing.T, method string) {
	t.Helper()
	panics := r.log.lines(t, "handler panicked")
	if len(panics) != 1 {
		t.Fatalf("%d panics logged, want 1: %v", len(panics), r.log)
	}
	text, _ := panics[0]["panic"].(string)
	stack, _ := panics[0]["stack"].(string)
	if panics[0]["method"] != method || !strings.Contains(text, secret) || !strings.Contains(stack, "fakes_test.go") && !strings.Contains(stack, "lines_fake_test.go") {
		t.Errorf("logged %v, want method %s, text and stack", panics[0], method)
	}
}

func TestErr2APanicWhileALogIsOpenClosesItOnce(t *testing.T) {
	for _, method := range []string{"WriteEvent", "Publish", "Close"} {
		t.Run(method, func(t *testing.T) {
			r := equipped()
			r.at(method, func(context.Context) error { panic(secret) })
			wantInternal(t, rpcNamed("StreamLogs").call(good(t), r.Server))
			if n := r.count("Close"); n != 1 {
				t.Errorf("closed %d times", n)
			}
		})
	}
}

// count returns how often a method was called.
func (s *script) count(method string) int {
	n := 0
	for _, m := range s.asked() {
		if m == method {
			n++
		}
	}
	return n
}

func TestErr2TheExportedInterceptorsRecover(t *testing.T) {
	log := &syncBuffer{}
	logger := slog.New(slog.NewJSONHandler(log, nil))
	_, err := RecoveryUnaryInterceptor(logger)(t.Context(), nil, &grpc.UnaryServerInfo{FullMethod: "/a.B/C"},
		func(context.Context, any) (any, error) { panic(secret) })
	wantInternal(t, err)
	err = RecoveryStreamInterceptor(logger)(nil, newStream(t.Context()), &grpc.StreamServerInfo{FullMethod: "/a.B/D"},
		func(any, grpc.ServerStream) error { panic(secret) })
	wantInternal(t, err)
	if message := rpcstatus.InternalMessage; message != "internal server error" {
		t.Errorf("the contract's text became %q", message)
	}
	panics := log.lines(t, "handler panicked")
	if len(panics) != 2 || panics[0]["method"] != "/a.B/C" || panics[1]["method"] != "/a.B/D" || panics[0]["stack"] == "" {
		t.Errorf("logged %v", panics)
	}
}

func TestAServerWithoutALoggerUsesTheDefault(t *testing.T) {
	s := newScript()
	server := NewServer(fakeAuthn{s}, plainStore{s}, plainXCom{s})
	if server.guard.Log() != slog.Default() {
		t.Error("not the default logger")
	}
}
