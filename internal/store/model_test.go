//go:build !race

// Here the model is tried, by one caller at a time: the race detector would find nothing
// in it, and take minutes. CI runs it without.

package store_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/neochaotic/leoflow/ent"
	"github.com/neochaotic/leoflow/ent/attempt"
	"github.com/neochaotic/leoflow/ent/run"
	"github.com/neochaotic/leoflow/ent/taskchange"
	"github.com/neochaotic/leoflow/ent/taskinstance"
	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/store"
	"github.com/neochaotic/leoflow/internal/store/storetest"
)

// courses is how many random courses must suffice to find a planted fault.
const courses = 60

// TestState9TheModelFindsNothingWrong holds of the store as it is, on every dialect.
func TestState9TheModelFindsNothingWrong(t *testing.T) {
	store.OnEach(t, func(t *testing.T, fresh func(testing.TB) store.Config) {
		whole := opener(fresh(t), func(s *store.Store) storetest.Store { return s })
		if err := storetest.CheckModel(t, whole, courses); err != nil {
			t.Fatalf("with no fault planted: %v", err)
		}
	})
}

// TestState9TheModelFindsPlantedFaults breaks one transition of the store at a time,
// in what it stores or in what it answers, and has the model find it in as many courses
// as show nothing wrong with the store as it is. It is the model that is tried, so one
// dialect will do.
func TestState9TheModelFindsPlantedFaults(t *testing.T) {
	for name, plant := range faults {
		t.Run(name, func(t *testing.T) {
			if err := storetest.CheckModel(t, opener(store.Fresh(t), plant), courses); err == nil {
				t.Errorf("not found in %d courses", courses)
			} else {
				t.Logf("found: %v", err)
			}
		})
	}
}

var faults = map[string]func(*store.Store) storetest.Store{
	"a late RUNNING reopens":                       func(s *store.Store) storetest.Store { return reopening{s} },
	"a settled attempt's report is taken":          func(s *store.Store) storetest.Store { return overwriting{s, domain.ErrFinished} },
	"a superseded attempt's report is taken":       func(s *store.Store) storetest.Store { return overwriting{s, domain.ErrSuperseded} },
	"a lost attempt's report is taken":             func(s *store.Store) storetest.Store { return overwriting{s, domain.ErrLost} },
	"a cancel forgets the cause":                   func(s *store.Store) storetest.Store { return causeless{s} },
	"a RUNNING is taken while a cancel is pending": func(s *store.Store) storetest.Store { return deaf{s} },
	"a repeat is told to terminate":                func(s *store.Store) storetest.Store { return impatient{s} },
	"a move leaves no entry":                       func(s *store.Store) storetest.Store { return forgetful{s} },
	"a settling overwrites":                        func(s *store.Store) storetest.Store { return settling{s} },
	"a launch supersedes unasked":                  func(s *store.Store) storetest.Store { return pushy{s} },
	"a launch gives another caller's attempt":      func(s *store.Store) storetest.Store { return careless{s} },
	"a launch opens what was settled":              func(s *store.Store) storetest.Store { return opening{s} },
	"a cancel is carried over to the next try":     func(s *store.Store) storetest.Store { return grudging{s} },
	"a cancel moves the deadline":                  func(s *store.Store) storetest.Store { return lenient{s} },
	"a cancel leaves what waits for a retry":       func(s *store.Store) storetest.Store { return sparing{s} },
	"a retry leaves the attempt alive":             func(s *store.Store) storetest.Store { return twofold{s} },
	"a retry goes by the task alone":               func(s *store.Store) storetest.Store { return blind{s} },
	"a reaper overlooks a beat":                    func(s *store.Store) storetest.Store { return hasty{s} },
	"a superseded attempt's beat is answered":      func(s *store.Store) storetest.Store { return soothing{s} },
}

// force writes an attempt, and its task where it is of the current try, whatever they
// are, and past the history.
func force(ctx context.Context, s *store.Store, id auth.AgentIdentity, state domain.TaskState, change func(*ent.AttemptUpdate)) error {
	w := store.WriterOf(s)
	update := w.Attempt.Update().Where(attempt.InstanceID(id.TaskInstanceID), attempt.Try(id.TryNumber)).SetState(state)
	if change != nil {
		change(update)
	}
	return errors.Join(update.Exec(ctx), w.TaskInstance.Update().
		Where(taskinstance.InstanceID(id.TaskInstanceID), taskinstance.CurrentTry(id.TryNumber)).SetState(state).Exec(ctx))
}

