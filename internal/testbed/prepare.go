package testbed

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/policy"
	"github.com/neochaotic/leoflow/internal/secrets"
	"github.com/neochaotic/leoflow/internal/xcom"
)

const (
	// actor is who the audit says prepared a fixture.
	actor domain.Actor = "conformance"
	// tokenLife is that of a token that is made for itself, not with an attempt.
	tokenLife = time.Hour
)

func randomID() string { return uuid.NewString() }

// GetCapabilities implements FixtureService.
func (b *Bed) GetCapabilities(context.Context, *conformancev1.GetCapabilitiesRequest) (*conformancev1.GetCapabilitiesResponse, error) {
	return &conformancev1.GetCapabilitiesResponse{
		Server:       "leoflow",
		Abilities:    []string{"cancel", "declared_scope", "operator", "renewal", "resume", "schema", "secrets"},
		Faults:       bedFaults,
		Clock:        true,
		XcomMaxBytes: xcom.MaxSizeBytes,
		XcomTtl:      durationpb.New(xcom.DefaultTTL),
		LogGrace:     durationpb.New(domain.LogGrace),
		// The least that the server's transport takes.
		MaxMessageBytes: 4 << 20,
		PushesOverRate:  pushesOverRate,
		HandshakeWithin: durationpb.New(handshakeWithin),
	}, nil
}

// PrepareRun implements FixtureService.
func (b *Bed) PrepareRun(ctx context.Context, req *conformancev1.PrepareRunRequest) (*conformancev1.PrepareRunResponse, error) {
	run := domain.NewRun{RunKey: domain.RunKey{DagID: req.GetDagId(), RunID: req.GetRunId()}, DagVersion: req.GetDagVersion()}
	var given []string
	for _, task := range req.GetTasks() {
		definition, err := definitionOf(task)
		if err != nil {
			return nil, err
		}
		run.Tasks = append(run.Tasks, definition)
		id := task.GetTaskInstanceId()
		if id == "" {
			id = randomID()
		}
		given = append(given, id)
	}
	b.ids.making.Lock()
	defer b.ids.making.Unlock()
	b.ids.give(given)
	defer b.ids.give(nil)
	_, created, err := b.server.Store().CreateRun(domain.WithTenant(ctx, req.GetTenantId()), run)
	if err == nil && !created {
		err = status.Error(codes.AlreadyExists, "the run is there already")
	}
	return &conformancev1.PrepareRunResponse{}, err
}

func definitionOf(task *conformancev1.FixtureTask) (domain.TaskDefinition, error) {
	spec := task.GetSpec()
	inputs := map[string][]string{}
	for parameter, sources := range spec.GetXcomInputMapping() {
		inputs[parameter] = sources.GetTaskIds()
	}
	var schema map[string]any
	if text := task.GetReturnSchemaJson(); text != "" {
		if err := json.Unmarshal([]byte(text), &schema); err != nil {
			return domain.TaskDefinition{}, status.Errorf(codes.InvalidArgument, "return_schema_json: %v", err)
		}
	}
	if len(spec.GetExtra().GetFields()) > 0 {
		return domain.TaskDefinition{}, status.Error(codes.Unimplemented, "specifications have no extra")
	}
	return domain.TaskDefinition{
		TaskID: spec.GetTaskId(),
		Spec: domain.TaskSpec{
			Operator: spec.GetOperator(), Entrypoint: spec.GetEntrypoint(), Environment: spec.GetEnvironment(),
			XComInputMapping: inputs, XComSchema: schema,
			TimeoutSeconds: int(spec.GetExecutionTimeoutSeconds()), CallArgsJSON: spec.GetCallArgsJson(),
		},
		Variables: task.GetVariables(), Connections: task.GetConnections(),
	}, nil
}

func taskKey(ref *conformancev1.AttemptRef) domain.TaskKey {
	return domain.TaskKey{RunKey: domain.RunKey{DagID: ref.GetDagId(), RunID: ref.GetRunId()}, TaskID: ref.GetTaskId()}
}

func identityOf(ref *conformancev1.AttemptRef) auth.AgentIdentity {
	return auth.AgentIdentity{
		TaskInstanceID: ref.GetTaskInstanceId(), TenantID: ref.GetTenantId(), DagID: ref.GetDagId(),
		RunID: ref.GetRunId(), TaskID: ref.GetTaskId(), TryNumber: int(ref.GetTryNumber()),
	}
}

