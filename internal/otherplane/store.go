package otherplane

import (
	"context"
	"errors"
	"sync"
	"time"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	policyv1 "github.com/neochaotic/leoflow/gen/leoflow/policy/v1"
)

// identity is an attempt's name, and all of a caller's identity.
type identity struct {
	tenant, dag, run, task, instance string
	try                              int32
}

// store is what a kill of the plane leaves: all that it promised.
type store struct {
	gate *gate

	mu      sync.Mutex
	tenants map[string]*tenant
	logged  chan struct{} // closed when a log grows
}

type tenant struct {
	runs                   map[[2]string]*run // by DAG and run
	variables, connections map[string]string
	declared               bool // tasks get what they declared, and no more
	deliveries             []*conformancev1.Delivery
}

type run struct {
	version string
	tasks   map[string]*task
}

type task struct {
	instance string
	wanted   *conformancev1.FixtureTask
	tries    []*attempt
}

type attempt struct {
	id   identity
	task *task

	state                        policyv1.TaskState
	cause                        controlv1.Cause
	exit                         int32
	message                      string
	launched                     time.Time
	started, ended, beat, stopBy time.Time // zero: has not come
	settledBy                    *agentv1.ReportStateRequest
	values                       map[string]*value
	log                          log
}

type value struct {
	bytes   []byte
	kind    string
	created time.Time
	until   time.Time
}

func newStore() *store {
	return &store{gate: newGate(), tenants: map[string]*tenant{}, logged: make(chan struct{})}
}

// do works on the store for a call of a service, unless the store fails or the service
// was killed.
func (s *service) do(ctx context.Context, work func(*store) error) error {
	if err := s.plane.store.gate.pass(ctx); err != nil {
		return err
	}
	return s.plane.store.with(func(st *store) error {
		if s.killed.Load() {
			return errKilled
		}
		return work(st)
	})
}

// doPatiently is do that outwaits a store that fails.
func (s *service) doPatiently(ctx context.Context, work func(*store) error) error {
	for {
		err := s.do(ctx, work)
		if !errors.Is(err, errDown) {
			return err
		}
		if s.plane.store.gate.wellAgain(ctx) != nil {
			return err
		}
	}
}

// with works on the store behind the gate, as the fixtures do.
func (st *store) with(work func(*store) error) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	return work(st)
}

// task finds a task; nil: there is none.
func (st *store) task(tenant, dag, run, name string) *task {
	if t := st.tenants[tenant]; t != nil {
		if r := t.runs[[2]string{dag, run}]; r != nil {
			return r.tasks[name]
		}
	}
	return nil
}

// attempt finds an attempt by all of its name; nil: there is none.
func (st *store) attempt(id identity) *attempt {
	t := st.task(id.tenant, id.dag, id.run, id.task)
	if t == nil || t.instance != id.instance || id.try < 1 || int(id.try) > len(t.tries) {
		return nil
	}
	return t.tries[id.try-1]
}

func (t *task) current() *attempt {
	if len(t.tries) == 0 {
		return nil
	}
	return t.tries[len(t.tries)-1]
}

func (a *attempt) superseded() bool { return a.task.current() != a }

func (a *attempt) settled() bool {
	return a.state != policyv1.TaskState_TASK_STATE_QUEUED && a.state != policyv1.TaskState_TASK_STATE_RUNNING
}

// notLive is why an attempt may not go on; unspecified: it may. A nil one is unknown.
func (a *attempt) notLive() agentv1.TerminationReason {
	switch {
	case a == nil:
		return agentv1.TerminationReason_TERMINATION_REASON_UNKNOWN
	case a.superseded():
		return agentv1.TerminationReason_TERMINATION_REASON_SUPERSEDED
	case a.settled() && a.cause == controlv1.Cause_CAUSE_LOST:
		return agentv1.TerminationReason_TERMINATION_REASON_LOST
	case a.settled() && a.cause == controlv1.Cause_CAUSE_TIMED_OUT:
		return agentv1.TerminationReason_TERMINATION_REASON_TIMED_OUT
	case a.settled():
		return agentv1.TerminationReason_TERMINATION_REASON_FINISHED
	case !a.stopBy.IsZero():
		return agentv1.TerminationReason_TERMINATION_REASON_CANCELLED
	}
	return agentv1.TerminationReason_TERMINATION_REASON_UNSPECIFIED
}

// over is when an attempt ended, by its outcome or by the launch of the next try.
func (a *attempt) over() (time.Time, bool) {
	var next time.Time
	if int(a.id.try) < len(a.task.tries) {
		next = a.task.tries[a.id.try].launched
	}
	switch {
	case a.settled() && (next.IsZero() || a.ended.Before(next)):
		return a.ended, true
	case !next.IsZero():
		return next, true
	}
	return time.Time{}, false
}