type reopening struct{ *store.Store }

func (s reopening) ReportState(ctx context.Context, id auth.AgentIdentity, state domain.TaskState, code int, message string) error {
	err := s.Store.ReportState(ctx, id, state, code, message)
	if state == domain.TaskStateRunning && errors.Is(err, domain.ErrFinished) {
		return force(ctx, s.Store, id, state, nil)
	}
	return err
}

// overwriting takes a terminal report that the store refuses with a reason.
type overwriting struct {
	*store.Store
	refusal error
}

func (s overwriting) ReportState(ctx context.Context, id auth.AgentIdentity, state domain.TaskState, code int, message string) error {
	err := s.Store.ReportState(ctx, id, state, code, message)
	if state.Terminal() && errors.Is(err, s.refusal) {
		return force(ctx, s.Store, id, state, func(u *ent.AttemptUpdate) { u.SetExitCode(code).SetMessage(message) })
	}
	return err
}

type causeless struct{ *store.Store }

func (s causeless) ReportState(ctx context.Context, id auth.AgentIdentity, state domain.TaskState, code int, message string) error {
	_, pending, err := s.StopBy(ctx, id)
	if reported := s.Store.ReportState(ctx, id, state, code, message); reported != nil || err != nil || !pending || state != domain.TaskStateFailed {
		return reported
	}
	return force(ctx, s.Store, id, state, func(u *ent.AttemptUpdate) { u.SetCause(domain.CauseNone) })
}

type deaf struct{ *store.Store }

func (s deaf) ReportState(ctx context.Context, id auth.AgentIdentity, state domain.TaskState, code int, message string) error {
	_, pending, _ := s.StopBy(ctx, id)
	err := s.Store.ReportState(ctx, id, state, code, message)
	if pending && state == domain.TaskStateRunning {
		return force(ctx, s.Store, id, state, nil)
	}
	return err
}

type impatient struct{ *store.Store }

func (s impatient) ReportState(ctx context.Context, id auth.AgentIdentity, state domain.TaskState, code int, message string) error {
	until, before := s.MayLog(ctx, id)
	err := s.Store.ReportState(ctx, id, state, code, message)
	if settled := before == nil && !until.IsZero(); settled && err == nil {
		return domain.ErrFinished
	}
	return err
}

type forgetful struct{ *store.Store }

func (s forgetful) ReportState(ctx context.Context, id auth.AgentIdentity, state domain.TaskState, code int, message string) error {
	err := s.Store.ReportState(ctx, id, state, code, message)
	if err != nil || state != domain.TaskStateSkipped {
		return err
	}
	w := store.WriterOf(s.Store)
	pk, err := w.Run.Query().Where(run.DagID(id.DagID), run.RunID(id.RunID)).OnlyID(ctx)
	if err != nil {
		return err
	}
	_, err = w.TaskChange.Delete().Where(
		taskchange.RunPk(pk), taskchange.TaskID(id.TaskID), taskchange.Try(id.TryNumber), taskchange.StateEQ(state)).Exec(ctx)
	return err
}

type settling struct{ *store.Store }

func (s settling) SettleAttempt(ctx context.Context, key domain.TaskKey, try int, to domain.Settlement) (domain.Attempt, bool, error) {
	a, settled, err := s.Store.SettleAttempt(ctx, key, try, to)
	if err == nil && !settled {
		err = force(ctx, s.Store, auth.IdentityOf(a.Ref), to.State, func(u *ent.AttemptUpdate) { u.SetCause(to.Cause) })
	}
	return a, settled, err
}

type pushy struct{ *store.Store }

func (s pushy) LaunchAttempt(ctx context.Context, key domain.TaskKey, a domain.NewAttempt) (domain.Attempt, error) {
	a.Supersede = true
	return s.Store.LaunchAttempt(ctx, key, a)
}

type careless struct{ *store.Store }

func (s careless) LaunchAttempt(ctx context.Context, key domain.TaskKey, a domain.NewAttempt) (domain.Attempt, error) {
	got, err := s.Store.LaunchAttempt(ctx, key, a)
	if errors.Is(err, domain.ErrOtherCaller) {
		return s.Attempt(ctx, key, a.Try)
	}
	return got, err
}

