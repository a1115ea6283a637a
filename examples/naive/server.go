package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/golang-jwt/jwt/v5"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
)

// maxValue is the limit of a value that is pushed, in bytes.
const maxValue = 256 << 10

// server is the control plane: all that it knows is in maps.
type server struct {
	agentv1.UnimplementedAgentServiceServer

	key []byte // of the tokens

	mu          sync.Mutex
	specs       map[string]*agentv1.TaskSpec // by tenant, DAG, run and task
	instances   map[string]string            // likewise: the id of the task instance
	tries       map[string]int32             // likewise: the newest
	attempts    map[string]*attempt          // by tenant, DAG, run, task and try
	values      map[string][]byte            // by DAG, run, task and key
	variables   map[string]map[string]string // by tenant
	connections map[string]map[string]string // by tenant
}

// attempt is one try of a task. Its state is UNSPECIFIED until something is reported.
type attempt struct {
	state                agentv1.TaskState
	exitCode             int32
	message              string
	started, ended, beat *timestamppb.Timestamp
	cancelled            bool
	log                  strings.Builder
}

// claims are what a token says.
type claims struct {
	jwt.RegisteredClaims
	Tenant string `json:"tenant_id,omitempty"`
	DAG    string `json:"dag_id,omitempty"`
	Run    string `json:"run_id,omitempty"`
	Task   string `json:"task_id,omitempty"`
	Try    *int32 `json:"try_number,omitempty"`
}

func newServer(key []byte) *server {
	return &server{
		key: key, specs: map[string]*agentv1.TaskSpec{}, instances: map[string]string{}, tries: map[string]int32{}, attempts: map[string]*attempt{},
		values: map[string][]byte{}, variables: map[string]map[string]string{}, connections: map[string]map[string]string{},
	}
}

func keyOf(parts ...any) string { return fmt.Sprintf("%q", parts) }

// caller is who calls, by the token.
func (s *server) caller(ctx context.Context) (*claims, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	token := strings.TrimPrefix(strings.Join(md.Get("authorization"), ""), "Bearer ")
	c := &claims{}
	if _, err := jwt.ParseWithClaims(token, c, func(*jwt.Token) (any, error) { return s.key, nil }); err != nil {
		return nil, status.Error(codes.Unauthenticated, err.Error())
	}
	if c.Try == nil {
		c.Try = new(int32)
	}
	return c, nil
}

// calling is who calls, and its attempt. Once it returns without an error the server is
// locked.
func (s *server) calling(ctx context.Context) (*claims, *attempt, error) {
	c, err := s.caller(ctx)
	if err != nil {
		return nil, nil, err
	}
	s.mu.Lock()
	a := s.attempts[keyOf(c.Tenant, c.DAG, c.Run, c.Task, *c.Try)]
	if a == nil {
		s.mu.Unlock()
		return nil, nil, status.Errorf(codes.NotFound, "attempt %s (%s) is not in the map", c.Subject, c.Task)
	}
	return c, a, nil
}

func (s *server) Register(ctx context.Context, _ *agentv1.RegisterRequest) (*agentv1.RegisterResponse, error) {
	c, _, err := s.calling(ctx)
	if err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	return &agentv1.RegisterResponse{SessionId: c.Subject, ServerTime: timestamppb.Now()}, nil
}

func (s *server) GetTaskSpec(ctx context.Context, _ *agentv1.GetTaskSpecRequest) (*agentv1.TaskSpec, error) {
	c, _, err := s.calling(ctx)
	if err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	spec := proto.CloneOf(s.specs[keyOf(c.Tenant, c.DAG, c.Run, c.Task)])
	spec.TenantId, spec.DagId, spec.RunId, spec.TryNumber = c.Tenant, c.DAG, c.Run, *c.Try
	return spec, nil
}

func (s *server) FetchXCom(ctx context.Context, req *agentv1.FetchXComRequest) (*agentv1.FetchXComResponse, error) {
	c, _, err := s.calling(ctx)
	if err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	value, ok := s.values[valueKey(c.DAG, c.Run, req.GetUpstreamTaskId(), req.GetKey())]
	if !ok {
		return nil, status.Errorf(codes.NotFound, "select value from xcom where task=%q: no rows", req.GetUpstreamTaskId())
	}
	return &agentv1.FetchXComResponse{Value: value}, nil
}

func valueKey(dag, run, task, key string) string {
	if key == "" {
		key = "return_value"
	}
	return keyOf(dag, run, task, key)
}

func (s *server) PushXCom(ctx context.Context, req *agentv1.PushXComRequest) (*agentv1.PushXComResponse, error) {
	c, _, err := s.calling(ctx)
	if err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	if len(req.GetValue()) > maxValue {
		return nil, status.Errorf(codes.InvalidArgument, "a value of %d bytes is too large", len(req.GetValue()))
	}
	s.values[valueKey(c.DAG, c.Run, c.Task, req.GetKey())] = req.GetValue()
	return &agentv1.PushXComResponse{Accepted: true}, nil
}

func (s *server) StreamLogs(stream agentv1.AgentService_StreamLogsServer) error {
	for {
		line, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		_, a, err := s.calling(stream.Context())
		if err != nil {
			return err
		}
		fmt.Fprintf(&a.log, "%s\t%d\t%s\n", line.GetStream(), line.GetLineNumber(), line.GetMessage())
		s.mu.Unlock()
	}
}

func (s *server) ReportState(ctx context.Context, req *agentv1.ReportStateRequest) (*agentv1.ReportStateResponse, error) {
	_, a, err := s.calling(ctx)
	if err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	at := req.GetOccurredAt()
	if at == nil {
		at = timestamppb.Now()
	}
	a.state, a.exitCode, a.message = req.GetState(), req.GetExitCode(), req.GetErrorMessage()
	if a.state == agentv1.TaskState_TASK_STATE_RUNNING {
		a.started = at
	} else {
		a.ended = at
	}
	return &agentv1.ReportStateResponse{Acknowledged: true}, nil
}

func (s *server) Heartbeat(ctx context.Context, req *agentv1.HeartbeatRequest) (*agentv1.HeartbeatResponse, error) {
	_, a, err := s.calling(ctx)
	if err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	a.beat = req.GetSentAt()
	return &agentv1.HeartbeatResponse{ShouldTerminate: a.cancelled, ServerTime: timestamppb.Now()}, nil
}

func (s *server) GetVariables(ctx context.Context, _ *agentv1.GetVariablesRequest) (*agentv1.GetVariablesResponse, error) {
	c, err := s.caller(ctx)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return &agentv1.GetVariablesResponse{Variables: s.variables[c.Tenant]}, nil
}

func (s *server) GetConnections(ctx context.Context, _ *agentv1.GetConnectionsRequest) (*agentv1.GetConnectionsResponse, error) {
	c, err := s.caller(ctx)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return &agentv1.GetConnectionsResponse{ConnectionUris: s.connections[c.Tenant]}, nil
}
