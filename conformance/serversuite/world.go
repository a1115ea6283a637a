package serversuite

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	policyv1 "github.com/neochaotic/leoflow/gen/leoflow/policy/v1"

	"github.com/neochaotic/leoflow/conformance/suite"
)

// States, shortly.
const (
	queued  = policyv1.TaskState_TASK_STATE_QUEUED
	running = policyv1.TaskState_TASK_STATE_RUNNING
	success = policyv1.TaskState_TASK_STATE_SUCCESS
	failed  = policyv1.TaskState_TASK_STATE_FAILED
	skipped = policyv1.TaskState_TASK_STATE_SKIPPED
)

// world is a run in a tenant of its own, made for one check.
type world struct {
	t      *suite.T
	target *Target

	tenant, dag, version, run string

	ids    string                       // in what is asked for besides: no other check has them
	canary string                       // in all that is the tenant's own
	specs  map[string]*agentv1.TaskSpec // by task

	limited bool // its tasks get only the secrets that they declared

	live map[string]*conformancev1.AttemptRef // the newest try by run and task, where it may be live
}

// newWorld makes a world whose names no other check, and no other run, has.
func newWorld(t *suite.T, target *Target) *world {
	w := namedWorld(t, target, fmt.Sprintf("%s-%s", target.run, worldName(t.Rand())), "tenant")
	w.prepare(conformancev1.Kin_KIN_UNSPECIFIED, w)
	return w
}

// nameOf is what tells a world of a run from the others. A run of many repetitions makes
// a hundred thousand of them: of half as many bits two would be the same.
func worldName(choices *rand.Rand) string { return fmt.Sprintf("%016x", choices.Uint64()) }

// twinWorld makes a world that is the same in every name but the tenant's.
func (w *world) twinWorld() *world {
	twin := namedWorld(w.t, w.target, w.ids, "twin")
	twin.prepare(conformancev1.Kin_KIN_TWIN, w)
	return twin
}

// otherRun makes a world that is another run of the same DAG in the same tenant.
func (w *world) otherRun() *world {
	other := *w
	other.run, other.ids, other.canary = w.run+"-other", w.ids+"-other", "canary-other-"+w.ids
	other.prepare(conformancev1.Kin_KIN_SIBLING, w)
	return &other
}

func namedWorld(t *suite.T, target *Target, ids, word string) *world {
	return &world{
		t: t, target: target, ids: ids, tenant: word + "-" + ids, dag: "dag", version: "7", run: "run/" + ids + ":00+00",
		canary: "canary-" + word + "-" + ids, live: map[string]*conformancev1.AttemptRef{},
	}
}

// fixture stops the check unless a call of the fixtures went well.
func (w *world) fixture(what string, err error) {
	switch {
	case err == nil:
	case status.Code(err) == codes.Aborted:
		w.t.Fatalf("the server did not let itself be prepared, to %s: %s", what, status.Convert(err).Message())
	case status.Code(err) == codes.Unimplemented:
		w.t.Untestable(fmt.Sprintf("the fixtures cannot %s: %s", what, status.Convert(err).Message()))
	case w.t.Context().Err() != nil, status.Code(err) == codes.DeadlineExceeded, status.Code(err) == codes.Canceled:
		w.t.Fatalf("no time was left to %s", what)
	default:
		w.t.Broken("the fixtures failed to %s: %v", what, err)
	}
}

func (w *world) needs(abilities ...string) {
	for _, ability := range abilities {
		if !w.target.offers(ability) {
			w.t.Skip("the server does not offer " + ability)
		}
	}
}

