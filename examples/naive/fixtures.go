package main

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	policyv1 "github.com/neochaotic/leoflow/gen/leoflow/policy/v1"
)

// adapter prepares what the conformance suite needs, and looks behind the wire. What the
// server lacks it says honestly: what is UNIMPLEMENTED, and that nothing is recorded.
type adapter struct {
	conformancev1.UnimplementedFixtureServiceServer

	*server
	plaintextSecrets bool // whoever runs it allowed them
}

func (a *adapter) GetCapabilities(context.Context, *conformancev1.GetCapabilitiesRequest) (*conformancev1.GetCapabilitiesResponse, error) {
	return &conformancev1.GetCapabilitiesResponse{
		Server: "naive", Abilities: []string{"cancel", "secrets"}, XcomMaxBytes: maxValue, PlaintextSecrets: a.plaintextSecrets,
	}, nil
}

func (a *adapter) PrepareRun(_ context.Context, req *conformancev1.PrepareRunRequest) (*conformancev1.PrepareRunResponse, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, task := range req.GetTasks() {
		name := keyOf(req.GetTenantId(), req.GetDagId(), req.GetRunId(), task.GetSpec().GetTaskId())
		a.specs[name] = task.GetSpec()
		a.instances[name] = task.GetTaskInstanceId()
	}
	return &conformancev1.PrepareRunResponse{}, nil
}

// states are what is said of an attempt in a state.
var states = map[agentv1.TaskState]policyv1.TaskState{
	agentv1.TaskState_TASK_STATE_UNSPECIFIED: policyv1.TaskState_TASK_STATE_QUEUED,
	agentv1.TaskState_TASK_STATE_RUNNING:     policyv1.TaskState_TASK_STATE_RUNNING,
	agentv1.TaskState_TASK_STATE_SUCCESS:     policyv1.TaskState_TASK_STATE_SUCCESS,
	agentv1.TaskState_TASK_STATE_FAILED:      policyv1.TaskState_TASK_STATE_FAILED,
	agentv1.TaskState_TASK_STATE_SKIPPED:     policyv1.TaskState_TASK_STATE_SKIPPED,
}

func (a *adapter) PrepareAttempt(_ context.Context, req *conformancev1.PrepareAttemptRequest) (*conformancev1.PrepareAttemptResponse, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	ref := req.GetTask()
	name := keyOf(ref.GetTenantId(), ref.GetDagId(), ref.GetRunId(), ref.GetTaskId())
	if a.specs[name] == nil {
		return nil, status.Error(codes.NotFound, "the run has no such task")
	}
	a.tries[name]++
	ref.TryNumber, ref.TaskInstanceId = a.tries[name], a.instances[name]
	launched := &attempt{}
	for reported, state := range states {
		if state == req.GetState() {
			launched.state = reported
		}
	}
	if launched.state != agentv1.TaskState_TASK_STATE_UNSPECIFIED {
		launched.started = timestamppb.Now()
	}
	if launched.state > agentv1.TaskState_TASK_STATE_RUNNING {
		launched.ended = launched.started
	}
	a.attempts[attemptKey(ref)] = launched
	token, err := a.sign(claimsOf(ref), jwt.SigningMethodHS256, a.key)
	return &conformancev1.PrepareAttemptResponse{Attempt: ref, Token: token}, err
}

func attemptKey(ref *conformancev1.AttemptRef) string {
	return keyOf(ref.GetTenantId(), ref.GetDagId(), ref.GetRunId(), ref.GetTaskId(), ref.GetTryNumber())
}

func claimsOf(ref *conformancev1.AttemptRef) jwt.MapClaims {
	now := time.Now()
	return jwt.MapClaims{
		"iss": "leoflow", "aud": "leoflow-agent", "sub": ref.GetTaskInstanceId(), "tenant_id": ref.GetTenantId(),
		"dag_id": ref.GetDagId(), "run_id": ref.GetRunId(), "task_id": ref.GetTaskId(), "try_number": ref.GetTryNumber(),
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}
}

func (a *adapter) sign(claims jwt.MapClaims, method jwt.SigningMethod, key any) (string, error) {
	return jwt.NewWithClaims(method, claims).SignedString(key)
}

// lacking is the claim that a defect leaves out.
var lacking = map[conformancev1.TokenDefect]string{
	conformancev1.TokenDefect_TOKEN_DEFECT_NO_EXPIRY:        "exp",
	conformancev1.TokenDefect_TOKEN_DEFECT_NO_TASK_INSTANCE: "sub",
	conformancev1.TokenDefect_TOKEN_DEFECT_NO_TENANT:        "tenant_id",
	conformancev1.TokenDefect_TOKEN_DEFECT_NO_DAG:           "dag_id",
	conformancev1.TokenDefect_TOKEN_DEFECT_NO_RUN:           "run_id",
	conformancev1.TokenDefect_TOKEN_DEFECT_NO_TASK:          "task_id",
	conformancev1.TokenDefect_TOKEN_DEFECT_NO_TRY:           "try_number",
}

