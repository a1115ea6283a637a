package agents

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	"github.com/neochaotic/leoflow/internal/agent"
	"github.com/neochaotic/leoflow/internal/mutants/matrix"
)

const maxMessage = 16 << 20

// Mutant is an agent with a fault.
type Mutant struct {
	// Name is how it is called.
	Name string
	// Fault says what is wrong with it.
	Fault string
	// Kills is the check that must find it.
	Kills string
	// Also are the other checks that find it.
	Also matrix.Also
	// Broad says why any number of others may find it, and Also need not list them: it
	// breaks who calls, or the transport.
	Broad string
	// Slow: it is found only by waiting in vain.
	Slow bool

	// At most one of these is where it is broken, but for what it needs to know.
	config func(*agent.Config)
	unary  func(*relay, *passing) error
	line   func(*relay, *agentv1.LogLine) *agentv1.LogLine // nil: the line is dropped
	logs   func(*relay, error) error                       // the end of a log stream
	ackAll bool

	// saysFirst are lines of its own at the beginning of each log stream.
	saysFirst []string
	channel   func(agent.Config) credentials.TransportCredentials
}

// passing is a call on its way through the relay.
type passing struct {
	ctx    context.Context // with the metadata of the agent
	method string
	in     any
	out    any
	send   func() error // passes it on, and fills out
}

// relay is a control plane that asks another.
type relay struct {
	agentv1.UnimplementedAgentServiceServer
	mutant *Mutant
	up     agentv1.AgentServiceClient
	token  string
	// plaintext: no confidential channel leads to the control plane.
	plaintext bool
	state
}

// Find returns the mutant of a name.
func Find(name string) (*Mutant, error) {
	all := All()
	i := slices.IndexFunc(all, func(m Mutant) bool { return m.Name == name })
	switch {
	case slices.Contains([]string{"none", Liar, Denier}, name):
		return &Mutant{Name: name}, nil
	case name == Other:
		return other(), nil
	case i < 0:
		return nil, fmt.Errorf("there is no mutant %q", name)
	}
	return &all[i], nil
}

// Run runs the attempt of the environment as the mutant of this name, and returns the
// exit code.
func Run(name string) (int, error) {
	m, err := Find(name)
	if err != nil {
		return agent.ExitBadConfig, err
	}
	cfg, err := agent.ConfigFromEnv(os.Getenv)
	if err != nil {
		return agent.ExitBadConfig, err
	}
	creds := insecure.NewCredentials()
	switch {
	case m.channel != nil && !cfg.Plaintext:
		creds = m.channel(cfg)
	case !cfg.Plaintext:
		creds = credentials.NewTLS(&tls.Config{RootCAs: cfg.RootCAs, MinVersion: tls.VersionTLS12})
	}
	conn, err := grpc.NewClient(cfg.Addr, grpc.WithTransportCredentials(creds), grpc.WithNoProxy(),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)))
	if err != nil {
		return agent.ExitBadConfig, err
	}
	defer func() { _ = conn.Close() }()
	if name == Liar || name == Denier {
		return pretend(cfg, agentv1.NewAgentServiceClient(conn), name)
	}
	r := &relay{mutant: m, up: agentv1.NewAgentServiceClient(conn), token: cfg.Token, plaintext: cfg.Plaintext}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return agent.ExitBadConfig, err
	}
	server := grpc.NewServer(grpc.MaxRecvMsgSize(maxMessage), grpc.MaxSendMsgSize(maxMessage))
	agentv1.RegisterAgentServiceServer(server, r)
	go func() { _ = server.Serve(listener) }() // it ends with the process
	cfg.Addr, cfg.Plaintext, cfg.Version = listener.Addr().String(), true, "mutant"
	if m.config != nil {
		m.config(&cfg)
	}
	return agent.Run(context.Background(), cfg), nil
}

// onward is a context with the metadata that the agent sent.
func onward(ctx context.Context) context.Context {
	md, _ := metadata.FromIncomingContext(ctx)
	return withToken(ctx, md.Get("authorization")...)
}

func withToken(ctx context.Context, authorization ...string) context.Context {
	return metadata.NewOutgoingContext(ctx, metadata.MD{"authorization": authorization})
}

// pass takes a call through the mutant's fault.
func pass[Q, R proto.Message](
	ctx context.Context, r *relay, method string, in Q, out R, rpc func(context.Context, Q, ...grpc.CallOption) (R, error),
) (R, error) {
	p := &passing{ctx: onward(ctx), method: method, in: in, out: out}
	p.send = func() error {
		got, err := rpc(p.ctx, in)
		if err == nil {
			proto.Reset(out)
			proto.Merge(out, got)
		}
		return err
	}
	var err error
	if r.mutant.unary != nil {
		err = r.mutant.unary(r, p)
	} else {
		err = p.send()
	}
	if err != nil {
		var none R
		return none, err
	}
	return out, nil
}

