package serversuite

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"

	"github.com/neochaotic/leoflow/conformance/suite"
)

// limitChecks are of what one caller may take from the others. That of a message is
// among the errors.
func limitChecks(target *Target) []suite.Check {
	within := target.Capabilities.GetHandshakeWithin().AsDuration()
	out := []suite.Check{
		single(target, "LIMIT-2", "refused", "pushes over the rate are refused for a time, and nobody else's", pushesRefused, pushXCom),
		single(target, "LIMIT-2", "served", "beats, reports and calls of the start are served over the rate", servedOverRate,
			pushXCom, register, getTaskSpec, fetchXCom, heartbeat, reportState),
		single(target, "LIMIT-3", "silent", "a peer that says nothing is disconnected, and a quiet stream is not", silentPeer, streamLogs, heartbeat),
	}
	for i := range out {
		out[i].Deadline = 20 * time.Second
	}
	out[2].Deadline += within
	return out
}

// tryPush pushes, without a place in the evidence: there are hundreds.
func (a *attempt) tryPush(value string) error {
	ctx := metadata.NewOutgoingContext(a.w.t.Context(), a.as().md)
	reply, err := agentv1.NewAgentServiceClient(a.w.target.Conn).PushXCom(ctx, &agentv1.PushXComRequest{Value: []byte(value)})
	if err == nil && !reply.GetAccepted() {
		return fmt.Errorf("a push was not accepted: %q", reply.GetRejectionReason())
	}
	return err
}

// overRate pushes until a push is refused for its rate, and returns how long the refusal
// says to wait.
func (a *attempt) overRate() time.Duration {
	most := int(a.w.target.Capabilities.GetPushesOverRate())
	if most == 0 {
		a.w.t.Untestable("the fixtures do not tell how many pushes are over the rate of an attempt")
	}
	a.push("", `"taken"`) // the control
	n, err := a.pushAtOnce(most)
	if err == nil {
		a.w.t.Fatalf("%d pushes were taken, one right after the other", most)
	}
	a.w.t.Record(suite.Step{What: "one push too many as the agent of " + a.ref.GetTaskId(), RPC: pushXCom, Err: err})
	a.w.t.Note("%d pushes were taken, one right after the other", n)
	a.w.wantCode(err, codes.ResourceExhausted, "a push over the rate")
	return a.w.retryDelay(err)
}

// overAgain pushes until a push is refused once more: the attempt may have come back
// within its rate. That of a slow machine may stay there.
func (a *attempt) overAgain() {
	_, _ = a.pushAtOnce(int(a.w.target.Capabilities.GetPushesOverRate()))
}

// pushAtOnce makes so many pushes, some at a time, until one fails, and returns how many
// were taken and how that one failed. One at a time, a slow machine would stay below any
// rate.
func (a *attempt) pushAtOnce(most int) (int64, error) {
	const atOnce = 16
	var begun, taken atomic.Int64
	failed := make(chan error, atOnce)
	var pushers sync.WaitGroup
	for range atOnce {
		pushers.Go(func() {
			for begun.Add(1) <= int64(most) && len(failed) == 0 {
				if err := a.tryPush(`"taken"`); err != nil {
					failed <- err
					return
				}
				taken.Add(1)
			}
		})
	}
	pushers.Wait()
	select {
	case err := <-failed:
		return taken.Load(), err
	default:
		return taken.Load(), nil
	}
}

// retryDelay is what a refusal for rate has to tell.
func (w *world) retryDelay(err error) time.Duration {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.RetryInfo); ok && info.GetRetryDelay().AsDuration() > 0 {
			return info.GetRetryDelay().AsDuration()
		}
	}
	w.t.Fatalf("a push over the rate was refused without RetryInfo: when to try again is not told")
	return 0
}

