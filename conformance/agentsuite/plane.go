package agentsuite

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"

	"github.com/neochaotic/leoflow/conformance/suite"
)

// maxMessage is the largest message that the plane takes, in bytes.
const maxMessage = 16 << 20

// shownLines is how many log lines of a scene go into the evidence.
const shownLines = 60

// call is one that the plane is about to answer.
type call struct {
	ctx context.Context
	n   int           // which of its method, from 1; of StreamLogs, which stream
	in  proto.Message // of StreamLogs: a line, or nil as the stream is opened
	out proto.Message // the answer as it would be, for a hook to change; of StreamLogs: none

	lines int                                      // of StreamLogs: which line of this stream, from 1
	ack   func(stream string, through int64) error // of StreamLogs
}

// hook has a say in an answer: it may wait, change it, or return an error instead.
type hook func(*call) error

// plane is a control plane that answers by a script and records what it is asked.
type plane struct {
	agentv1.UnimplementedAgentServiceServer
	t      *suite.T
	record *record

	// The script: set before the agent is launched.
	spec                   *agentv1.TaskSpec
	values                 map[string][]byte // by upstream task; those that are not there are NOT_FOUND
	variables, connections map[string]string
	hooks                  map[string]hook // by method
	noAcks                 bool            // hooks alone acknowledge lines

	door  *door
	creds credentials.TransportCredentials // nil: plaintext

	mu      sync.Mutex
	server  *grpc.Server // nil: it is down
	serving sync.WaitGroup
	shown   int // log lines that are in the evidence
}

// up serves; it is down before.
func (p *plane) up() {
	p.mu.Lock()
	defer p.mu.Unlock()
	options := []grpc.ServerOption{grpc.MaxRecvMsgSize(maxMessage), grpc.MaxSendMsgSize(maxMessage)}
	if p.creds != nil {
		options = append(options, grpc.Creds(p.creds))
	}
	server := grpc.NewServer(options...)
	p.server = server
	agentv1.RegisterAgentServiceServer(p.server, p)
	listener := p.door.open()
	p.serving.Go(func() { _ = server.Serve(listener) }) // it ends when it is stopped
}

// down ends every connection, and takes none until it is up again.
func (p *plane) down() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.server != nil {
		p.server.Stop()
		p.server = nil
	}
}

// close is down for good.
func (p *plane) close() {
	p.down()
	p.door.close()
	p.serving.Wait()
}

func tokenOf(ctx context.Context) string {
	md, _ := metadata.FromIncomingContext(ctx)
	return strings.Join(md.Get("authorization"), ", ")
}

// answer records a call, lets the hook have its say, and keeps both as evidence.
func answer[Q, R proto.Message](ctx context.Context, p *plane, method string, in Q, out R) (R, error) {
	n := p.record.add(moment{method: method, token: tokenOf(ctx), in: in})
	if method == reportState {
		p.t.Note("the agent reports %v", any(in).(*agentv1.ReportStateRequest).GetState())
	}
	var err error
	if h := p.hooks[method]; h != nil {
		err = h(&call{ctx: ctx, n: n, in: in, out: out})
	}
	step := suite.Step{What: "the agent calls " + method, RPC: rpcOf(method), Received: in, Err: err}
	if err == nil {
		step.Sent = out
	}
	p.t.Record(step)
	if err != nil {
		var none R
		return none, err
	}
	return out, nil
}

// Register implements the service, as the methods that follow do.
func (p *plane) Register(ctx context.Context, in *agentv1.RegisterRequest) (*agentv1.RegisterResponse, error) {
	return answer(ctx, p, register, in, &agentv1.RegisterResponse{SessionId: "session", ServerTime: timestamppb.Now()})
}

// GetTaskSpec answers with the script's.
func (p *plane) GetTaskSpec(ctx context.Context, in *agentv1.GetTaskSpecRequest) (*agentv1.TaskSpec, error) {
	return answer(ctx, p, getTaskSpec, in, proto.CloneOf(p.spec))
}