// Register implements the service, as the methods that follow do.
func (r *relay) Register(ctx context.Context, in *agentv1.RegisterRequest) (*agentv1.RegisterResponse, error) {
	return pass(ctx, r, "Register", in, &agentv1.RegisterResponse{}, r.up.Register)
}

// GetTaskSpec passes on.
func (r *relay) GetTaskSpec(ctx context.Context, in *agentv1.GetTaskSpecRequest) (*agentv1.TaskSpec, error) {
	return pass(ctx, r, "GetTaskSpec", in, &agentv1.TaskSpec{}, r.up.GetTaskSpec)
}

// FetchXCom passes on.
func (r *relay) FetchXCom(ctx context.Context, in *agentv1.FetchXComRequest) (*agentv1.FetchXComResponse, error) {
	return pass(ctx, r, "FetchXCom", in, &agentv1.FetchXComResponse{}, r.up.FetchXCom)
}

// PushXCom passes on.
func (r *relay) PushXCom(ctx context.Context, in *agentv1.PushXComRequest) (*agentv1.PushXComResponse, error) {
	return pass(ctx, r, "PushXCom", in, &agentv1.PushXComResponse{}, r.up.PushXCom)
}

// ReportState passes on.
func (r *relay) ReportState(ctx context.Context, in *agentv1.ReportStateRequest) (*agentv1.ReportStateResponse, error) {
	return pass(ctx, r, "ReportState", in, &agentv1.ReportStateResponse{}, r.up.ReportState)
}

// Heartbeat passes on.
func (r *relay) Heartbeat(ctx context.Context, in *agentv1.HeartbeatRequest) (*agentv1.HeartbeatResponse, error) {
	return pass(ctx, r, "Heartbeat", in, &agentv1.HeartbeatResponse{}, r.up.Heartbeat)
}

// GetVariables passes on.
func (r *relay) GetVariables(ctx context.Context, in *agentv1.GetVariablesRequest) (*agentv1.GetVariablesResponse, error) {
	return pass(ctx, r, "GetVariables", in, &agentv1.GetVariablesResponse{}, r.up.GetVariables)
}

// GetConnections passes on.
func (r *relay) GetConnections(ctx context.Context, in *agentv1.GetConnectionsRequest) (*agentv1.GetConnectionsResponse, error) {
	return pass(ctx, r, "GetConnections", in, &agentv1.GetConnectionsResponse{}, r.up.GetConnections)
}

// StreamLogs passes lines on, and acknowledgements back.
func (r *relay) StreamLogs(down agentv1.AgentService_StreamLogsServer) error {
	ctx, cancel := context.WithCancel(onward(down.Context()))
	defer cancel()
	up, err := r.up.StreamLogs(ctx)
	for _, text := range r.mutant.saysFirst {
		if err == nil {
			err = up.Send(&agentv1.LogLine{Stream: "agent", Level: agentv1.LogLevel_LOG_LEVEL_DEBUG, Message: text})
		}
	}
	if err == nil {
		lines := make(chan error, 1)
		go func() { lines <- r.lines(down, up) }()
		err = r.acks(down, up)
	}
	if r.mutant.logs != nil {
		return r.mutant.logs(r, err)
	}
	return err
}

func (r *relay) lines(down agentv1.AgentService_StreamLogsServer, up agentv1.AgentService_StreamLogsClient) error {
	for {
		line, err := down.Recv()
		if errors.Is(err, io.EOF) {
			return up.CloseSend()
		}
		if err != nil {
			return err
		}
		if r.mutant.ackAll {
			ack := &agentv1.LogAck{Stream: line.GetStream(), AcknowledgedThroughLine: line.GetLineNumber()}
			if err := down.Send(ack); err != nil {
				return err
			}
		}
		if r.mutant.line != nil {
			if line = r.mutant.line(r, line); line == nil {
				continue
			}
		}
		if err := up.Send(line); err != nil {
			return err
		}
	}
}

func (r *relay) acks(down agentv1.AgentService_StreamLogsServer, up agentv1.AgentService_StreamLogsClient) error {
	for {
		ack, err := up.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if r.mutant.ackAll { // only one may send
			continue
		}
		if err := down.Send(ack); err != nil {
			return err
		}
	}
}
