// Package storetest is the contract suite that every store runs: what the
// interfaces of internal/agentrpc, internal/xcom and the operator's side oblige it
// to, each method also from another tenant with the same names and ids.
//
// It may import the layers that a store may, and internal/store for its words.
// Only tests import it.
package storetest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/secrets"
	"github.com/neochaotic/leoflow/internal/store"
	"github.com/neochaotic/leoflow/internal/xcom"
	"github.com/neochaotic/leoflow/internal/xcom/xcomtest"
)

// Store is everything that a store does.
type Store interface {
	xcom.Repository

	TaskSpec(ctx context.Context, id auth.AgentIdentity) (domain.TaskSpec, error)
	ReportState(ctx context.Context, id auth.AgentIdentity, state domain.TaskState, exitCode int, errMsg string) error
	ReportStateAt(ctx context.Context, id auth.AgentIdentity, state domain.TaskState, exitCode int, errMsg string, at time.Time) error
	RecordHeartbeat(ctx context.Context, id auth.AgentIdentity) error
	PromptHeartbeat(ctx context.Context, id auth.AgentIdentity) (decided bool, err error)
	LoneHeartbeat(ctx context.Context, id auth.AgentIdentity) error
	Ready(ctx context.Context) error
	RegisterAgent(ctx context.Context, id auth.AgentIdentity, info domain.AgentInfo) error
	StopBy(ctx context.Context, id auth.AgentIdentity) (time.Time, bool, error)
	MayLog(ctx context.Context, id auth.AgentIdentity) (time.Time, error)

	SecretVariables(ctx context.Context, tenant string) (map[string]string, error)
	SecretConnectionURIs(ctx context.Context, tenant string) (map[string]string, error)
	DeliverVariables(ctx context.Context, id auth.AgentIdentity) (map[string]string, error)
	DeliverConnectionURIs(ctx context.Context, id auth.AgentIdentity) (map[string]string, error)

	CreateRun(ctx context.Context, r domain.NewRun) (domain.Run, bool, error)
	LaunchAttempt(ctx context.Context, key domain.TaskKey, a domain.NewAttempt) (domain.Attempt, error)
	SettleAttempt(ctx context.Context, key domain.TaskKey, try int, to domain.Settlement) (domain.Attempt, bool, error)
	SettleTask(ctx context.Context, key domain.TaskKey, state domain.TaskState) (bool, error)
	RetryTask(ctx context.Context, key domain.TaskKey, try int) (bool, error)
	CancelTask(ctx context.Context, key domain.TaskKey, within time.Duration) (domain.Cancellation, error)
	CancelRun(ctx context.Context, key domain.RunKey, within time.Duration) (domain.RunCancellation, error)
	Attempt(ctx context.Context, key domain.TaskKey, try int) (domain.Attempt, error)
	ListAttempts(ctx context.Context, key domain.TaskKey, before, limit int) ([]domain.Attempt, error)
	ListTasks(ctx context.Context, key domain.RunKey, after string, limit int) ([]domain.TaskSummary, error)
	Run(ctx context.Context, key domain.RunKey) (domain.RunSummary, error)
	ListRuns(ctx context.Context, dagID string, before int64, limit int) ([]domain.RunSummary, error)
	RunChanges(ctx context.Context, key domain.RunKey, after int64, limit int) ([]domain.TaskChange, error)
	RunChanged(ctx context.Context, key domain.RunKey) <-chan struct{}
	PutVariable(ctx context.Context, by domain.Actor, key, value string) error
	PutConnection(ctx context.Context, by domain.Actor, id, uri string) error
	DeleteVariable(ctx context.Context, by domain.Actor, key string) error
	DeleteConnection(ctx context.Context, by domain.Actor, id string) error
	ListVariables(ctx context.Context, after string, limit int) ([]domain.SecretName, error)
	ListConnections(ctx context.Context, after string, limit int) ([]domain.SecretName, error)
	SecretScope(ctx context.Context) (secrets.Scope, error)
	SetSecretScope(ctx context.Context, by domain.Actor, scope secrets.Scope) error
	ListAuditEvents(ctx context.Context, before int64, limit int) ([]domain.AuditEvent, error)
	LiveAttempts(ctx context.Context, from int64, visit func(a domain.Attempt, registered bool)) (int64, error)
	ProbeWrite(ctx context.Context, ref domain.AttemptRef) error
	ReapAttempt(ctx context.Context, seen domain.Attempt, cause domain.Cause, message string) (bool, error)
	ResealSecrets(ctx context.Context) (store.Resealed, error)
	CountSecretsNotUnder(ctx context.Context, key secrets.KeyID) (int, error)
	DeleteExpiredXCom(ctx context.Context, now time.Time, limit int) (int, error)
	Close() error
}

