package storetest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/xcom"
)

// event is something that an agent, an operator or a reaper does. Each deed reads the
// fields that it needs.
type event struct {
	Deed    string
	Task    int // among those of the course
	Try     int // counted from the task's current one
	State   domain.TaskState
	Code    int
	Text    string
	Cause   domain.Cause
	Key     string
	Whole   bool // supersede; the whole run
	Within  time.Duration
	Pick    int           // among earlier reports, or among what a reaper has seen
	Passing time.Duration // before it
}

// deeds do an event with both the store and the model, and tell where the two differ.
var deeds = map[string]func(*course, event) error{
	"report": (*course).report, "report again": (*course).reportAgain, "beat": (*course).beat,
	"register": (*course).register, "push": (*course).push,
	"cancel": (*course).cancel, "settle attempt": (*course).settleAttempt, "settle task": (*course).settleTask,
	"retry": (*course).retry, "launch": (*course).launch, "look": (*course).look, "reap": (*course).reap,
}

// weights says how often each deed comes, from 1.
var weights = map[string]int{"report": 8, "report again": 3, "beat": 2, "retry": 2, "launch": 4, "look": 2, "reap": 3}

// course is a run in a store and in the model.
type course struct {
	bed     *bed
	model   *model
	reports []func() error // each does a report again
	seen    []modelAttempt // by looks; an attempt comes once for each
}

// courseTasks is how many tasks a course has.
const courseTasks = 2

// newCourse creates the run, whose id must be new to the store.
func newCourse(b *bed, id string) (*course, error) {
	key := domain.RunKey{DagID: "model", RunID: id}
	def := domain.NewRun{RunKey: key}
	for i := range courseTasks {
		def.Tasks = append(def.Tasks, domain.TaskDefinition{TaskID: fmt.Sprint(i)})
	}
	r, _, err := b.create(as(tenantA), def)
	if err != nil {
		return nil, err
	}
	c := &course{bed: b, model: &model{run: key}}
	for _, t := range r.Tasks {
		c.model.tasks = append(c.model.tasks, &modelTask{id: t.TaskID, instance: t.TaskInstanceID, state: domain.TaskStateNone})
	}
	return c, nil
}

// events generates courses. An attempt goes mostly through the hands of the current
// try; earlier ones come back, and later ones are named too early.
func events() *rapid.Generator[[]event] {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(deeds)) {
		names = append(names, slices.Repeat([]string{name}, max(1, weights[name]))...)
	}
	states := append(domain.States(), "odd", domain.TaskStateUpstreamFailed)
	states = append(states, slices.Repeat(domain.TaskStateQueued.Next(), 6)...)
	one := rapid.Custom(func(t *rapid.T) event {
		return event{
			Deed:    rapid.SampledFrom(names).Draw(t, "deed"),
			Task:    rapid.IntRange(0, courseTasks-1).Draw(t, "task"),
			Try:     rapid.SampledFrom([]int{0, 0, 0, 0, -1, -1, -2, 1}).Draw(t, "try"),
			State:   rapid.SampledFrom(states).Draw(t, "state"),
			Code:    rapid.IntRange(-1, 1).Draw(t, "code"),
			Text:    rapid.SampledFrom([]string{"", "m"}).Draw(t, "text"),
			Cause:   rapid.SampledFrom(domain.Causes()).Draw(t, "cause"),
			Key:     rapid.SampledFrom([]string{"", "", "", "k"}).Draw(t, "key"),
			Whole:   rapid.Bool().Draw(t, "whole"),
			Within:  rapid.SampledFrom([]time.Duration{0, time.Second, time.Minute}).Draw(t, "within"),
			Pick:    rapid.IntRange(0, 1000).Draw(t, "pick"),
			Passing: rapid.SampledFrom([]time.Duration{0, time.Millisecond, time.Second}).Draw(t, "passing"),
		}
	})
	return rapid.Custom(func(t *rapid.T) []event {
		n := rapid.SampledFrom([]int{10, 30, 60, 90}).Draw(t, "events")
		return rapid.SliceOfN(one, n, n).Draw(t, "course")
	})
}

