package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/neochaotic/leoflow/internal/domain"
)

var raceTests = []test{
	{"TestState7OneTerminalReportWins", testTerminalRace},
	{"TestState9ReportSettleCancelRetryAndLaunchRace", testMixedRace},
	{"TestCreateRunRace", testCreateRace},
	{"TestLaunchRace", testLaunchRace},
	{"TestLaunchRaceOfSeveralCallers", testLaunchRaceOfCallers},
	{"TestCancelRunAndLaunchRace", testCancelRunRace},
	{"TestSecretsOfATenantFitWhoeverPutsThem", testQuotaRace},
}

func testTerminalRace(t *testing.T, b *bed) {
	id := b.launched(t, tenantA)
	for try := 1; try <= 5; try++ {
		const racers = 8
		errs := make([]error, racers)
		var wg sync.WaitGroup
		for i := range racers {
			wg.Go(func() { errs[i] = b.report(id, outcomes[i%3], i, fmt.Sprintf("of %d", i)) })
		}
		wg.Wait()
		stored, winners := b.attempt(t, id), 0
		for i, err := range errs {
			if err == nil {
				winners++
				if stored.State != outcomes[i%3] || stored.ExitCode != i || stored.Message != fmt.Sprintf("of %d", i) {
					t.Errorf("%d was told that it won; stored is %+v", i, stored)
				}
			} else if !errors.Is(err, domain.ErrFinished) {
				t.Errorf("%d: %v", i, err)
			}
		}
		if winners != 1 {
			t.Fatalf("%d winners", winners)
		}
		id = b.launch(t, tenantA, try+1, false)
	}
	outcomesOf := map[int]int{}
	for _, c := range b.changes(t, tenantA) {
		if c.State.Terminal() {
			outcomesOf[c.TryNumber]++
		}
	}
	wantEqual(t, outcomesOf, map[int]int{1: 1, 2: 1, 3: 1, 4: 1, 5: 1})
}

func testMixedRace(t *testing.T, b *bed) {
	id := b.launched(t, tenantA)
	for try := 1; try <= 4; try++ {
		var wg sync.WaitGroup
		for _, act := range []func() error{
			func() error { return b.report(id, domain.TaskStateRunning, 0, "") },
			func() error { return b.report(id, domain.TaskStateSuccess, 0, "") },
			func() error { return b.RecordHeartbeat(as(tenantA), id) },
			func() error { _, err := b.CancelTask(as(tenantA), theTask, time.Minute); return err },
			func() error { _, err := b.CancelRun(as(tenantA), theRun, time.Second); return err },
			func() error {
				_, _, err := b.SettleAttempt(as(tenantA), theTask, try, domain.Settlement{State: domain.TaskStateFailed, Cause: domain.CauseLost})
				return err
			},
			func() error { _, err := b.RetryTask(as(tenantA), theTask, try); return err },
			func() error {
				_, err := b.LaunchAttempt(as(tenantA), theTask, domain.NewAttempt{Try: try + 1, Supersede: true})
				return err
			},
		} {
			wg.Go(func() {
				err := act()
				if err != nil && !errors.Is(err, domain.ErrNotLive) && !errors.Is(err, domain.ErrPrecondition) {
					t.Error(err)
				}
				if errors.Is(err, domain.ErrUnknown) {
					t.Error("a known attempt is unknown")
				}
			})
		}
		wg.Wait()
		if b.task(t, tenantA).TryNumber == try { // retried, then skipped by a cancel, so not launched
			b.mustRetry(t, tenantA, try)
			b.launch(t, tenantA, try+1, false)
		}
		if task := b.task(t, tenantA); task.TryNumber != try+1 || task.State != domain.TaskStateQueued {
			t.Fatalf("task %+v", task)
		}
		a, err := b.Attempt(as(tenantA), theTask, try+1)
		wantNil(t, err)
		id = identity(a)
	}
	wantPath(t, b.changes(t, tenantA))
}

// wantPath holds the history of a task against the state table.
func wantPath(t *testing.T, changes []domain.TaskChange) {
	t.Helper()
	if err := pathFault(changes); err != nil {
		t.Fatal(err)
	}
}

// pathFault tells where the history of a run leaves the state table: each try is a
// path from queued, a try ends before the next begins, and a retry begins a path of
// its own once the one before has ended (STATE-9).
func pathFault(changes []domain.TaskChange) error {
	type place struct {
		try   int
		state domain.TaskState
	}
	at := map[string]place{}
	for _, c := range changes {
		from, known := at[c.TaskID]
		if !known {
			from.state = domain.TaskStateNone
		}
		next := c.TryNumber == from.try+1 && c.State == domain.TaskStateQueued
		switch {
		case next && (from.state.Terminal() || slices.Contains(from.state.Next(), c.State)):
		case c.TryNumber == from.try && c.State == domain.TaskStateUpForRetry && !from.state.Live() && from.state != c.State:
		case c.TryNumber == from.try && c.State != domain.TaskStateQueued && slices.Contains(from.state.Next(), c.State):
		default:
			return fmt.Errorf("task %s: try %d %s does not follow try %d %s", c.TaskID, c.TryNumber, c.State, from.try, from.state)
		}
		at[c.TaskID] = place{c.TryNumber, c.State}
	}
	return nil
}