var _ Store = (*store.Store)(nil)

// Env is what the suite controls of a store under test.
type Env struct {
	Clock  func() time.Time
	NewID  func() string // the next id of a task instance
	Sealer store.Sealer
}

// Opener opens the store of one test with env. Called again, after the store was
// closed, it opens the same data.
type Opener func(t *testing.T, env Env) Store

// Run runs the suite. fresh gives each test, of which several run at a time, an Opener over
// data of its own.
func Run(t *testing.T, fresh func(t *testing.T) Opener) {
	for _, group := range [][]test{
		runTests, launchTests, retryTests, reportTests, livenessTests, settleTests, cancelTests, changeTests,
		listTests, secretTests, secretWriteTests, tenantTests, raceTests, durabilityTests, modelTests,
		reapTests, rotateTests,
	} {
		for _, test := range group {
			t.Run(test.name, func(t *testing.T) {
				t.Parallel() // most of the time goes into waiting for the disk
				test.run(t, newBed(t, fresh(t)))
			})
		}
	}
	t.Run("XComRepository", func(t *testing.T) {
		xcomtest.Contract(t, func(t *testing.T) xcomtest.Bed { return newBed(t, fresh(t)).forXCom(t) })
	})
}

type test struct {
	name string
	run  func(*testing.T, *bed)
}

// The tenants, with the same names and ids in both.
const (
	tenantA = xcomtest.TenantA
	tenantB = xcomtest.TenantB
)

// begin is when every test begins. It has microseconds: a store keeps them.
var begin = time.Date(2026, 11, 24, 10, 0, 0, 654_321_000, time.UTC)

// bed is a store and the world around it.
type bed struct {
	Store
	open   Opener
	env    Env
	mu     sync.Mutex
	now    time.Time
	prefix string // of the ids of the run being created
	ids    int
}

func newBed(t *testing.T, open Opener) *bed {
	t.Helper()
	keyset, err := secrets.Ephemeral()
	if err != nil {
		t.Fatal(err)
	}
	b := &bed{now: begin}
	b.open = func(t *testing.T, env Env) Store { return inTime{open(t, env)} }
	b.env = Env{Clock: b.clock, NewID: b.newID, Sealer: keyset}
	b.Store = b.open(t, b.env)
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return b
}

func (b *bed) clock() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now
}

// pass lets time go by and returns the time then.
func (b *bed) pass(d time.Duration) time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = b.now.Add(d)
	return b.now
}

func (b *bed) newID() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ids++
	return fmt.Sprintf("%s/%d", b.prefix, b.ids)
}

// create creates a run. The same run has the same task instance ids in each tenant.
func (b *bed) create(ctx context.Context, r domain.NewRun) (domain.Run, bool, error) {
	b.mu.Lock()
	b.prefix, b.ids = r.DagID+"/"+r.RunID, 0
	b.mu.Unlock()
	return b.CreateRun(ctx, r)
}

func as(tenant string) context.Context { return domain.WithTenant(context.Background(), tenant) }

var (
	theRun  = domain.RunKey{DagID: "dag.1", RunID: "manual__2026-11-24T10:00:00+00:00"}
	theTask = domain.TaskKey{RunKey: theRun, TaskID: "ä task: 1"}
)

// definition is a run of a few tasks, theTask among them.
func definition(key domain.RunKey) domain.NewRun {
	return domain.NewRun{RunKey: key, DagVersion: "v1", Tasks: []domain.TaskDefinition{
		{
			TaskID: "second in the alphabet",
			Spec:   domain.TaskSpec{Operator: "bash", Entrypoint: "true"},
		},
		{
			TaskID: theTask.TaskID,
			Spec: domain.TaskSpec{
				Operator: "python", Entrypoint: "m:f", TimeoutSeconds: 90, CallArgsJSON: `{"a": 1}`,
				Environment:      map[string]string{"A": "1", "B": ""},
				XComInputMapping: map[string][]string{"one": {"second in the alphabet"}, "many": {"z", "a", "z"}},
				XComSchema:       map[string]any{"type": "object", "title": "t"},
			},
			Variables: []string{"declared", "not stored"}, Connections: []string{"declared"},
		},
	}}
}

// launched creates the run and launches the first try of theTask.
func (b *bed) launched(t *testing.T, tenant string) auth.AgentIdentity {
	t.Helper()
	if _, _, err := b.create(as(tenant), definition(theRun)); err != nil {
		t.Fatalf("create: %v", err)
	}
	return b.launch(t, tenant, 1, false)
}

