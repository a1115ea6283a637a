package interceptor

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
)

// called returns the id that the server says it gave to a call, and the call's error.
func (b *bench) called(pairs ...string) (string, error) {
	b.t.Helper()
	var header metadata.MD
	_, err := b.agent.FetchXCom(b.asAgent(pairs...), &agentv1.FetchXComRequest{}, grpc.Header(&header))
	ids := header.Get(requestIDKey)
	if len(ids) != 1 {
		b.t.Fatalf("request ids %q in the header", ids)
	}
	return ids[0], err
}

func TestErr1AProperRequestIDIsEchoedInHeaderErrorAndLog(t *testing.T) {
	b := newBench(t, setup{})
	for _, id := range []string{"run-7/call.3", "a", strings.Repeat("x", maxRequestIDBytes), "!~"} {
		got, err := b.called(requestIDKey, id)
		wantCode(t, err, codes.InvalidArgument)
		if got != id {
			t.Errorf("header says %q, want %q", got, id)
		}
		if info, _ := detail[*errdetails.RequestInfo](err); info.GetRequestId() != id {
			t.Errorf("error says %q, want %q", info.GetRequestId(), id)
		}
		finished := b.log.lines(t, "finished call")
		if last := finished[len(finished)-1]; last["request_id"] != id {
			t.Errorf("log says %v, want %q", last["request_id"], id)
		}
	}
}

func TestErr1AForgedRequestIDIsReplaced(t *testing.T) {
	b := newBench(t, setup{})
	for name, pairs := range map[string][]string{
		"none":          nil,
		"empty":         {requestIDKey, ""},
		"two":           {requestIDKey, "a", requestIDKey, "b"},
		"too long":      {requestIDKey, strings.Repeat("x", maxRequestIDBytes+1)},
		"with a space":  {requestIDKey, "a b"},
		"looks like kv": {requestIDKey, "a level=ERROR"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := b.called(pairs...)
			if _, bad := uuid.Parse(got); bad != nil {
				t.Errorf("id %q is not one of the server's", got)
			}
			if info, _ := detail[*errdetails.RequestInfo](err); info.GetRequestId() != got {
				t.Errorf("error says %q, header %q", info.GetRequestId(), got)
			}
		})
	}
}

// What a well-behaved client's own library would not send.
func TestErr1ControlCharactersForgeNothing(t *testing.T) {
	for _, id := range []string{"a\nb", "a\rb", "a\x00b", "\x1b[31m", "a\tb", "caf\xc3\xa9", "a\x7fb", "\xff"} {
		ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs(requestIDKey, id))
		if got := chosenRequestID(ctx); got != "" {
			t.Errorf("took %q as %q", id, got)
		}
	}
}

func TestErr1EveryCallHasItsOwnRequestID(t *testing.T) {
	b := newBench(t, setup{})
	first, _ := b.called()
	second, _ := b.called()
	if first == second {
		t.Errorf("two calls are both %q", first)
	}
	var header metadata.MD
	stream, err := b.agent.StreamLogs(b.asAgent(requestIDKey, "stream-1"))
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if header, err = stream.Header(); err != nil {
		t.Fatal(err)
	}
	if got := header.Get(requestIDKey); len(got) != 1 || got[0] != "stream-1" {
		t.Errorf("a stream's header says %q", got)
	}
	if _, err := stream.Recv(); err == nil {
		t.Error("an ack out of nowhere")
	}
}

// TestErr1WhoNamesACallIsToldSo: the header costs something, and is for who can use it.
func TestErr1WhoNamesACallIsToldSo(t *testing.T) {
	b := newBench(t, setup{})
	for name, c := range map[string]struct{ pairs, want []string }{
		"named":   {[]string{requestIDKey, "call-1"}, []string{"call-1"}},
		"unnamed": {nil, nil},
	} {
		var header metadata.MD
		if _, err := b.agent.Register(b.asAgent(c.pairs...), &agentv1.RegisterRequest{}, grpc.Header(&header)); err != nil {
			t.Fatal(err)
		}
		if got := header.Get(requestIDKey); !slices.Equal(got, c.want) {
			t.Errorf("%s, and all is well: the header says %q, want %q", name, got, c.want)
		}
	}
}

// TestErr1AStreamIsToldItsRequestIDOnce holds it of streams that are sent something, that end
// with nothing sent, and that fail.
func TestErr1AStreamIsToldItsRequestIDOnce(t *testing.T) {
	for name, handle := range map[string]func(agentv1.AgentService_StreamLogsServer) error{
		"sent something": func(stream agentv1.AgentService_StreamLogsServer) error {
			return errors.Join(stream.Send(&agentv1.LogAck{}), stream.Send(&agentv1.LogAck{}))
		},
		"sent nothing": func(agentv1.AgentService_StreamLogsServer) error { return nil },
		"failed":       func(agentv1.AgentService_StreamLogsServer) error { return errors.New("fails") },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, setup{agents: &agentService{onStream: handle}})
			stream, err := b.agent.StreamLogs(b.asAgent())
			if err != nil {
				t.Fatal(err)
			}
			header, err := stream.Header()
			if err != nil {
				t.Fatal(err)
			}
			if ids := header.Get(requestIDKey); len(ids) != 1 || uuid.Validate(ids[0]) != nil {
				t.Errorf("request ids %q in the header", ids)
			}
		})
	}
}