// prepare has the world made. What the fixtures hand out instead of what is asked for
// gives it other names.
func (w *world) prepare(kin conformancev1.Kin, of *world) {
	request := &conformancev1.PrepareRunRequest{TenantId: w.tenant, DagId: w.dag, DagVersion: w.version, RunId: w.run, Tasks: tasks(w.ids, w.canary), Kin: kin}
	if kin != conformancev1.Kin_KIN_UNSPECIFIED {
		request.KinTenantId, request.KinRunId = of.tenant, of.run
	}
	reply, err := w.target.Fixtures.PrepareRun(w.t.Context(), request)
	if kin == conformancev1.Kin_KIN_TWIN && status.Code(err) == codes.Unimplemented {
		w.t.Note("ids of task instances are unique among tenants: every other name is the same")
		for _, task := range request.GetTasks() {
			task.TaskInstanceId = ""
		}
		reply, err = w.target.Fixtures.PrepareRun(w.t.Context(), request)
	}
	w.fixture("prepare a run", err)
	made := request.GetTasks()
	if got := reply.GetPrepared(); got != nil {
		w.tenant, w.dag, w.version, w.run = got.GetTenantId(), got.GetDagId(), got.GetDagVersion(), got.GetRunId()
		w.canary, made = got.GetCanary(), got.GetTasks()
	}
	w.specs = map[string]*agentv1.TaskSpec{}
	for _, task := range made {
		w.specs[task.GetSpec().GetTaskId()] = task.GetSpec()
	}
}

// ref names a task of the world.
func (w *world) ref(task string) *conformancev1.AttemptRef {
	return &conformancev1.AttemptRef{TenantId: w.tenant, DagId: w.dag, RunId: w.run, TaskId: task}
}

// attempt is one try of a task of the world, and its agent's token.
type attempt struct {
	w     *world
	ref   *conformancev1.AttemptRef
	token string
}

// launch begins the next try of a task and brings it into a state.
func (w *world) launch(task string, state policyv1.TaskState) *attempt {
	got, err := w.target.Fixtures.PrepareAttempt(w.t.Context(), &conformancev1.PrepareAttemptRequest{Task: w.ref(task), State: state})
	w.fixture("prepare an attempt", err)
	w.t.Hide(got.GetToken())
	w.t.Note("prepared: try %d of %s of %s, %s", got.GetAttempt().GetTryNumber(), task, w.tenant, state)
	a := &attempt{w, got.GetAttempt(), got.GetToken()}
	if state == queued || state == running {
		a.endWithCheck()
	}
	return a
}

func (a *attempt) as() credential { return bearer("the agent of "+a.ref.GetTaskId(), a.token) }

// unknown is an attempt that nobody launched, with a good token.
func (w *world) unknown() *attempt {
	ref := w.ref("nobody")
	ref.TaskInstanceId, ref.TryNumber = "nobody-"+w.ids, 1
	return &attempt{w, ref, w.mint(ref, conformancev1.TokenDefect_TOKEN_DEFECT_UNSPECIFIED)}
}

// mint makes a token with a defect.
func (w *world) mint(ref *conformancev1.AttemptRef, defect conformancev1.TokenDefect) string {
	token, err := w.tryMint(ref, defect)
	what := "a token that is " + word(defect)
	if defect == conformancev1.TokenDefect_TOKEN_DEFECT_UNSPECIFIED {
		what = "a token of an attempt that was not launched"
	}
	w.fixture("make "+what, err)
	return token
}

// tryMint is mint where a server's tokens may be such that they cannot have the defect.
func (w *world) tryMint(ref *conformancev1.AttemptRef, defect conformancev1.TokenDefect) (string, error) {
	got, err := w.target.Fixtures.MintToken(w.t.Context(), &conformancev1.MintTokenRequest{Attempt: ref, Defect: defect})
	w.t.Hide(got.GetToken())
	return got.GetToken(), err
}

// word names a defect as the ids of checks do.
func word(defect conformancev1.TokenDefect) string {
	return strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(defect.String(), "TOKEN_DEFECT_")), "_", "-")
}

func (a *attempt) cancel() {
	_, err := a.w.target.Fixtures.CancelAttempt(a.w.t.Context(), &conformancev1.CancelAttemptRequest{
		Attempt: a.ref, Within: durationpb.New(time.Hour),
	})
	a.w.fixture("cancel an attempt", err)
	a.w.t.Note("a cancel of %s is pending", a.ref.GetTaskId())
}