func (b *bed) launch(t *testing.T, tenant string, try int, supersede bool) auth.AgentIdentity {
	t.Helper()
	a, err := b.LaunchAttempt(as(tenant), theTask, domain.NewAttempt{Try: try, Supersede: supersede})
	if err != nil {
		t.Fatalf("launch try %d: %v", try, err)
	}
	return auth.IdentityOf(a.Ref)
}

func (b *bed) report(id auth.AgentIdentity, state domain.TaskState, code int, message string) error {
	return b.ReportState(as(id.TenantID), id, state, code, message)
}

func (b *bed) mustReport(t *testing.T, id auth.AgentIdentity, state domain.TaskState, code int, message string) {
	t.Helper()
	if err := b.report(id, state, code, message); err != nil {
		t.Fatalf("report %s: %v", state, err)
	}
}

func (b *bed) mustSettle(t *testing.T, id auth.AgentIdentity, cause domain.Cause) {
	t.Helper()
	to := domain.Settlement{State: domain.TaskStateFailed, Cause: cause, ExitCode: 9, Message: "settled"}
	if _, settled, err := b.SettleAttempt(as(id.TenantID), keyOf(id), id.TryNumber, to); err != nil || !settled {
		t.Fatalf("settle as %s: %v, %v", cause, settled, err)
	}
}

// mustCancel cancels the task, whose current try id must be.
func (b *bed) mustCancel(t *testing.T, id auth.AgentIdentity, stopBy time.Time) {
	t.Helper()
	got, err := b.CancelTask(as(id.TenantID), keyOf(id), stopBy.Sub(b.clock()))
	if err != nil || got.StopBy.IsZero() {
		t.Fatalf("cancel: %+v, %v", got, err)
	}
}

func keyOf(id auth.AgentIdentity) domain.TaskKey {
	return domain.TaskKey{RunKey: domain.RunKey{DagID: id.DagID, RunID: id.RunID}, TaskID: id.TaskID}
}

// attempt returns the stored attempt.
func (b *bed) attempt(t *testing.T, id auth.AgentIdentity) domain.Attempt {
	t.Helper()
	a, err := b.Attempt(as(id.TenantID), keyOf(id), id.TryNumber)
	if err != nil {
		t.Fatalf("attempt: %v", err)
	}
	return a
}

// task returns theTask as its run tells it.
func (b *bed) task(t *testing.T, tenant string) domain.Task {
	t.Helper()
	r, created, err := b.CreateRun(as(tenant), definition(theRun))
	if err != nil || created {
		t.Fatalf("run: created %v, %v", created, err)
	}
	for _, task := range r.Tasks {
		if task.TaskID == theTask.TaskID {
			return task
		}
	}
	t.Fatal("the task is gone")
	return domain.Task{}
}

// changes returns the whole history of theRun.
func (b *bed) changes(t *testing.T, tenant string) []domain.TaskChange {
	t.Helper()
	changes, err := b.RunChanges(as(tenant), theRun, 0, 1000)
	if err != nil {
		t.Fatalf("changes: %v", err)
	}
	return changes
}

// forXCom is the bed of the repository's own suite.
func (b *bed) forXCom(t *testing.T) xcomtest.Bed {
	for _, tenant := range []string{tenantA, tenantB} {
		for _, key := range []domain.RunKey{xcomtest.Source.RunKey, xcomtest.OtherRun.RunKey} {
			r := domain.NewRun{RunKey: key, Tasks: []domain.TaskDefinition{
				{TaskID: xcomtest.Source.TaskID}, {TaskID: xcomtest.Reader.TaskID},
			}}
			if _, _, err := b.create(as(tenant), r); err != nil {
				t.Fatal(err)
			}
		}
	}
	return xcomtest.Bed{
		Repo: b.Store,
		Launch: func(t *testing.T, tenant string, key domain.TaskKey) domain.AttemptRef {
			try := 1
			ref, err := b.CurrentAttempt(as(tenant), xcom.Key{TenantID: tenant, DagID: key.DagID, RunID: key.RunID, TaskID: key.TaskID})
			if err == nil {
				try = ref.TryNumber + 1
			}
			a, err := b.LaunchAttempt(as(tenant), key, domain.NewAttempt{Try: try, Supersede: true})
			if err != nil {
				t.Fatal(err)
			}
			return a.Ref
		},
		Finish: func(t *testing.T, ref domain.AttemptRef) {
			b.mustReport(t, auth.IdentityOf(ref), domain.TaskStateSuccess, 0, "")
		},
		Cancel: func(t *testing.T, ref domain.AttemptRef) { b.mustCancel(t, auth.IdentityOf(ref), begin) },
	}
}
