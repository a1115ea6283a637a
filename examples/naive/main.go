// Command naive is a control plane as a team in a hurry would write it from the protos
// alone, and an adapter that lets the conformance suite judge it:
//
//	go build -o bin/ ./cmd/leoflow-conformance ./examples/naive
//	bin/leoflow-conformance server --addr 127.0.0.1:7500 --fixture-cmd 'bin/naive -addr 127.0.0.1:7500 -plaintext-secrets'
//
// It shows how little an adapter takes, and what the suite finds: of these faults, by the
// rules that they break, every one, and nothing that it does right. Its test holds that.
//
//	signed-is-enough: AUTH-2: a token that its key signed is good, whatever its algorithm, issuer, audience, end or scheme
//	half-an-identity: AUTH-3: a token may leave out whose it is
//	tells-why: AUTH-4: what the token library finds wrong is passed on
//	first-line: AUTH-1: a log stream says who calls once its first line is there
//	no-fencing: BEAT-3 BEAT-4 ISO-4 REG-3 SECRET-4 STATE-4 STATE-5 STATE-7 STATE-9 XCOM-6 XCOM-7: nobody looks whether an attempt is still live
//	unknown-is-error: BEAT-3 STATE-4: the agent of an attempt that is unknown gets an error, and not told to end
//	half-a-cancel: BEAT-3 BEAT-6 STATE-10: a cancel has no reason, no time, no cause, and ends no RUNNING
//	any-state: STATE-1: a report of any number is taken
//	last-time: STATE-3: a report that is repeated moves the time of the first
//	uncut: LOG-7 STATE-6: what is too long is kept whole
//	agents-clock: BEAT-1: a heartbeat counts from when its agent says
//	no-interval: BEAT-7: nobody is told how often to beat
//	no-acks: LOG-13 LOG-4 LOG-5: no line is acknowledged, nor a hole shown
//	text-log: LOG-8: the log is text, and a newline in a line begins another
//	tenants-mixed: ISO-1: values are kept without their tenant
//	stale-values: XCOM-7: a retry finds what the try before it pushed
//	open-values: ISO-5 XCOM-5: every task may fetch from every other
//	bare-values: XCOM-4 XCOM-8: a value comes without its type, size and time, and its life is not told
//	large-is-error: XCOM-2: a value that is too large is an error
//	no-version: SPEC-1: the specification comes without the version of its DAG
//	untraced: SECRET-5: no record is made of secrets that are delivered
//	in-the-clear: SECRET-1: secrets travel in plaintext, whether or not somebody allowed it
//	raw-errors: ERR-1 ERR-3: errors say what the store says, have no details, and name no field
//
// It stands alone: it may import gen, grpc and a library for tokens, as the code of
// others would.
package main

import (
	"context"
	"crypto/rand"
	"flag"
	"fmt"
	"net"
	"os"

	"google.golang.org/grpc"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:7500", "where the control plane listens: `host:port`")
	plaintext := flag.Bool("plaintext-secrets", false, "tell the suite that secrets may travel in plaintext")
	flag.Parse()
	if err := run(*addr, *plaintext); err != nil {
		fmt.Fprintln(os.Stderr, "naive:", err)
		os.Exit(1)
	}
}

// run serves the control plane, and fixtures on the standard input and output, until
// the input ends.
func run(addr string, plaintext bool) error {
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return err
	}
	var lc net.ListenConfig
	l, err := lc.Listen(context.Background(), "tcp", addr)
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "naive listens on", l.Addr())
	control, grpcServer := newServer(key), grpc.NewServer()
	agentv1.RegisterAgentServiceServer(grpcServer, control)
	ended := make(chan error, 1)
	go func() { ended <- grpcServer.Serve(l) }()
	err = serveLines(os.Stdin, os.Stdout, &adapter{server: control, plaintextSecrets: plaintext})
	grpcServer.Stop()
	if served := <-ended; served != nil {
		return served
	}
	return err
}
