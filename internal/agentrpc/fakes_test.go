package agentrpc

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/logs"
	"github.com/neochaotic/leoflow/internal/xcom"
)

var testIdentity = auth.AgentIdentity{
	TaskInstanceID: "ti-1", TenantID: "acme", DagID: "dag", RunID: "manual__2026-11-24T10:00:00+00:00", TaskID: "load", TryNumber: 2,
}

// script is what the fakes of one server do, method by method, and what they were asked.
type script struct {
	mu    sync.Mutex
	on    map[string]func(ctx context.Context) error
	calls []string
	args  map[string]any // the last arguments of a method
}

func newScript() *script {
	return &script{on: map[string]func(context.Context) error{}, args: map[string]any{}}
}

// at makes a method do something first; an error ends it.
func (s *script) at(method string, do func(ctx context.Context) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.on[method] = do
}

// fail makes a method return an error.
func (s *script) fail(method string, err error) {
	s.at(method, func(context.Context) error { return err })
}

// called notes a call and returns what the script says of it.
func (s *script) called(ctx context.Context, method string, args any) error {
	s.mu.Lock()
	s.calls = append(s.calls, method)
	s.args[method] = args
	do := s.on[method]
	s.mu.Unlock()
	if do == nil {
		return nil
	}
	return do(ctx)
}

// asked lists the methods called so far.
func (s *script) asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

func (s *script) last(method string) any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.args[method]
}

// fakeAuthn knows one token, "good".
type fakeAuthn struct{ *script }

func (f fakeAuthn) AuthenticateAgent(token string) (*auth.AgentIdentity, error) {
	if err := f.called(context.Background(), "AuthenticateAgent", token); err != nil {
		return nil, err
	}
	if token != "good" {
		return nil, errors.New(secret)
	}
	id := testIdentity
	return &id, nil
}

var testSpec = TaskSpec{
	Operator: "bash", Entrypoint: "echo hi", DagVersion: "7", TimeoutSeconds: 90, CallArgsJSON: `{"a":1}`,
	Environment:      map[string]string{"A": "b"},
	XComInputMapping: map[string][]string{"one": {"extract"}, "many": {"c", "a", "b"}},
	XComSchema:       map[string]any{"type": "string"},
}

// plainStore is a Store and nothing more.
type plainStore struct{ *script }

type reported struct {
	ID       auth.AgentIdentity
	State    domain.TaskState
	ExitCode int
	Message  string
	At       time.Time
}

func (f plainStore) TaskSpec(ctx context.Context, id auth.AgentIdentity) (TaskSpec, error) {
	if err := f.called(ctx, "TaskSpec", id); err != nil {
		return TaskSpec{}, err
	}
	return testSpec, nil
}

func (f plainStore) ReportState(ctx context.Context, id auth.AgentIdentity, state domain.TaskState, exitCode int, errMsg string) error {
	return f.called(ctx, "ReportState", reported{ID: id, State: state, ExitCode: exitCode, Message: errMsg})
}

func (f plainStore) RecordHeartbeat(ctx context.Context, id auth.AgentIdentity) error {
	return f.called(ctx, "RecordHeartbeat", id)
}

// The abilities that a store may have besides, one by one.
type (
	fakeRegistrar struct{ s *script }
	fakeReporter  struct{ s *script }
	fakeCancels   struct {
		s       *script
		stopBy  time.Time
		pending bool
	}
	fakeAdmitter struct {
		s     *script
		until func() time.Time
	}
)

func (f fakeRegistrar) RegisterAgent(ctx context.Context, _ auth.AgentIdentity, info domain.AgentInfo) error {
	return f.s.called(ctx, "RegisterAgent", info)
}

func (f fakeReporter) ReportStateAt(ctx context.Context, id auth.AgentIdentity, state domain.TaskState, exitCode int, errMsg string, at time.Time) error {
	return f.s.called(ctx, "ReportStateAt", reported{id, state, exitCode, errMsg, at})
}

func (f fakeCancels) StopBy(ctx context.Context, id auth.AgentIdentity) (time.Time, bool, error) {
	if err := f.s.called(ctx, "StopBy", id); err != nil {
		return time.Time{}, false, err
	}
	return f.stopBy, f.pending, nil
}

func (f fakeAdmitter) MayLog(ctx context.Context, id auth.AgentIdentity) (time.Time, error) {
	if err := f.s.called(ctx, "MayLog", id); err != nil {
		return time.Time{}, err
	}
	if f.until == nil {
		return time.Time{}, nil
	}
	return f.until(), nil
}

