package storetest

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/secrets"
	"github.com/neochaotic/leoflow/internal/store"
	"github.com/neochaotic/leoflow/internal/xcom"
)

var tenantTests = []test{
	{"TestIso1EveryMethodIsTried", testEveryMethod},
	{"TestIso1NoTenantIsAnError", testNoTenant},
	{"TestIso1ForeignTenantIsAnError", testForeignTenant},
	{"TestIso1NothingCrosses", testNothingCrosses},
	{"TestIso3ForeignAndMissingLookAlike", testForeignLooksMissing},
}

// call calls one method for a tenant's attempt.
type call struct {
	method string
	// named: the arguments name a tenant, which must be that of the context.
	named bool
	do    func(ctx context.Context, s Store, id auth.AgentIdentity) error
}

// calls call each method of a store that works for a tenant. Each of those that
// change something changes it for theTask.
var calls = []call{
	{"TaskSpec", true, func(ctx context.Context, s Store, id auth.AgentIdentity) error {
		_, err := s.TaskSpec(ctx, id)
		return err
	}},
	{"StopBy", true, func(ctx context.Context, s Store, id auth.AgentIdentity) error {
		_, _, err := s.StopBy(ctx, id)
		return err
	}},
	{"MayLog", true, func(ctx context.Context, s Store, id auth.AgentIdentity) error {
		_, err := s.MayLog(ctx, id)
		return err
	}},
	{"RegisterAgent", true, func(ctx context.Context, s Store, id auth.AgentIdentity) error {
		return s.RegisterAgent(ctx, id, domain.AgentInfo{Version: "v", Hostname: "h"})
	}},
	{"RecordHeartbeat", true, func(ctx context.Context, s Store, id auth.AgentIdentity) error {
		return s.RecordHeartbeat(ctx, id)
	}},
	{"PromptHeartbeat", true, func(ctx context.Context, s Store, id auth.AgentIdentity) error {
		return prompt{s}.RecordHeartbeat(ctx, id)
	}},
	{"LoneHeartbeat", true, func(ctx context.Context, s Store, id auth.AgentIdentity) error {
		return s.LoneHeartbeat(ctx, id)
	}},
	{"PutXCom", true, func(ctx context.Context, s Store, id auth.AgentIdentity) error {
		e := xcom.Entry{Value: []byte("of " + id.TenantID), CreatedAt: begin}
		return s.PutXCom(ctx, id.Attempt(), "return_value", e, begin.Add(time.Hour))
	}},
	{"GetXCom", true, func(ctx context.Context, s Store, id auth.AgentIdentity) error {
		by := id.Attempt()
		_, err := s.GetXCom(ctx, xcomKey(id), &by, begin)
		if errors.Is(err, xcom.ErrNotFound) {
			return nil
		}
		return err
	}},
	{"CurrentAttempt", true, func(ctx context.Context, s Store, id auth.AgentIdentity) error {
		_, err := s.CurrentAttempt(ctx, xcomKey(id))
		return err
	}},
	{"DeleteVariable", false, func(ctx context.Context, s Store, _ auth.AgentIdentity) error {
		return s.DeleteVariable(ctx, theActor, "v")
	}},
	{"DeleteConnection", false, func(ctx context.Context, s Store, _ auth.AgentIdentity) error {
		return s.DeleteConnection(ctx, theActor, "c")
	}},
	{"PutVariable", false, func(ctx context.Context, s Store, id auth.AgentIdentity) error {
		return s.PutVariable(ctx, theActor, "v", "of "+id.TenantID)
	}},
	{"PutConnection", false, func(ctx context.Context, s Store, id auth.AgentIdentity) error {
		return s.PutConnection(ctx, theActor, "c", "of "+id.TenantID)
	}},
	{"SetSecretScope", false, func(ctx context.Context, s Store, _ auth.AgentIdentity) error {
		return s.SetSecretScope(ctx, theActor, secrets.ScopeDeclared)
	}},
	{"SecretScope", false, func(ctx context.Context, s Store, _ auth.AgentIdentity) error {
		_, err := s.SecretScope(ctx)
		return err
	}},
	{"SecretVariables", true, func(ctx context.Context, s Store, id auth.AgentIdentity) error {
		_, err := s.SecretVariables(ctx, id.TenantID)
		return err
	}},
	{"SecretConnectionURIs", true, func(ctx context.Context, s Store, id auth.AgentIdentity) error {
		_, err := s.SecretConnectionURIs(ctx, id.TenantID)
		return err
	}},
	{"DeliverVariables", true, func(ctx context.Context, s Store, id auth.AgentIdentity) error {
		_, err := s.DeliverVariables(ctx, id)
		return err
	}},
	{"DeliverConnectionURIs", true, func(ctx context.Context, s Store, id auth.AgentIdentity) error {
		_, err := s.DeliverConnectionURIs(ctx, id)
		return err
	}},
	{"ListAuditEvents", false, func(ctx context.Context, s Store, _ auth.AgentIdentity) error {
		_, err := s.ListAuditEvents(ctx, 0, 10)
		return err
	}},
	{"ListVariables", false, func(ctx context.Context, s Store, _ auth.AgentIdentity) error {
		_, err := s.ListVariables(ctx, "", 10)
		return err
	}},
	{"ListConnections", false, func(ctx context.Context, s Store, _ auth.AgentIdentity) error {
		_, err := s.ListConnections(ctx, "", 10)
		return err
	}},
	{"Run", false, func(ctx context.Context, s Store, id auth.AgentIdentity) error {
		_, err := s.Run(ctx, keyOf(id).RunKey)
		return err
	}},
	{"ListRuns", false, func(ctx context.Context, s Store, id auth.AgentIdentity) error {
		_, err := s.ListRuns(ctx, id.DagID, 0, 10)
		return err
	}},
	{"ListTasks", false, func(ctx context.Context, s Store, id auth.AgentIdentity) error {
		_, err := s.ListTasks(ctx, keyOf(id).RunKey, "", 10)
		return err
	}},
	{"ListAttempts", false, func(ctx context.Context, s Store, id auth.AgentIdentity) error {
		_, err := s.ListAttempts(ctx, keyOf(id), 0, 10)
		return err
	}},
	{"Attempt", false, func(ctx context.Context, s Store, id auth.AgentIdentity) error {
		_, err := s.Attempt(ctx, keyOf(id), id.TryNumber)
		return err
	}},
	{"RunChanges", false, func(ctx context.Context, s Store, id auth.AgentIdentity) error {
		_, err := s.RunChanges(ctx, keyOf(id).RunKey, 0, 10)
		return err
	}},
	{"CreateRun", false, func(ctx context.Context, s Store, id auth.AgentIdentity) error {
		_, _, err := s.CreateRun(ctx, definition(keyOf(id).RunKey))
		return err
	}},
	{"SettleTask", false, func(ctx context.Context, s Store, id auth.AgentIdentity) error {
		_, err := s.SettleTask(ctx, domain.TaskKey{RunKey: keyOf(id).RunKey, TaskID: "second in the alphabet"}, domain.TaskStateSkipped)
		return err
	}},
	{"ReportState", true, func(ctx context.Context, s Store, id auth.AgentIdentity) error {
		return s.ReportState(ctx, id, domain.TaskStateRunning, 0, "")
	}},
	{"CancelTask", false, func(ctx context.Context, s Store, id auth.AgentIdentity) error {
		_, err := s.CancelTask(ctx, keyOf(id), time.Minute)
		return err
	}},
	{"ReportStateAt", true, func(ctx context.Context, s Store, id auth.AgentIdentity) error {
		return s.ReportStateAt(ctx, id, domain.TaskStateFailed, 1, "of "+id.TenantID, begin)
	}},
	{"SettleAttempt", false, func(ctx context.Context, s Store, id auth.AgentIdentity) error {
		_, _, err := s.SettleAttempt(ctx, keyOf(id), id.TryNumber, domain.Settlement{State: domain.TaskStateFailed})
		return err
	}},
	{"RetryTask", false, func(ctx context.Context, s Store, id auth.AgentIdentity) error {
		_, err := s.RetryTask(ctx, keyOf(id), id.TryNumber)
		return err
	}},
	{"LaunchAttempt", false, func(ctx context.Context, s Store, id auth.AgentIdentity) error {
		_, err := s.LaunchAttempt(ctx, keyOf(id), domain.NewAttempt{Try: id.TryNumber + 1, Supersede: true})
		return err
	}},
	{"CancelRun", false, func(ctx context.Context, s Store, id auth.AgentIdentity) error {
		_, err := s.CancelRun(ctx, keyOf(id).RunKey, time.Minute)
		return err
	}},
	{"ProbeWrite", true, func(ctx context.Context, s Store, id auth.AgentIdentity) error {
		return s.ProbeWrite(ctx, id.Attempt())
	}},
	{"ReapAttempt", true, func(ctx context.Context, s Store, id auth.AgentIdentity) error {
		id.TryNumber++ // the one just launched
		_, err := s.ReapAttempt(ctx, domain.Attempt{Ref: id.Attempt(), State: domain.TaskStateQueued}, domain.CauseLost, "")
		return err
	}},
}