type opening struct{ *store.Store }

func (s opening) LaunchAttempt(ctx context.Context, key domain.TaskKey, a domain.NewAttempt) (domain.Attempt, error) {
	w := store.WriterOf(s.Store)
	_, err := w.TaskInstance.Update().Where(
		taskinstance.DagID(key.DagID), taskinstance.RunID(key.RunID), taskinstance.TaskID(key.TaskID),
		taskinstance.CurrentTry(a.Try-1), taskinstance.StateEQ(domain.TaskStateSkipped),
	).SetState(domain.TaskStateUpForRetry).Save(ctx)
	if err != nil {
		return domain.Attempt{}, err
	}
	return s.Store.LaunchAttempt(ctx, key, a)
}

type grudging struct{ *store.Store }

func (s grudging) LaunchAttempt(ctx context.Context, key domain.TaskKey, a domain.NewAttempt) (domain.Attempt, error) {
	old, _ := s.Attempt(ctx, key, a.Try-1)
	got, err := s.Store.LaunchAttempt(ctx, key, a)
	if err == nil && !old.CancelRequestedAt.IsZero() {
		_, err = s.CancelTask(ctx, key, time.Minute)
	}
	return got, err
}

type lenient struct{ *store.Store }

func (s lenient) CancelTask(ctx context.Context, key domain.TaskKey, within time.Duration) (domain.Cancellation, error) {
	got, err := s.Store.CancelTask(ctx, key, within)
	if err == nil && within == time.Minute && !got.StopBy.IsZero() {
		w := store.WriterOf(s.Store)
		err = w.Attempt.Update().Where(attempt.DagID(key.DagID), attempt.RunID(key.RunID), attempt.TaskID(key.TaskID)).
			SetCancelStopBy(got.StopBy.Add(within).UnixMicro()).Exec(ctx)
	}
	return got, err
}

type sparing struct{ *store.Store }

func (s sparing) CancelTask(ctx context.Context, key domain.TaskKey, within time.Duration) (domain.Cancellation, error) {
	tasks, err := s.ListTasks(ctx, key.RunKey, "", 100)
	for _, t := range tasks {
		if t.TaskID == key.TaskID && t.State == domain.TaskStateUpForRetry {
			return domain.Cancellation{State: domain.TaskStateSkipped}, err
		}
	}
	return s.Store.CancelTask(ctx, key, within)
}

type twofold struct{ *store.Store }

func (s twofold) RetryTask(ctx context.Context, key domain.TaskKey, try int) (bool, error) {
	old, _ := s.Attempt(ctx, key, try)
	changed, err := s.Store.RetryTask(ctx, key, try)
	if changed && old.State.Live() {
		w := store.WriterOf(s.Store)
		err = w.Attempt.Update().Where(attempt.InstanceID(old.Ref.TaskInstanceID), attempt.Try(try)).
			SetState(old.State).SetCause(domain.CauseNone).ClearEndedAt().Exec(ctx)
	}
	return changed, err
}

type blind struct{ *store.Store }

func (s blind) RetryTask(ctx context.Context, key domain.TaskKey, try int) (bool, error) {
	tasks, err := s.ListTasks(ctx, key.RunKey, "", 100)
	for _, t := range tasks {
		if t.TaskID == key.TaskID && try > 0 {
			try = t.TryNumber
		}
	}
	if err != nil {
		return false, err
	}
	return s.Store.RetryTask(ctx, key, try)
}

type hasty struct{ *store.Store }

func (s hasty) ReapAttempt(ctx context.Context, seen domain.Attempt, cause domain.Cause, message string) (bool, error) {
	id := auth.IdentityOf(seen.Ref)
	now, err := s.Attempt(ctx, domain.TaskKey{RunKey: domain.RunKey{DagID: id.DagID, RunID: id.RunID}, TaskID: id.TaskID}, id.TryNumber)
	if err != nil {
		return false, err
	}
	seen.HeartbeatAt = now.HeartbeatAt
	return s.Store.ReapAttempt(ctx, seen, cause, message)
}

type soothing struct{ *store.Store }

func (s soothing) RecordHeartbeat(ctx context.Context, id auth.AgentIdentity) error {
	err := s.Store.RecordHeartbeat(ctx, id)
	if errors.Is(err, domain.ErrSuperseded) {
		return nil
	}
	return err
}