func (a *attempt) settle(cause controlv1.Cause) {
	_, err := a.w.target.Fixtures.SettleAttempt(a.w.t.Context(), &conformancev1.SettleAttemptRequest{Attempt: a.ref, Cause: cause})
	a.w.fixture("settle an attempt", err)
	a.w.t.Note("settled %s: %s", a.ref.GetTaskId(), cause)
}

// stored is what the server holds of an attempt.
func (a *attempt) stored() *conformancev1.GetAttemptResponse {
	got, err := a.w.target.Fixtures.GetAttempt(a.w.t.Context(), &conformancev1.GetAttemptRequest{Attempt: a.ref})
	a.w.fixture("look at an attempt", err)
	return got
}

func (a *attempt) wantState(state policyv1.TaskState, after string) {
	if got := a.stored().GetState(); got != state {
		a.w.t.Fatalf("after %s, %s is stored for %s, not %s", after, got, a.ref.GetTaskId(), state)
	}
}

// value is what is stored as pushed by a task; nil: nothing.
func (w *world) value(task, key string) []byte {
	got, err := w.target.Fixtures.GetValue(w.t.Context(), &conformancev1.GetValueRequest{Task: w.ref(task), Key: key})
	if status.Code(err) == codes.NotFound {
		return nil
	}
	w.fixture("look at a value", err)
	return append([]byte{}, got.GetValue()...)
}

// log is an attempt's log.
func (a *attempt) log() []*controlv1.LogRecord {
	got, err := a.w.target.Fixtures.GetLog(a.w.t.Context(), &conformancev1.GetLogRequest{Attempt: a.ref})
	a.w.fixture("read a log", err)
	return got.GetRecords()
}

// snapshot is all that calls of an attempt could change.
type snapshot struct {
	attempt *conformancev1.GetAttemptResponse
	value   []byte // its return value; nil: none
	log     *conformancev1.GetLogResponse
}

func (a *attempt) snapshot() snapshot {
	return snapshot{
		attempt: a.stored(), value: a.w.value(a.ref.GetTaskId(), "return_value"),
		log: &conformancev1.GetLogResponse{Records: a.log()},
	}
}

// wantUnchanged fails the check if anything of an attempt is not as it was.
func (a *attempt) wantUnchanged(before snapshot, by string) {
	after := a.snapshot()
	if !proto.Equal(before.attempt, after.attempt) {
		a.w.t.Fatalf("%s changed the attempt of %s from {%v} to {%v}", by, a.ref.GetTaskId(), before.attempt, after.attempt)
	}
	if !bytes.Equal(before.value, after.value) || (before.value == nil) != (after.value == nil) {
		a.w.t.Fatalf("%s changed the value of %s from %q to %q", by, a.ref.GetTaskId(), before.value, after.value)
	}
	if !proto.Equal(before.log, after.log) {
		a.w.t.Fatalf("%s changed the log of %s: it had %d records, and has %d", by, a.ref.GetTaskId(), len(before.log.GetRecords()), len(after.log.GetRecords()))
	}
}

// wantNothingStored is wantUnchanged of a call that was answered well: a server may take
// that for a sign of life.
func (a *attempt) wantNothingStored(before snapshot, by string) {
	before.attempt = proto.CloneOf(before.attempt)
	before.attempt.HeartbeatAt = a.stored().GetHeartbeatAt()
	a.wantUnchanged(before, by)
}

// publish has the source's value pushed over the wire, and the source end well.
func (w *world) publish(value string) {
	a := w.launch(source, running)
	a.push("", value)
	a.accepted(agentv1.TaskState_TASK_STATE_SUCCESS)
}

// secrets gives the tenant secrets with its canary.
func (w *world) secrets(scope conformancev1.FixtureScope) {
	_, err := w.target.Fixtures.PutSecrets(w.t.Context(), secretsFor(w.tenant, w.canary, scope))
	w.fixture("store secrets", err)
}