func xcomKey(id auth.AgentIdentity) xcom.Key {
	return xcom.Key{TenantID: id.TenantID, DagID: id.DagID, RunID: id.RunID, TaskID: id.TaskID, Name: "return_value"}
}

func identity(a domain.Attempt) auth.AgentIdentity { return auth.IdentityOf(a.Ref) }

// testEveryMethod holds that calls leave no method out.
func testEveryMethod(t *testing.T, _ *bed) {
	tried := map[string]bool{
		"Close":             true, // of no tenant
		"DeleteExpiredXCom": true, // of every tenant: testExpiredXCom
		"LiveAttempts":      true, // of every tenant: testReapSeesEveryTenant
		"Ready":             true, // of no tenant
		"RunChanged":        true, // returns no error: testChangedWakes

		"ResealSecrets":        true, // of every tenant: rotateTests
		"CountSecretsNotUnder": true, // likewise
	}
	for _, c := range calls {
		tried[c.method] = true
	}
	methods := reflect.TypeFor[Store]()
	for i := range methods.NumMethod() {
		if name := methods.Method(i).Name; !tried[name] {
			t.Errorf("%s is not tried", name)
		}
	}
	concrete := reflect.TypeFor[*store.Store]()
	for i := range concrete.NumMethod() {
		if name := concrete.Method(i).Name; !tried[name] {
			t.Errorf("%s is no method of the suite's Store", name)
		}
	}
}

