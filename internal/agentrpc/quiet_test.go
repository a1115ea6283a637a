package agentrpc

import (
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/logs"
)

// taskTokens knows tokens that are names of tasks.
type taskTokens struct{}

func (taskTokens) AuthenticateAgent(token string) (*auth.AgentIdentity, error) {
	if token == "" {
		return nil, errors.New("no token")
	}
	id := testIdentity
	id.TaskInstanceID, id.TaskID = token, token
	return &id, nil
}

// goroutinesOf counts those whose stack shows a word, and those that also show another one.
func goroutinesOf(word, other string) (all, also int) {
	buf := make([]byte, 64<<10)
	for n := runtime.Stack(buf, true); ; n = runtime.Stack(buf, true) {
		if n < len(buf) {
			buf = buf[:n]
			break
		}
		buf = make([]byte, 2*len(buf))
	}
	for _, stack := range strings.Split(string(buf), "\n\n") {
		if strings.Contains(stack, word) {
			all++
			if strings.Contains(stack, other) {
				also++
			}
		}
	}
	return all, also
}

// TestAQuietStreamHasOneGoroutineOfOurs beside the transport's own, although lines came
// through it: there are very many of them.
func TestAQuietStreamHasOneGoroutineOfOurs(t *testing.T) {
	sink, err := logs.NewDir(logs.Options{Root: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close() //nolint:errcheck // its calls tell
	s := newScript()
	server := NewServer(taskTokens{}, plainStore{s}, plainXCom{s})
	server.SetLogger(slog.New(slog.DiscardHandler))
	server.SetLogSink(sink)
	client := dial(t, server)
	const streams = 20
	for i := range streams {
		stream := openLogs(t, client, outgoing(t, "task-"+string(rune('a'+i))))
		send(t, stream, line("stdout", 1, "x"))
		if ack, err := stream.Recv(); err != nil || ackText(ack) != "stdout:1" {
			t.Fatalf("ack %v, %v", ack, err)
		}
	}
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for late := time.After(patient); ; {
		ours, handlers := goroutinesOf("agentrpc.(*logCall)", "grpc.(*Server).handleStream")
		writing, _ := goroutinesOf("logs.(*attemptLog)", "")
		if ours == 2*streams && handlers == streams && writing == 0 {
			break
		}
		select {
		case <-look.C:
		case <-late:
			t.Fatalf("%d goroutines of %d quiet streams, %d of them the transport's, and %d write", ours, streams, handlers, writing)
		}
	}
	server.Drain()
}