func pushesRefused(w *world) {
	a, other := w.launch(worker, running), w.launch(source, running)
	elsewhere := w.twinWorld().launch(worker, running)
	after := a.overRate()
	w.wantCode(other.tryPush(`"mine"`), codes.OK, "a push of another attempt, while one is over its rate,")
	w.wantCode(elsewhere.tryPush(`"mine"`), codes.OK, "a push of another tenant, while an attempt is over its rate,")
	if got := string(w.value(worker, "return_value")); got != `"taken"` {
		w.t.Fatalf("after a push that was refused for its rate %q is stored", got)
	}
	for {
		w.wait(after)
		err := a.tryPush(`"again"`)
		if err == nil {
			break
		}
		w.wantCode(err, codes.ResourceExhausted, "a push after the time that the refusal told")
		after = w.retryDelay(err)
	}
	if got := string(w.value(worker, "return_value")); got != `"again"` {
		w.t.Fatalf("after a push that was refused for its rate, and made again and taken, %q is stored", got)
	}
}

// wait lets a time pass that the server asked for.
func (w *world) wait(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-w.t.Context().Done():
		w.t.Fatalf("no time was left to wait for %v", d)
	}
}

func servedOverRate(w *world) {
	w.publish(`"input"`)
	a := w.launch(worker, queued)
	a.overRate()
	typed[*agentv1.RegisterResponse](a, register, &agentv1.RegisterRequest{})
	typed[*agentv1.TaskSpec](a, getTaskSpec, &agentv1.GetTaskSpecRequest{})
	a.wantFetch("", `"input"`)
	a.overAgain()
	a.accepted(sayRunning)
	a.overAgain()
	for range 5 {
		if got := a.beat(); got.GetShouldTerminate() {
			w.t.Fatalf("a heartbeat over the rate was answered {%v}", got)
		}
	}
	a.overAgain()
	a.accepted(saySuccess)
	a.wantState(success, "a report over the rate")
}

// silentPeer opens a bare connection to where the server is found.
func silentPeer(w *world) {
	within := w.target.Capabilities.GetHandshakeWithin().AsDuration()
	if within <= 0 {
		w.t.Untestable("the fixtures do not tell how long a peer may be connected and say nothing")
	}
	a := w.launch(worker, running)
	l := a.openLog()
	l.line("stdout", 1, "before")
	l.awaitAck(1)
	began := time.Now()
	conn := w.connect(a)
	ended := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, conn)
		ended <- err
	}()
	select {
	case err := <-ended:
		w.t.Note("the connection ended after %v: %v", time.Since(began), err)
	case <-time.After(within + w.t.Scale(2*time.Second)):
		w.t.Fatalf("a peer that says nothing is connected still, after %v", time.Since(began))
	}
	w.wait(within - time.Since(began)) // where it was ended sooner
	l.line("stdout", 2, "after")
	l.awaitAck(2)
	l.end()
	a.wantLines("stdout", "1 before", "2 after")
}

// connect opens a bare connection, by the address that a call went to.
func (w *world) connect(a *attempt) net.Conn {
	var to peer.Peer
	ctx := metadata.NewOutgoingContext(w.t.Context(), a.as().md)
	request := &agentv1.HeartbeatRequest{SentAt: timestamppb.Now()}
	reply, err := agentv1.NewAgentServiceClient(w.target.Conn).Heartbeat(ctx, request, grpc.Peer(&to))
	w.t.Record(suite.Step{What: "as the agent of worker", RPC: heartbeat, Sent: request, Received: reply, Err: err})
	w.wantCode(err, codes.OK, "the control, a heartbeat,")
	if to.Addr == nil {
		w.t.Untestable("the connection does not tell where it leads")
	}
	conn, err := new(net.Dialer).DialContext(w.t.Context(), to.Addr.Network(), to.Addr.String())
	if errors.As(err, new(net.UnknownNetworkError)) {
		w.t.Untestable("the connection is over no network, but " + to.Addr.Network() + ": there is no second way to the server")
	}
	if err != nil {
		w.t.Fatalf("a second connection could not be opened: %v", err)
	}
	w.t.Note("connected to %s, and said nothing", to.Addr)
	w.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// awaitAck reads acknowledgements until one reaches a line of stdout. One that names no
// stream may be of any.
func (l *logStream) awaitAck(line int64) {
	for {
		ack, err := l.receive()
		l.a.w.wantCode(err, codes.OK, fmt.Sprintf("StreamLogs, while line %d was not acknowledged,", line))
		if named := ack.GetStream(); (named == "stdout" || named == "") && ack.GetAcknowledgedThroughLine() >= line {
			return
		}
	}
}