// everything is all that a tenant can see of itself.
type everything struct {
	Run       domain.Run
	Attempts  []domain.Attempt
	Changes   []domain.TaskChange
	Spec      domain.TaskSpec
	StopBy    time.Time
	Pending   bool
	MayLog    time.Time
	XCom      xcom.Entry
	XComErr   bool
	Current   domain.AttemptRef
	Variables map[string]string
	URIs      map[string]string
	Audit     []domain.AuditEvent
	Summary   domain.RunSummary
	Runs      []domain.RunSummary
	Tasks     []domain.TaskSummary
	Tries     []domain.Attempt
	Names     [2][]domain.SecretName
	Scope     secrets.Scope
}

// see reads everything of the tenant of id, whose tries go up to tries.
func (b *bed) see(t *testing.T, id auth.AgentIdentity, tries int) everything {
	t.Helper()
	ctx := as(id.TenantID)
	var out everything
	var err error
	out.Run, _, err = b.CreateRun(ctx, definition(theRun))
	wantNil(t, err)
	for try := 1; try <= tries; try++ {
		a, err := b.Attempt(ctx, theTask, try)
		wantNil(t, err)
		out.Attempts = append(out.Attempts, a)
	}
	out.Changes = b.changes(t, id.TenantID)
	out.Spec, err = b.TaskSpec(ctx, id)
	wantNil(t, err)
	out.StopBy, out.Pending, err = b.StopBy(ctx, id)
	wantNil(t, err)
	out.MayLog, err = b.MayLog(ctx, id)
	wantNil(t, err)
	out.XCom, err = b.GetXCom(ctx, xcomKey(id), nil, begin)
	out.XComErr = err != nil
	out.Current, err = b.CurrentAttempt(ctx, xcomKey(id))
	wantNil(t, err)
	out.Variables, err = b.SecretVariables(ctx, id.TenantID)
	wantNil(t, err)
	out.URIs, err = b.SecretConnectionURIs(ctx, id.TenantID)
	wantNil(t, err)
	out.Audit = b.audit(t, id.TenantID)
	out.Summary, err = b.Run(ctx, theRun)
	wantNil(t, err)
	out.Runs, err = b.ListRuns(ctx, "", 0, 100)
	wantNil(t, err)
	out.Tasks, err = b.ListTasks(ctx, theRun, "", 100)
	wantNil(t, err)
	out.Tries, err = b.ListAttempts(ctx, theTask, 0, 100)
	wantNil(t, err)
	out.Names[0], err = b.ListVariables(ctx, "", 100)
	wantNil(t, err)
	out.Names[1], err = b.ListConnections(ctx, "", 100)
	wantNil(t, err)
	out.Scope, err = b.SecretScope(ctx)
	wantNil(t, err)
	return out
}