// play does the events one after the other. An error tells what the store did that
// the model does not.
func (c *course) play(events []event) error {
	for i, e := range events {
		c.model.now = c.bed.pass(e.Passing)
		if err := deeds[e.Deed](c, e); err != nil {
			return fmt.Errorf("event %d of %d, %+v: %w", i+1, len(events), e, err)
		}
	}
	return c.agree()
}

// named returns the task of an event, its key, and the try that the event names.
func (c *course) named(e event) (*modelTask, domain.TaskKey, int) {
	t := c.model.tasks[e.Task]
	return t, domain.TaskKey{RunKey: c.model.run, TaskID: t.id}, len(t.tries) + e.Try
}

func (c *course) identity(t *modelTask, try int) auth.AgentIdentity {
	return auth.AgentIdentity{
		TaskInstanceID: t.instance, TenantID: tenantA,
		DagID: c.model.run.DagID, RunID: c.model.run.RunID, TaskID: t.id, TryNumber: try,
	}
}

// differs compares what a store answered with what the model did.
func differs[T any](got T, err error, want T, wantErr error) error {
	if !errors.Is(err, wantErr) {
		return fmt.Errorf("answered %v; the model says %v", err, wantErr) //nolint:errorlint // either may be nil
	}
	if diff := cmp.Diff(want, got); diff != "" {
		return fmt.Errorf("differs (-model +store):\n%s", diff)
	}
	return nil
}

// none is of a call that answers with an error or none.
type none struct{}

func (c *course) report(e event) error {
	t, _, try := c.named(e)
	do := func() error {
		err := c.bed.report(c.identity(t, try), e.State, e.Code, e.Text)
		return differs(none{}, err, none{}, c.model.report(t, try, e.State, e.Code, e.Text))
	}
	c.reports = append(c.reports, do)
	return do()
}

func (c *course) reportAgain(e event) error {
	if len(c.reports) == 0 {
		return nil
	}
	return c.reports[e.Pick%len(c.reports)]()
}

func (c *course) beat(e event) error {
	t, _, try := c.named(e)
	err := c.bed.RecordHeartbeat(as(tenantA), c.identity(t, try))
	return differs(none{}, err, none{}, c.model.beat(t, try))
}

func (c *course) register(e event) error {
	t, _, try := c.named(e)
	info := domain.AgentInfo{Version: "v", Hostname: e.Key}
	err := c.bed.RegisterAgent(as(tenantA), c.identity(t, try), info)
	return differs(none{}, err, none{}, c.model.register(t, try, info))
}

func (c *course) push(e event) error {
	t, _, try := c.named(e)
	value := fmt.Sprintf("%d %s", try, e.Text)
	entry := xcom.Entry{Value: []byte(value), CreatedAt: c.model.now}
	err := c.bed.PutXCom(as(tenantA), c.identity(t, try).Attempt(), domain.DefaultXComKey, entry, c.model.now.Add(time.Hour))
	return differs(none{}, err, none{}, c.model.push(t, try, value))
}

func (c *course) cancel(e event) error {
	if !e.Whole {
		t, key, _ := c.named(e)
		got, err := c.bed.CancelTask(as(tenantA), key, e.Within)
		return differs(got, err, c.model.cancel(t, e.Within), nil)
	}
	var want domain.RunCancellation
	for _, t := range c.model.tasks {
		idle := t.idle()
		if got := c.model.cancel(t, e.Within); got.State.Live() {
			want.Pending++
		} else if idle {
			want.Skipped++
		}
	}
	got, err := c.bed.CancelRun(as(tenantA), c.model.run, e.Within)
	return differs(got, err, want, nil)
}

func (c *course) settleAttempt(e event) error {
	t, key, try := c.named(e)
	to := domain.Settlement{State: e.State, Cause: e.Cause, ExitCode: e.Code, Message: e.Text}
	stored, got, err := c.bed.SettleAttempt(as(tenantA), key, try, to)
	want, wantErr := c.model.settleAttempt(t, try, to)
	if fault := differs(got, err, want, wantErr); fault != nil || err != nil {
		return fault
	}
	return differs(stored, nil, t.try(try).Attempt, nil)
}

func (c *course) settleTask(e event) error {
	t, key, _ := c.named(e)
	got, err := c.bed.SettleTask(as(tenantA), key, e.State)
	want, wantErr := c.model.settleTask(t, e.State)
	return differs(got, err, want, wantErr)
}