func (a *adapter) MintToken(_ context.Context, req *conformancev1.MintTokenRequest) (*conformancev1.MintTokenResponse, error) {
	claims, method, key := claimsOf(req.GetAttempt()), jwt.SigningMethod(jwt.SigningMethodHS256), any(a.key)
	hours := func(n time.Duration) int64 { return time.Now().Add(n * time.Hour).Unix() }
	switch defect := req.GetDefect(); defect {
	case conformancev1.TokenDefect_TOKEN_DEFECT_UNSPECIFIED:
	case conformancev1.TokenDefect_TOKEN_DEFECT_EXPIRED:
		claims["iat"], claims["exp"] = hours(-2), hours(-1)
	case conformancev1.TokenDefect_TOKEN_DEFECT_NOT_YET_VALID:
		claims["nbf"], claims["exp"] = hours(1), hours(2)
	case conformancev1.TokenDefect_TOKEN_DEFECT_WRONG_KEY:
		key = []byte("somebody else's key, of 32 bytes")
	case conformancev1.TokenDefect_TOKEN_DEFECT_ALGORITHM_NONE:
		method, key = jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType
	case conformancev1.TokenDefect_TOKEN_DEFECT_OTHER_ALGORITHM:
		method = jwt.SigningMethodHS512
	case conformancev1.TokenDefect_TOKEN_DEFECT_OTHER_ISSUER:
		claims["iss"] = "somebody-else"
	case conformancev1.TokenDefect_TOKEN_DEFECT_OTHER_AUDIENCE:
		claims["aud"] = "somebody-else"
	case conformancev1.TokenDefect_TOKEN_DEFECT_TRY_ZERO:
		claims["try_number"] = 0
	default:
		if lacking[defect] == "" {
			return nil, status.Errorf(codes.Unimplemented, "no token is %s", defect)
		}
		delete(claims, lacking[defect])
	}
	token, err := a.sign(claims, method, key)
	return &conformancev1.MintTokenResponse{Token: token}, err
}

// with calls f with an attempt.
func (a *adapter) with(ref *conformancev1.AttemptRef, f func(*attempt)) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	found := a.attempts[attemptKey(ref)]
	if found == nil {
		return status.Error(codes.NotFound, "there is no such attempt")
	}
	f(found)
	return nil
}

func (a *adapter) CancelAttempt(_ context.Context, req *conformancev1.CancelAttemptRequest) (*conformancev1.CancelAttemptResponse, error) {
	return &conformancev1.CancelAttemptResponse{}, a.with(req.GetAttempt(), func(found *attempt) { found.cancelled = true })
}

func (a *adapter) SettleAttempt(_ context.Context, req *conformancev1.SettleAttemptRequest) (*conformancev1.SettleAttemptResponse, error) {
	return &conformancev1.SettleAttemptResponse{}, a.with(req.GetAttempt(), func(found *attempt) {
		found.state, found.ended = agentv1.TaskState_TASK_STATE_FAILED, timestamppb.Now()
	})
}

func (a *adapter) PutSecrets(_ context.Context, req *conformancev1.PutSecretsRequest) (*conformancev1.PutSecretsResponse, error) {
	if req.GetScope() == conformancev1.FixtureScope_FIXTURE_SCOPE_DECLARED {
		return nil, status.Error(codes.Unimplemented, "every task gets all secrets of its tenant")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.variables[req.GetTenantId()] = req.GetVariables()
	a.connections[req.GetTenantId()] = req.GetConnections()
	return &conformancev1.PutSecretsResponse{}, nil
}

func (a *adapter) GetAttempt(_ context.Context, req *conformancev1.GetAttemptRequest) (*conformancev1.GetAttemptResponse, error) {
	out := &conformancev1.GetAttemptResponse{}
	return out, a.with(req.GetAttempt(), func(found *attempt) {
		out.State, out.ExitCode, out.ErrorMessage = states[found.state], found.exitCode, found.message
		out.StartedAt, out.EndedAt, out.HeartbeatAt, out.CancelRequested = found.started, found.ended, found.beat, found.cancelled
	})
}

func (a *adapter) GetValue(_ context.Context, req *conformancev1.GetValueRequest) (*conformancev1.GetValueResponse, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	task := req.GetTask()
	value, ok := a.values[valueKey(task.GetDagId(), task.GetRunId(), task.GetTaskId(), req.GetKey())]
	if !ok {
		return nil, status.Error(codes.NotFound, "there is no such value")
	}
	return &conformancev1.GetValueResponse{Value: value}, nil
}

func (a *adapter) GetLog(_ context.Context, req *conformancev1.GetLogRequest) (*conformancev1.GetLogResponse, error) {
	out := &conformancev1.GetLogResponse{}
	return out, a.with(req.GetAttempt(), func(found *attempt) {
		for line := range strings.Lines(found.log.String()) {
			record := &controlv1.LogRecord{Message: strings.TrimSuffix(line, "\n")}
			if parts := strings.SplitN(record.GetMessage(), "\t", 3); len(parts) == 3 {
				record.Stream, record.Message = parts[0], parts[2]
				record.LineNumber, _ = strconv.ParseInt(parts[1], 10, 64) // 0: whoever forged the line wrote no number
			}
			out.Records = append(out.Records, record)
		}
	})
}

func (a *adapter) ListDeliveries(context.Context, *conformancev1.ListDeliveriesRequest) (*conformancev1.ListDeliveriesResponse, error) {
	return &conformancev1.ListDeliveriesResponse{}, nil // nothing is recorded
}
