package server_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/server"
)

// preface is what a client of HTTP/2 begins with, its empty settings included.
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"

// connect opens a bare connection.
func (p *plane) connect() net.Conn {
	p.t.Helper()
	conn, err := new(net.Dialer).DialContext(p.t.Context(), "tcp", p.server.Addr())
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// closes returns a channel that is closed when the server has closed a connection.
func closes(conn net.Conn) <-chan struct{} {
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		_, _ = io.Copy(io.Discard, conn)
	}()
	return closed
}

func (p *plane) await(what string, event <-chan struct{}) {
	p.t.Helper()
	select {
	case <-event:
	case <-time.After(deadline):
		p.t.Fatalf("waited for long, and in vain: %s", what)
	}
}

// quietStream opens the log of an attempt, and returns what shows that it is open still.
func (a *agent) quietStream(t *testing.T) (stillOpen func()) {
	t.Helper()
	stream := must[agentv1.AgentService_StreamLogsClient](t)(a.StreamLogs(a.ctx))
	number := int64(0)
	line := func() {
		t.Helper()
		number++
		if err := stream.Send(&agentv1.LogLine{Stream: "stdout", LineNumber: number, Message: "here"}); err != nil {
			t.Fatal(err)
		}
		for through := int64(0); through < number; {
			ack := must[*agentv1.LogAck](t)(stream.Recv())
			through = ack.GetAcknowledgedThroughLine()
		}
	}
	line()
	return line
}

func TestLimit3WhoDoesNotSayWhoTheyAreIsDisconnected(t *testing.T) {
	p := start(t, server.Config{HandshakeWithin: time.Second, AuthenticateWithin: 2 * time.Second}, true)
	o := p.operator("acme", auth.RoleOperator)
	p.insist(func() error { // known from then on
		_, err := o.ListRuns(o.ctx, &controlv1.ListRunsRequest{})
		return err
	})
	o.createRun(bash("t", "true"))
	stillOpen := p.launch(o, "t", 1, false).quietStream(t)

	silent, slow, shaken := p.connect(), p.connect(), p.connect()
	if _, err := io.WriteString(shaken, preface); err != nil {
		t.Fatal(err)
	}
	slowEnds := closes(slow)
	go drip(slow, preface, slowEnds)
	stranger, err := grpc.NewClient(p.server.Addr(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stranger.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	p.insist(func() error {
		if _, err := healthv1.NewHealthClient(stranger).Check(ctx, &healthv1.HealthCheckRequest{}); err != nil {
			return err
		}
		_, err := agentv1.NewAgentServiceClient(stranger).Heartbeat(as(ctx, "no token"), &agentv1.HeartbeatRequest{})
		if status.Code(err) == codes.Unauthenticated {
			return nil
		}
		return fmt.Errorf("a stranger's call: %w", err)
	})
	if !stranger.WaitForStateChange(ctx, connectivity.Ready) {
		t.Error("a stranger that makes calls stays connected")
	}
	p.await("the end of a silent connection", closes(silent))
	p.await("the end of a slow connection", slowEnds)
	p.await("the end of a connection without a call", closes(shaken))
	stillOpen()
}

// insist makes a call until it comes through: who is slow to make one may be disconnected
// before.
func (p *plane) insist(call func() error) {
	p.t.Helper()
	over := time.Now().Add(deadline)
	err := call()
	for status.Code(err) == codes.Unavailable && time.Now().Before(over) {
		err = call()
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// drip writes all but the end of a text, a byte at a time.
func drip(conn net.Conn, text string, until <-chan struct{}) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for i := range len(text) - 1 {
		select {
		case <-tick.C:
			if _, err := io.WriteString(conn, text[i:i+1]); err != nil {
				return
			}
		case <-until:
			return
		}
	}
	<-until
}

func TestLimit3StrangersAreBoundedAndShutNobodyOut(t *testing.T) {
	p := start(t, server.Config{UnauthenticatedConns: 3}, true)
	o := p.operator("acme", auth.RoleOperator)
	o.createRun(bash("t", "true"))
	stillOpen := p.launch(o, "t", 1, false).quietStream(t)
	var ends []<-chan struct{}
	for range 10 {
		ends = append(ends, closes(p.connect()))
	}
	for i := range 7 { // long before their time to authenticate is over
		p.await("the end of an old connection that was crowded out", ends[i])
	}
	late, err := grpc.NewClient(p.server.Addr(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = late.Close() })
	a := p.launch(o, "t", 2, true)
	must[*agentv1.RegisterResponse](t)(agentv1.NewAgentServiceClient(late).Register(a.ctx, &agentv1.RegisterRequest{}))
	stillOpen()
}