func (c *course) retry(e event) error {
	t, key, try := c.named(e)
	got, err := c.bed.RetryTask(as(tenantA), key, try)
	want, wantErr := c.model.retry(t, try)
	return differs(got, err, want, wantErr)
}

// launch names the next try where other deeds name the current one.
func (c *course) launch(e event) error {
	t, key, try := c.named(e)
	a := domain.NewAttempt{Try: try + 1, Supersede: e.Whole, IdempotencyKey: e.Key}
	got, err := c.bed.LaunchAttempt(as(tenantA), key, a)
	wantErr := c.model.launch(t, a)
	if wantErr != nil {
		return differs(none{}, err, none{}, wantErr)
	}
	return differs(got, err, t.current().Attempt, nil)
}

// sighting is what a look tells of an attempt.
type sighting struct {
	Attempt    domain.Attempt
	Registered bool
}

// look has a reaper see the live attempts. It is told no more of their tasks than the
// instance's id, and of their agents only whether they registered.
func (c *course) look(event) error {
	instances, want := map[string]*modelTask{}, map[string]sighting{}
	for _, t := range c.model.tasks {
		instances[t.instance] = t
		if a := t.live(); a != nil {
			c.seen = append(c.seen, *a)
			seen := sighting{a.Attempt, a.Agent != domain.AgentInfo{}}
			seen.Attempt.Agent = domain.AgentInfo{}
			want[t.id] = seen
		}
	}
	got := map[string]sighting{}
	_, err := c.bed.LiveAttempts(as(tenantA), 0, func(a domain.Attempt, registered bool) {
		if t, ours := instances[a.Ref.TaskInstanceID]; ours {
			a.Ref = c.identity(t, a.Ref.TryNumber).Attempt()
			got[t.id] = sighting{a, registered}
		}
	})
	return differs(got, err, want, nil)
}

func (c *course) reap(e event) error {
	if len(c.seen) == 0 {
		return nil
	}
	seen := c.seen[e.Pick%len(c.seen)]
	i := slices.IndexFunc(c.model.tasks, func(t *modelTask) bool { return t.id == seen.Ref.TaskID })
	got, err := c.bed.ReapAttempt(as(tenantA), seen.Attempt, e.Cause, e.Text)
	want, wantErr := c.model.reap(c.model.tasks[i], seen, e.Cause, e.Text)
	return differs(got, err, want, wantErr)
}

// agree compares all that is stored of the run with the model.
func (c *course) agree() error {
	for _, t := range c.model.tasks {
		if err := c.agreeOn(t); err != nil {
			return fmt.Errorf("task %s: %w", t.id, err)
		}
	}
	changes, err := c.bed.RunChanges(as(tenantA), c.model.run, 0, maxCourseChanges)
	if err := differs(changes, err, append([]domain.TaskChange{}, c.model.history...), nil); err != nil {
		return fmt.Errorf("history: %w", err)
	}
	return pathFault(changes)
}

// maxCourseChanges is more than the changes of any course.
const maxCourseChanges = 1_000

func (c *course) agreeOn(t *modelTask) error {
	key := domain.TaskKey{RunKey: c.model.run, TaskID: t.id}
	tasks, err := c.bed.ListTasks(as(tenantA), c.model.run, "", courseTasks)
	if err != nil {
		return err
	}
	want := domain.Task{TaskInstanceID: t.instance, TaskID: t.id, State: t.state, TryNumber: len(t.tries)}
	if !slices.ContainsFunc(tasks, func(s domain.TaskSummary) bool { return s.Task == want }) {
		return fmt.Errorf("%+v is not among %+v", want, tasks)
	}
	var tries []domain.Attempt
	for _, a := range slices.Backward(t.tries) {
		tries = append(tries, a.Attempt)
	}
	got, err := c.bed.ListAttempts(as(tenantA), key, 0, maxCourseChanges)
	if err := differs(got, err, append([]domain.Attempt{}, tries...), nil); err != nil {
		return err
	}
	entry, err := c.bed.GetXCom(as(tenantA), xcomKey(c.identity(t, 0)), nil, c.model.now)
	if a := t.current(); a != nil && a.value != "" {
		return differs(string(entry.Value), err, a.value, nil)
	}
	return differs(none{}, err, none{}, xcom.ErrNotFound)
}