// admittingStore is a Store that knows who may log.
type admittingStore struct {
	plainStore
	fakeAdmitter
}

// richStore has every ability.
type richStore struct {
	plainStore
	fakeRegistrar
	fakeReporter
	fakeCancels
	fakeAdmitter
}

func newRichStore(s *script) *richStore {
	return &richStore{plainStore{s}, fakeRegistrar{s}, fakeReporter{s}, fakeCancels{s: s}, fakeAdmitter{s: s}}
}

// plainXCom is an XComService and nothing more.
type plainXCom struct{ *script }

type pushed struct {
	Key         xcom.Key
	Value       string
	ContentType string
	Schema      map[string]any
}

var testEntry = xcom.Entry{
	Value: []byte("v\x00\xff"), ContentType: "text/odd", SizeBytes: 3, CreatedAt: time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC),
}

func (f plainXCom) Push(ctx context.Context, key xcom.Key, value []byte, contentType string, schema map[string]any) error {
	return f.called(ctx, "Push", pushed{key, string(value), contentType, schema})
}

func (f plainXCom) Fetch(ctx context.Context, key xcom.Key) (xcom.Entry, error) {
	if err := f.called(ctx, "Fetch", key); err != nil {
		return xcom.Entry{}, err
	}
	return testEntry, nil
}

// attemptXCom keeps each attempt's values apart, besides.
type attemptXCom struct {
	plainXCom
	ttl time.Duration
}

type pushedFrom struct {
	From        domain.AttemptRef
	Name, Value string
}

type fetchedFor struct {
	By  domain.AttemptRef
	Key xcom.Key
}

func (f attemptXCom) PushFrom(ctx context.Context, from domain.AttemptRef, name string, value []byte, _ string, _ map[string]any) (time.Duration, error) {
	return f.ttl, f.called(ctx, "PushFrom", pushedFrom{from, name, string(value)})
}

func (f attemptXCom) FetchFor(ctx context.Context, by domain.AttemptRef, key xcom.Key) (xcom.Entry, error) {
	if err := f.called(ctx, "FetchFor", fetchedFor{by, key}); err != nil {
		return xcom.Entry{}, err
	}
	return testEntry, nil
}

// plainSecrets is a SecretsStore and nothing more.
type plainSecrets struct{ *script }

func (f plainSecrets) SecretVariables(ctx context.Context, tenant string) (map[string]string, error) {
	if err := f.called(ctx, "SecretVariables", tenant); err != nil {
		return nil, err
	}
	return map[string]string{"var": tenant + "-value"}, nil
}

func (f plainSecrets) SecretConnectionURIs(ctx context.Context, tenant string) (map[string]string, error) {
	if err := f.called(ctx, "SecretConnectionURIs", tenant); err != nil {
		return nil, err
	}
	return map[string]string{"conn": tenant + "://"}, nil
}

// deliveringSecrets delivers to one attempt, besides.
type deliveringSecrets struct{ plainSecrets }

func (f deliveringSecrets) DeliverVariables(ctx context.Context, id auth.AgentIdentity) (map[string]string, error) {
	if err := f.called(ctx, "DeliverVariables", id); err != nil {
		return nil, err
	}
	return map[string]string{"var": "delivered"}, nil
}

func (f deliveringSecrets) DeliverConnectionURIs(ctx context.Context, id auth.AgentIdentity) (map[string]string, error) {
	if err := f.called(ctx, "DeliverConnectionURIs", id); err != nil {
		return nil, err
	}
	return map[string]string{"conn": "delivered://"}, nil
}

// plainSink is a LogSink of one writer, which keeps events, and nothing more.
type plainSink struct{ *script }

func (f plainSink) Open(ref logs.Ref) (logs.LogWriter, error) {
	if err := f.called(context.Background(), "Open", ref); err != nil {
		return nil, err
	}
	return plainWriter(f), nil
}

type plainWriter struct{ *script }

func (f plainWriter) WriteEvent(e logs.Event) error {
	return f.called(context.Background(), "WriteEvent", e)
}

func (f plainWriter) Close() error { return f.called(context.Background(), "Close", nil) }

// fakePublisher keeps the last line.
type fakePublisher struct{ *script }

type publishedLine struct {
	Ref  logs.Ref
	Line string
}

func (f fakePublisher) Publish(ctx context.Context, ref logs.Ref, line string) error {
	return f.called(ctx, "Publish", publishedLine{ref, line})
}
