package storetest

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/neochaotic/leoflow/internal/domain"
)

// testTogether deals random courses out to callers that act at the same time. Which of
// them comes first nobody can say; but what each is told agrees with what is stored,
// and the history is a path of the state table.
func testTogether(t *testing.T, b *bed) {
	const courses, callers = 10, 6
	for seed := range courses {
		c, err := newCourse(b, fmt.Sprint("together ", seed))
		wantNil(t, err)
		h := &hustle{course: c, t: t}
		all := events().Example(seed)
		var wg sync.WaitGroup
		for i := range callers {
			wg.Go(func() {
				for n := i; n < len(all); n += callers {
					b.pass(all[n].Passing)
					h.act(all[n])
				}
			})
		}
		wg.Wait()
		h.check()
	}
}

// hustle is a course whose events come at the same time.
type hustle struct {
	*course
	t      *testing.T
	mu     sync.Mutex
	claims []claim
}

// claim is what a caller was told to have become of an attempt.
type claim struct {
	key domain.TaskKey
	try int
	domain.Settlement
	anyCause bool // the store chose it
}

func (h *hustle) claim(c claim) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.claims = append(h.claims, c)
}

// act does an event, and holds that its answer is one that a caller can expect.
func (h *hustle) act(e event) {
	t := h.model.tasks[e.Task] // of which only the ids are read: the model does not play
	key := domain.TaskKey{RunKey: h.model.run, TaskID: t.id}
	tasks, err := h.bed.ListTasks(as(tenantA), key.RunKey, "", courseTasks)
	if err != nil {
		h.t.Error(err)
		return
	}
	current := tasks[e.Task].TryNumber
	err = h.do(key, t, current+e.Try, e)
	for _, known := range []error{domain.ErrNotLive, domain.ErrPrecondition, domain.ErrOtherCaller, domain.ErrNotFound} {
		if err == nil || errors.Is(err, known) {
			return
		}
	}
	h.t.Errorf("%+v: %v", e, err)
}

func (h *hustle) do(key domain.TaskKey, t *modelTask, try int, e event) error {
	ctx, id := as(tenantA), h.identity(t, try)
	switch e.Deed {
	case "report", "report again", "push", "register":
		err := h.bed.report(id, e.State, e.Code, e.Text)
		if err == nil && e.State.Terminal() {
			h.claim(claim{key, try, domain.Settlement{State: e.State, ExitCode: e.Code, Message: e.Text}, true})
		}
		return err
	case "beat":
		return h.bed.RecordHeartbeat(ctx, id)
	case "cancel":
		if e.Whole {
			_, err := h.bed.CancelRun(ctx, key.RunKey, e.Within)
			return err
		}
		_, err := h.bed.CancelTask(ctx, key, e.Within)
		return err
	case "settle attempt":
		to := domain.Settlement{State: e.State, Cause: e.Cause, ExitCode: e.Code, Message: e.Text}
		_, settled, err := h.bed.SettleAttempt(ctx, key, try, to)
		if settled {
			h.claim(claim{key, try, to, false})
		}
		return err
	case "settle task":
		_, err := h.bed.SettleTask(ctx, key, e.State)
		return err
	case "retry":
		_, err := h.bed.RetryTask(ctx, key, try)
		return err
	case "launch":
		_, err := h.bed.LaunchAttempt(ctx, key, domain.NewAttempt{Try: try + 1, Supersede: e.Whole})
		return err
	}
	return h.reapLive(e)
}

// reapLive looks and reaps what it saw.
func (h *hustle) reapLive(e event) error {
	var seen []domain.Attempt
	_, err := h.bed.LiveAttempts(as(tenantA), 0, func(a domain.Attempt, _ bool) { seen = append(seen, a) })
	if err != nil || len(seen) == 0 {
		return err
	}
	a := seen[len(seen)-1-e.Pick%len(seen)]
	settled, err := h.bed.ReapAttempt(as(tenantA), a, e.Cause, e.Text)
	for _, t := range h.model.tasks {
		if settled && t.instance == a.Ref.TaskInstanceID {
			key := domain.TaskKey{RunKey: h.model.run, TaskID: t.id}
			h.claim(claim{key, a.Ref.TryNumber, domain.Settlement{State: domain.TaskStateFailed, Cause: e.Cause, Message: e.Text}, false})
		}
	}
	return err
}

// check holds everything that is stored, and was told, against each other.
func (h *hustle) check() {
	h.t.Helper()
	changes, err := h.bed.RunChanges(as(tenantA), h.model.run, 0, maxCourseChanges)
	wantNil(h.t, err)
	wantPath(h.t, changes)
	last, settled := map[string]domain.TaskChange{}, map[string]domain.TaskChange{}
	for i, c := range changes {
		if c.Revision != int64(i+1) {
			h.t.Fatalf("revision %d stands at %d", c.Revision, i+1)
		}
		// What settles a task past its attempts comes from a state that is not live.
		if name := fmt.Sprint(c.TaskID, " try ", c.TryNumber); c.State.Terminal() && last[c.TaskID].State.Live() {
			settled[name] = c
		}
		last[c.TaskID] = c
	}
	tasks, err := h.bed.ListTasks(as(tenantA), h.model.run, "", courseTasks)
	wantNil(h.t, err)
	for _, t := range tasks {
		if c, known := last[t.TaskID]; known && (t.State != c.State || t.TryNumber != c.TryNumber) {
			h.t.Fatalf("task %+v; its last change is %+v", t, c)
		}
		attempts, err := h.bed.ListAttempts(as(tenantA), domain.TaskKey{RunKey: h.model.run, TaskID: t.TaskID}, 0, maxCourseChanges)
		wantNil(h.t, err)
		for _, a := range attempts {
			c, known := settled[fmt.Sprint(t.TaskID, " try ", a.Ref.TryNumber)]
			if known == a.State.Live() || known && (a.State != c.State || a.Cause != c.Cause || a.ExitCode != c.ExitCode || a.Message != c.Message) {
				h.t.Fatalf("attempt %+v; it was settled by %+v", a, c)
			}
		}
	}
	for _, told := range h.claims {
		a, err := h.bed.Attempt(as(tenantA), told.key, told.try)
		wantNil(h.t, err)
		if a.State != told.State || a.ExitCode != told.ExitCode || a.Message != told.Message || !told.anyCause && a.Cause != told.Cause {
			h.t.Fatalf("STATE-7: told %+v; stored %+v", told, a)
		}
	}
}