func testNoTenant(t *testing.T, b *bed) {
	id := b.launched(t, tenantA)
	before := b.see(t, id, 1)
	for _, ctx := range []context.Context{context.Background(), as("")} {
		for _, c := range calls {
			if err := c.do(ctx, b.Store, id); !errors.Is(err, domain.ErrNoTenant) {
				t.Errorf("%s: %v", c.method, err)
			}
		}
	}
	wantEqual(t, b.see(t, id, 1), before)
}

// testForeignTenant calls for one tenant's attempt in the name of another that has
// the same names and ids.
func testForeignTenant(t *testing.T, b *bed) {
	inA, inB := b.launched(t, tenantA), b.launched(t, tenantB)
	beforeA, beforeB := b.see(t, inA, 1), b.see(t, inB, 1)
	for _, c := range calls {
		if !c.named {
			continue
		}
		if err := c.do(as(tenantB), b.Store, inA); !errors.Is(err, domain.ErrNoTenant) {
			t.Errorf("%s: %v", c.method, err)
		}
	}
	wantEqual(t, b.see(t, inA, 1), beforeA)
	wantEqual(t, b.see(t, inB, 1), beforeB)
}

// testNothingCrosses works the same names and ids through in tenant B and looks
// whether anything of tenant A moved, and the other way round.
func testNothingCrosses(t *testing.T, b *bed) {
	inA, inB := b.launched(t, tenantA), b.launched(t, tenantB)
	if inA.TaskInstanceID != inB.TaskInstanceID {
		t.Fatalf("ids differ: %q, %q", inA.TaskInstanceID, inB.TaskInstanceID)
	}
	for _, tenant := range []string{tenantA, tenantB} {
		wantNil(t, b.PutVariable(as(tenant), theActor, "v", "of A"))
		wantNil(t, b.PutConnection(as(tenant), theActor, "c", "of A"))
	}
	for _, turn := range []struct{ mover, still auth.AgentIdentity }{{inB, inA}, {inA, inB}} {
		tries := 1
		if turn.still == inB {
			tries = 2 // it has moved before
		}
		before := b.see(t, turn.still, tries)
		for _, c := range calls {
			b.pass(time.Second)
			err := c.do(as(turn.mover.TenantID), b.Store, turn.mover)
			if err != nil && c.method != "ReportStateAt" && c.method != "SettleAttempt" {
				t.Errorf("%s: %v", c.method, err)
			}
			wantEqual(t, b.see(t, turn.still, tries), before)
		}
		if moved := b.see(t, turn.mover, 2); len(moved.Changes) < 4 || string(moved.XCom.Value) != "" || len(moved.Audit) != 9 {
			t.Errorf("the calls did too little: %+v", moved)
		}
	}
	a, err := b.SecretVariables(as(tenantA), tenantA)
	wantSecrets(t, a, err, map[string]string{"v": "of " + tenantA})
}

// testForeignLooksMissing calls for what only tenant A has in the name of B, and for
// what nobody has in the name of A: the answers are the same.
func testForeignLooksMissing(t *testing.T, b *bed) {
	id := b.launched(t, tenantA)
	before := b.see(t, id, 1)
	nobodys := id
	nobodys.DagID = "dag of nobody"
	foreign := id
	foreign.TenantID = tenantB
	for _, c := range calls {
		switch c.method {
		case "CreateRun", "PutVariable", "PutConnection", "SetSecretScope": // make what is missing
			continue
		case "ProbeWrite": // finds an attempt by its id alone, as no client does
			continue
		}
		ofForeign, ofMissing := c.do(as(tenantB), b.Store, foreign), c.do(as(tenantA), b.Store, nobodys)
		if (ofForeign == nil) != (ofMissing == nil) || ofForeign != nil && ofForeign.Error() != ofMissing.Error() {
			t.Errorf("%s: foreign %v, missing %v", c.method, ofForeign, ofMissing)
		}
	}
	wantEqual(t, b.see(t, id, 1), before)
}
