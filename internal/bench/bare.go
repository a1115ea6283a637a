package bench

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
)

// bare answers every call at once, and does nothing else: what the transport allows.
type bare struct {
	agentv1.UnimplementedAgentServiceServer
	spec *agentv1.TaskSpec
}

// NewBare is a server of AgentService with empty handlers and no interceptors, whose
// replies are as large as those of a real one. It is only fair with the options for the
// transport that the real one has.
func NewBare(spec *agentv1.TaskSpec, transport ...grpc.ServerOption) *grpc.Server {
	s := grpc.NewServer(transport...)
	agentv1.RegisterAgentServiceServer(s, &bare{spec: spec})
	return s
}

// Heartbeat implements AgentService.
func (*bare) Heartbeat(context.Context, *agentv1.HeartbeatRequest) (*agentv1.HeartbeatResponse, error) {
	return &agentv1.HeartbeatResponse{ServerTime: timestamppb.Now()}, nil
}

// ReportState implements AgentService.
func (*bare) ReportState(context.Context, *agentv1.ReportStateRequest) (*agentv1.ReportStateResponse, error) {
	return &agentv1.ReportStateResponse{Acknowledged: true}, nil
}

// GetTaskSpec implements AgentService.
func (b *bare) GetTaskSpec(context.Context, *agentv1.GetTaskSpecRequest) (*agentv1.TaskSpec, error) {
	return b.spec, nil
}

// PushXCom implements AgentService.
func (*bare) PushXCom(context.Context, *agentv1.PushXComRequest) (*agentv1.PushXComResponse, error) {
	return &agentv1.PushXComResponse{Accepted: true}, nil
}

// FetchXCom implements AgentService.
func (*bare) FetchXCom(context.Context, *agentv1.FetchXComRequest) (*agentv1.FetchXComResponse, error) {
	return &agentv1.FetchXComResponse{Value: value, ContentType: "application/json"}, nil
}

// StreamLogs implements AgentService: it acknowledges each line.
func (*bare) StreamLogs(stream agentv1.AgentService_StreamLogsServer) error {
	for {
		got, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := stream.Send(&agentv1.LogAck{AcknowledgedThroughLine: got.GetLineNumber(), Stream: got.GetStream()}); err != nil {
			return err
		}
	}
}