func testCreateRace(t *testing.T, b *bed) {
	const racers = 6
	runs, created := make([]domain.Run, racers), make([]bool, racers)
	var wg sync.WaitGroup
	for i := range racers {
		wg.Go(func() {
			var err error
			if runs[i], created[i], err = b.CreateRun(as(tenantA), definition(theRun)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	first := 0
	for i := range racers {
		wantEqual(t, runs[i], runs[0])
		if created[i] {
			first++
		}
	}
	if first != 1 {
		t.Fatalf("created %d times", first)
	}
}

func testLaunchRace(t *testing.T, b *bed) {
	_, _, err := b.create(as(tenantA), definition(theRun))
	wantNil(t, err)
	const racers = 6
	attempts := make([]domain.Attempt, racers)
	var wg sync.WaitGroup
	for i := range racers {
		wg.Go(func() {
			var err error
			if attempts[i], err = b.LaunchAttempt(as(tenantA), theTask, domain.NewAttempt{Try: 1}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, a := range attempts {
		wantEqual(t, a, attempts[0])
	}
	b.wantSteps(t, tenantA, plain(1, domain.TaskStateQueued))
}

// testLaunchRaceOfCallers has callers with keys of their own launch one try, each
// twice: it is one caller's, both times.
func testLaunchRaceOfCallers(t *testing.T, b *bed) {
	_, _, err := b.create(as(tenantA), definition(theRun))
	wantNil(t, err)
	const racers = 6
	got := make([]bool, 2*racers)
	var wg sync.WaitGroup
	for i := range got {
		wg.Go(func() {
			key := fmt.Sprintf("of %d", i%racers)
			_, err := b.LaunchAttempt(as(tenantA), theTask, domain.NewAttempt{Try: 1, IdempotencyKey: key})
			if got[i] = err == nil; err != nil && !errors.Is(err, domain.ErrOtherCaller) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if count(got) != 2 || !slices.Equal(got[:racers], got[racers:]) {
		t.Fatalf("launched by %v", got)
	}
	b.wantSteps(t, tenantA, plain(1, domain.TaskStateQueued))
}

// testCancelRunRace cancels a run while its tasks are launched, first ones that were not
// before, then ones that are live. Whatever comes first, no attempt that is there when
// the cancel returns goes without it.
func testCancelRunRace(t *testing.T, b *bed) {
	const rounds, tasks = 4, 6
	for round := range rounds {
		r := domain.NewRun{RunKey: domain.RunKey{DagID: "race", RunID: fmt.Sprint(round)}}
		for i := range tasks {
			r.Tasks = append(r.Tasks, domain.TaskDefinition{TaskID: fmt.Sprint(i)})
		}
		_, _, err := b.create(as(tenantA), r)
		wantNil(t, err)
		for i := range tasks / 2 { // these are live
			_, err := b.LaunchAttempt(as(tenantA), domain.TaskKey{RunKey: r.RunKey, TaskID: fmt.Sprint(i)}, domain.NewAttempt{Try: 1})
			wantNil(t, err)
		}
		var wg sync.WaitGroup
		var got domain.RunCancellation
		wg.Go(func() {
			var err error
			if got, err = b.CancelRun(as(tenantA), r.RunKey, time.Minute); err != nil {
				t.Error(err)
			}
		})
		for i := range tasks {
			wg.Go(func() {
				a := domain.NewAttempt{Try: 1, Supersede: true}
				if i < tasks/2 {
					a.Try = 2
				}
				_, err := b.LaunchAttempt(as(tenantA), domain.TaskKey{RunKey: r.RunKey, TaskID: fmt.Sprint(i)}, a)
				if err != nil && !errors.Is(err, domain.ErrPrecondition) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		wantEqual(t, got.Pending+got.Skipped, tasks)
		for i := range tasks {
			attempts, err := b.ListAttempts(as(tenantA), domain.TaskKey{RunKey: r.RunKey, TaskID: fmt.Sprint(i)}, 0, 3)
			wantNil(t, err)
			cancelled := 0
			for _, a := range attempts {
				if !a.CancelRequestedAt.IsZero() {
					cancelled++
				}
			}
			if want := min(len(attempts), 1); cancelled != want {
				t.Fatalf("round %d: of %+v, %d are cancelled", round, attempts, cancelled)
			}
		}
	}
}

// testQuotaRace has several put what fits alone, and not together.
func testQuotaRace(t *testing.T, b *bed) {
	const writers = 6
	value := strings.Repeat("v", domain.MaxSecretsBytes/writers*2)
	var wg sync.WaitGroup
	put := make([]bool, writers)
	for i := range writers {
		wg.Go(func() {
			err := b.PutVariable(as(tenantA), theActor, fmt.Sprint(i), value)
			if put[i] = err == nil; err != nil && !errors.Is(err, domain.ErrQuota) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := count(put); n != writers/2-1 {
		t.Errorf("%d of %d are put", n, writers)
	}
}