// PrepareAttempt implements FixtureService.
func (b *Bed) PrepareAttempt(ctx context.Context, req *conformancev1.PrepareAttemptRequest) (*conformancev1.PrepareAttemptResponse, error) {
	ref := req.GetTask()
	ctx = domain.WithTenant(ctx, ref.GetTenantId())
	state, ok := policy.StateFromProto(req.GetState())
	if !ok || !state.Live() && !state.Terminal() || state == domain.TaskStateUpstreamFailed {
		return nil, status.Errorf(codes.InvalidArgument, "state %s is none of an attempt", req.GetState())
	}
	before, err := b.server.Store().ListAttempts(ctx, taskKey(ref), 0, 1)
	if err != nil {
		return nil, err
	}
	try := 1
	if len(before) > 0 {
		try = before[0].Ref.TryNumber + 1
	}
	launched, err := b.server.Store().LaunchAttempt(ctx, taskKey(ref), domain.NewAttempt{Try: try, Supersede: true})
	if err != nil {
		return nil, err
	}
	id := auth.IdentityOf(launched.Ref)
	if err := b.bring(ctx, id, state); err != nil {
		return nil, err
	}
	token, _, err := b.server.Tokens().MintAttempt(id, launched.QueuedAt, launched.Timeout)
	if err != nil {
		return nil, err
	}
	return &conformancev1.PrepareAttemptResponse{Token: token, Attempt: &conformancev1.AttemptRef{
		TenantId: id.TenantID, DagId: id.DagID, RunId: id.RunID, TaskId: id.TaskID,
		TaskInstanceId: id.TaskInstanceID, TryNumber: int32(id.TryNumber), //nolint:gosec // a try of a test
	}}, nil
}

// bring takes a queued attempt to a state, through RUNNING.
func (b *Bed) bring(ctx context.Context, id auth.AgentIdentity, to domain.TaskState) error {
	if to == domain.TaskStateQueued {
		return nil
	}
	err := b.server.Store().ReportState(ctx, id, domain.TaskStateRunning, 0, "")
	if err == nil && to != domain.TaskStateRunning {
		err = b.server.Store().ReportState(ctx, id, to, 0, "")
	}
	return err
}

// CancelAttempt implements FixtureService.
func (b *Bed) CancelAttempt(ctx context.Context, req *conformancev1.CancelAttemptRequest) (*conformancev1.CancelAttemptResponse, error) {
	ctx = domain.WithTenant(ctx, req.GetAttempt().GetTenantId())
	got, err := b.server.Store().CancelTask(ctx, taskKey(req.GetAttempt()), req.GetWithin().AsDuration())
	if err == nil && got.StopBy.IsZero() {
		err = status.Error(codes.FailedPrecondition, "the attempt is not live")
	}
	return &conformancev1.CancelAttemptResponse{}, err
}

// SettleAttempt implements FixtureService.
func (b *Bed) SettleAttempt(ctx context.Context, req *conformancev1.SettleAttemptRequest) (*conformancev1.SettleAttemptResponse, error) {
	ref := req.GetAttempt()
	ctx = domain.WithTenant(ctx, ref.GetTenantId())
	cause := domain.Cause(strings.ToLower(strings.TrimPrefix(req.GetCause().String(), "CAUSE_")))
	_, settled, err := b.server.Store().SettleAttempt(ctx, taskKey(ref), int(ref.GetTryNumber()),
		domain.Settlement{State: domain.TaskStateFailed, Cause: cause})
	if err == nil && !settled {
		err = status.Error(codes.FailedPrecondition, "the attempt is settled already")
	}
	return &conformancev1.SettleAttemptResponse{}, err
}

// PutSecrets implements FixtureService.
func (b *Bed) PutSecrets(ctx context.Context, req *conformancev1.PutSecretsRequest) (*conformancev1.PutSecretsResponse, error) {
	ctx = domain.WithTenant(ctx, req.GetTenantId())
	var errs []error
	for key, value := range req.GetVariables() {
		errs = append(errs, b.server.Store().PutVariable(ctx, actor, key, value))
	}
	for id, uri := range req.GetConnections() {
		errs = append(errs, b.server.Store().PutConnection(ctx, actor, id, uri))
	}
	switch req.GetScope() {
	case conformancev1.FixtureScope_FIXTURE_SCOPE_TENANT:
		errs = append(errs, b.server.Store().SetSecretScope(ctx, actor, secrets.ScopeTenant))
	case conformancev1.FixtureScope_FIXTURE_SCOPE_DECLARED:
		errs = append(errs, b.server.Store().SetSecretScope(ctx, actor, secrets.ScopeDeclared))
	}
	return &conformancev1.PutSecretsResponse{}, errors.Join(errs...)
}

// causeToProto is the wire's word for a cause.
func causeToProto(c domain.Cause) controlv1.Cause {
	return controlv1.Cause(controlv1.Cause_value["CAUSE_"+strings.ToUpper(string(c))])
}