// FetchXCom answers with the value of the task, if there is one.
func (p *plane) FetchXCom(ctx context.Context, in *agentv1.FetchXComRequest) (*agentv1.FetchXComResponse, error) {
	value, found := p.values[in.GetUpstreamTaskId()]
	if !found && p.hooks[fetchXCom] == nil {
		err := status.Error(codes.NotFound, "there is no such value")
		p.record.add(moment{method: fetchXCom, token: tokenOf(ctx), in: in})
		p.t.Record(suite.Step{What: "the agent calls FetchXCom", RPC: rpcOf(fetchXCom), Received: in, Err: err})
		return nil, err
	}
	return answer(ctx, p, fetchXCom, in, &agentv1.FetchXComResponse{
		Value: value, ContentType: "application/json", SizeBytes: int32(min(len(value), maxMessage)),
		CreatedAt: timestamppb.Now(),
	})
}

// PushXCom accepts.
func (p *plane) PushXCom(ctx context.Context, in *agentv1.PushXComRequest) (*agentv1.PushXComResponse, error) {
	return answer(ctx, p, pushXCom, in, &agentv1.PushXComResponse{Accepted: true, TtlSeconds: 3600})
}

// ReportState acknowledges.
func (p *plane) ReportState(ctx context.Context, in *agentv1.ReportStateRequest) (*agentv1.ReportStateResponse, error) {
	return answer(ctx, p, reportState, in, &agentv1.ReportStateResponse{Acknowledged: true})
}

// Heartbeat tells to go on, and asks for no interval.
func (p *plane) Heartbeat(ctx context.Context, in *agentv1.HeartbeatRequest) (*agentv1.HeartbeatResponse, error) {
	return answer(ctx, p, heartbeat, in, &agentv1.HeartbeatResponse{ServerTime: timestamppb.Now()})
}

// GetVariables answers with the script's.
func (p *plane) GetVariables(ctx context.Context, in *agentv1.GetVariablesRequest) (*agentv1.GetVariablesResponse, error) {
	return answer(ctx, p, getVariables, in, &agentv1.GetVariablesResponse{Variables: p.variables})
}

// GetConnections answers with the script's.
func (p *plane) GetConnections(ctx context.Context, in *agentv1.GetConnectionsRequest) (*agentv1.GetConnectionsResponse, error) {
	return answer(ctx, p, getConnections, in, &agentv1.GetConnectionsResponse{ConnectionUris: p.connections})
}

// StreamLogs takes lines, and acknowledges all of them before it ends the stream.
func (p *plane) StreamLogs(stream agentv1.AgentService_StreamLogsServer) error {
	ctx := stream.Context()
	n := p.record.add(moment{method: streamLogs, token: tokenOf(ctx)})
	c := &call{ctx: ctx, n: n, ack: func(of string, through int64) error {
		ack := &agentv1.LogAck{Stream: of, AcknowledgedThroughLine: through}
		p.t.Record(suite.Step{What: "an acknowledgement", RPC: rpcOf(streamLogs), Sent: ack})
		return stream.Send(ack)
	}}
	err := p.takeLines(c, stream)
	p.t.Record(suite.Step{What: "the log stream ends", RPC: rpcOf(streamLogs), Err: err})
	return err
}

func (p *plane) takeLines(c *call, stream agentv1.AgentService_StreamLogsServer) error {
	p.t.Record(suite.Step{What: "the agent opens a log stream", RPC: rpcOf(streamLogs)})
	through := map[string]int64{}
	for {
		if h := p.hooks[streamLogs]; h != nil {
			if err := h(c); err != nil {
				return err
			}
		}
		line, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		p.record.add(moment{method: streamLogs, n: c.n, token: tokenOf(c.ctx), in: line})
		p.show(line)
		through[line.GetStream()] = line.GetLineNumber()
		c.in, c.lines = line, c.lines+1
	}
	if p.noAcks {
		return nil
	}
	for of, last := range through {
		if err := c.ack(of, last); err != nil {
			return err
		}
	}
	return nil
}

// show puts the first lines into the evidence.
func (p *plane) show(line *agentv1.LogLine) {
	p.mu.Lock()
	p.shown++
	shown := p.shown
	p.mu.Unlock()
	if shown <= shownLines {
		p.t.Record(suite.Step{What: "a log line", RPC: rpcOf(streamLogs), Received: line})
	}
}
