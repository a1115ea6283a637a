package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/secrets"
	"github.com/neochaotic/leoflow/internal/xcom"
)

var durabilityTests = []test{
	{"TestState2OpenedAgainNothingIsLost", testReopen},
	{"TestClosedStoreIsUnavailable", testClosed},
	{"TestState8CallersDeadlineIsUnavailable", testDeadline},
	{"TestXCom5ExpiredValuesAreDeleted", testExpiredXCom},
}

// reopen closes the store and opens its data again.
func (b *bed) reopen(t *testing.T) {
	t.Helper()
	wantNil(t, b.Close())
	b.Store = b.open(t, b.env)
}

func testReopen(t *testing.T, b *bed) {
	id := b.launched(t, tenantA)
	wantNil(t, b.PutVariable(as(tenantA), theActor, "v", "1"))
	wantNil(t, b.PutConnection(as(tenantA), theActor, "c", "2"))
	wantNil(t, b.SetSecretScope(as(tenantA), theActor, secrets.ScopeDeclared))
	_, err := b.DeliverVariables(as(tenantA), id)
	wantNil(t, err)
	e := xcom.Entry{Value: []byte("value"), ContentType: "t", CreatedAt: begin}
	wantNil(t, b.PutXCom(as(tenantA), id.Attempt(), "return_value", e, begin.Add(time.Hour)))
	b.pass(time.Second)
	wantNil(t, b.ReportStateAt(as(tenantA), id, domain.TaskStateRunning, 0, "", begin))
	wantNil(t, b.RecordHeartbeat(as(tenantA), id))
	b.mustCancel(t, id, begin.Add(time.Minute))
	before := b.see(t, id, 1)
	b.pass(time.Hour)
	b.reopen(t)
	wantEqual(t, b.see(t, id, 1), before)

	b.mustReport(t, id, domain.TaskStateFailed, -15, "stopped")
	b.launch(t, tenantA, 2, false)
	before = b.see(t, id, 2)
	b.pass(time.Hour)
	b.reopen(t)
	wantEqual(t, b.see(t, id, 2), before)
	wantNil(t, b.report(id, domain.TaskStateFailed, -15, "stopped")) // STATE-3
	wantEqual(t, b.see(t, id, 2), before)
}

func testClosed(t *testing.T, b *bed) {
	id := b.launched(t, tenantA)
	changed := b.RunChanged(as(tenantA), theRun)
	wantNil(t, b.Close())
	wantNil(t, b.Close())
	wantClosed(t, changed, b.RunChanged(as(tenantA), theRun))
	for _, c := range calls {
		if err := c.do(as(tenantA), b.Store, id); !errors.Is(err, domain.ErrUnavailable) {
			t.Errorf("%s: %v", c.method, err)
		}
	}
	_, err := b.DeleteExpiredXCom(context.Background(), begin, 1)
	wantError(t, err, domain.ErrUnavailable)
}

func testDeadline(t *testing.T, b *bed) {
	id := b.launched(t, tenantA)
	before := b.see(t, id, 1)
	expired, cancel := context.WithDeadline(as(tenantA), time.Unix(0, 0))
	defer cancel()
	gone, cancelGone := context.WithCancel(as(tenantA))
	cancelGone()
	for _, ctx := range []context.Context{expired, gone} {
		for _, c := range calls {
			err := c.do(ctx, b.Store, id)
			if _, definitive := domain.TerminationOf(err); definitive || !errors.Is(err, domain.ErrUnavailable) {
				t.Errorf("%s: %v", c.method, err)
			}
		}
	}
	wantEqual(t, b.see(t, id, 1), before)
}

func testExpiredXCom(t *testing.T, b *bed) {
	ends := begin.Add(time.Hour)
	for _, tenant := range []string{tenantA, tenantB} {
		id := b.launched(t, tenant)
		for name, expires := range map[string]time.Time{"a": ends, "b": ends, "lives": ends.Add(time.Microsecond)} {
			wantNil(t, b.PutXCom(as(tenant), id.Attempt(), name, xcom.Entry{CreatedAt: begin}, expires))
		}
	}
	for _, want := range []int{3, 1, 0} {
		n, err := b.DeleteExpiredXCom(context.Background(), ends, 3)
		if err != nil || n != want {
			t.Fatalf("deleted %d, %v; want %d", n, err, want)
		}
	}
	for _, tenant := range []string{tenantA, tenantB} {
		key := xcom.Key{TenantID: tenant, DagID: theRun.DagID, RunID: theRun.RunID, TaskID: theTask.TaskID, Name: "lives"}
		_, err := b.GetXCom(as(tenant), key, nil, ends)
		wantNil(t, err)
	}
}
