package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/batch"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/xcom"
)

// crowd is a broken store with live attempts of more tasks.
type crowd struct {
	broken
	ids []auth.AgentIdentity
}

func onCrowd(t *testing.T, n int, test func(t *testing.T, c crowd)) {
	onBroken(t, func(t *testing.T, b broken) { test(t, newCrowd(t, b, n)) })
}

func newCrowd(t *testing.T, b broken, n int) crowd {
	c := crowd{broken: b}
	run := domain.RunKey{DagID: "d", RunID: "crowd"}
	def := domain.NewRun{RunKey: run}
	for i := range n {
		def.Tasks = append(def.Tasks, domain.TaskDefinition{TaskID: fmt.Sprint(i)})
	}
	if _, _, err := b.CreateRun(as("a"), def); err != nil {
		t.Fatal(err)
	}
	for _, task := range def.Tasks {
		a, err := b.LaunchAttempt(as("a"), domain.TaskKey{RunKey: run, TaskID: task.TaskID}, domain.NewAttempt{Try: 1})
		if err != nil {
			t.Fatal(err)
		}
		c.ids = append(c.ids, auth.IdentityOf(a.Ref))
	}
	return c
}

func (c crowd) refs() []domain.AttemptRef {
	out := make([]domain.AttemptRef, len(c.ids))
	for i, id := range c.ids {
		out[i] = id.Attempt()
	}
	return out
}

// heartbeat is RecordHeartbeat, for tests of what it is told and not of when: on a machine that
// stood still meanwhile the store has given it up, and is asked again.
func (s *Store) heartbeat(ctx context.Context, id auth.AgentIdentity) error {
	return inTime(func() error { return s.RecordHeartbeat(ctx, id) })
}

// inTime makes a heartbeat until the store had the time that it gives one.
func inTime(beat func() error) (err error) {
	for range 10 {
		began := time.Now()
		if err = beat(); !errors.Is(err, domain.ErrUnavailable) || time.Since(began) < beatsWithin {
			break
		}
	}
	return err
}

// TestAnItemAtFaultFailsAlone has the database refuse one attempt, whatever it does.
func TestAnItemAtFaultFailsAlone(t *testing.T) {
	onCrowd(t, 5, func(t *testing.T, c crowd) {
		bad := c.ids[2]
		if c.postgres {
			c.exec(t, "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'refused'; END$$")
			c.exec(t, fmt.Sprintf("CREATE TRIGGER refuse BEFORE UPDATE ON attempts FOR EACH ROW WHEN (NEW.instance_id = '%s') EXECUTE FUNCTION refuse()", bad.TaskInstanceID))
		} else {
			c.exec(t, fmt.Sprintf("CREATE TRIGGER refuse BEFORE UPDATE ON attempts WHEN NEW.instance_id = '%s' BEGIN SELECT RAISE(ABORT, 'refused'); END", bad.TaskInstanceID))
		}
		entry := xcom.Entry{Value: []byte("1"), CreatedAt: time.Now()}
		for name, do := range map[string]func(auth.AgentIdentity) error{
			"beat": func(id auth.AgentIdentity) error { return c.heartbeat(as("a"), id) },
			"push": func(id auth.AgentIdentity) error {
				return c.PutXCom(as("a"), id.Attempt(), "k", entry, time.Now().Add(time.Hour))
			},
			"report": func(id auth.AgentIdentity) error {
				return c.ReportState(as("a"), id, domain.TaskStateRunning, 0, "")
			},
		} {
			errs := c.atOnce(t, do)
			for i, err := range errs {
				refused := err != nil && !errors.Is(err, domain.ErrUnavailable) && !errors.Is(err, domain.ErrNotLive)
				if refused != (c.ids[i] == bad) || err != nil && !refused {
					t.Errorf("%s of %d: %v", name, i, err)
				}
			}
		}
	})
}

// atOnce does something for every attempt, all while nothing is written.
func (c crowd) atOnce(t *testing.T, do func(auth.AgentIdentity) error) []error {
	t.Helper()
	errs := make([]error, len(c.ids))
	var calls sync.WaitGroup
	for i, id := range c.ids {
		calls.Go(func() { errs[i] = do(id) })
	}
	calls.Wait()
	return errs
}

// TestBeat2AHeldAttemptHoldsUpNoOther has another transaction hold the row of one.
func TestBeat2AHeldAttemptHoldsUpNoOther(t *testing.T) {
	c := newCrowd(t, newBroken(t, alone["postgres"](t)), 4) // on SQLite there is no row to hold
	tx, err := c.db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec("SELECT FROM attempts WHERE instance_id = $1 FOR UPDATE", c.ids[1].TaskInstanceID); err != nil {
		t.Fatal(err)
	}
	deeds := make([]deed, len(c.ids))
	for i, ref := range c.refs() {
		deeds[i].report = &report{ref: ref, state: domain.TaskStateRunning}
	}
	for name, write := range map[string]func() ([]outcome, error){
		"beats": func() ([]outcome, error) { return c.writeBeats(context.Background(), c.refs()) },
		"deeds": func() ([]outcome, error) { return c.writeDeeds(context.Background(), deeds) },
	} {
		if out, err := write(); err != nil || len(out) != len(c.ids) || out[0] != byItself {
			t.Errorf("%s: %v, %v", name, out, err)
		}
	}
	held := make(chan error, 1)
	go func() { held <- c.heartbeat(as("a"), c.ids[1]) }()
	for _, i := range []int{0, 2, 3} {
		if err := c.heartbeat(as("a"), c.ids[i]); err != nil {
			t.Errorf("%d: %v", i, err)
		}
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := <-held; err != nil {
		t.Errorf("the held one, afterwards: %v", err)
	}
}

// TestLimit2WhatAFullQueueAnswers has both queues full: pushes are told to come again, a
// heartbeat gets no answer, and reports wait.
func TestLimit2WhatAFullQueueAnswers(t *testing.T) {
	onCrowd(t, 4, func(t *testing.T, c crowd) {
		began, goOn := make(chan struct{}, 100), make(chan struct{})
		hang := func() { began <- struct{}{}; <-goOn }
		old := []interface{ Close(context.Context) error }{c.deeds, c.Store.beats}
		c.deeds = batch.New(batch.Config[deed, outcome]{
			Write: func(ctx context.Context, d []deed) ([]outcome, error) { hang(); return c.writeDeeds(ctx, d) },
			Key:   deed.key, MaxQueue: 1, Timeout: time.Minute,
		})
		c.Store.beats = batch.New(batch.Config[domain.AttemptRef, outcome]{
			Write: func(ctx context.Context, r []domain.AttemptRef) ([]outcome, error) {
				hang()
				return c.writeBeats(ctx, r)
			},
			Key: keyOf, MaxQueue: 1, Timeout: time.Minute,
		})
		for _, w := range old {
			if err := w.Close(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		push := func(id auth.AgentIdentity) error {
			return c.PutXCom(as("a"), id.Attempt(), "k", xcom.Entry{Value: []byte("1"), CreatedAt: time.Now()}, time.Now().Add(time.Hour))
		}
		beat := func(id auth.AgentIdentity) error { return c.RecordHeartbeat(as("a"), id) }
		report := func(id auth.AgentIdentity) error {
			return c.ReportState(as("a"), id, domain.TaskStateSuccess, 0, "")
		}
		for _, kind := range []struct {
			do      func(auth.AgentIdentity) error
			refusal error
		}{{push, domain.ErrOverloaded}, {beat, domain.ErrUnavailable}} {
			taken := make(chan error, 1)
			go func() { taken <- kind.do(c.ids[0]) }()
			<-began
			// Of two more, one waits and one is refused.
			more := make(chan error, 2)
			for _, id := range c.ids[1:3] {
				go func() { more <- kind.do(id) }()
			}
			if err := <-more; !errors.Is(err, kind.refusal) || !errors.Is(err, batch.ErrFull) {
				t.Errorf("refused with %v, want %v", err, kind.refusal)
			}
			defer func() {
				if err := errors.Join(<-taken, <-more); err != nil {
					t.Errorf("what waited: %v", err)
				}
			}()
		}
		waiting := make(chan error, 1)
		go func() { waiting <- report(c.ids[3]) }()
		select {
		case err := <-waiting:
			t.Errorf("a report did not wait: %v", err)
		case <-time.After(50 * time.Millisecond):
		}
		close(goOn)
		if err := <-waiting; err != nil {
			t.Errorf("a report that waited: %v", err)
		}
	})
}

// TestState2WhatWaitsForTheDisk: all but heartbeats.
func TestState2WhatWaitsForTheDisk(t *testing.T) {
	onBroken(t, func(t *testing.T, b broken) {
		query, full, off := "PRAGMA synchronous", "2", "1"
		if b.postgres {
			query, full, off = "SHOW synchronous_commit", "on", "off"
		}
		for want, g := range map[string]*gathering{full: b.durable, off: b.hasty} {
			var got string
			if err := g.db.QueryRow(query).Scan(&got); err != nil || got != want {
				t.Errorf("%s: %s, %v; want %s", query, got, err, want)
			}
		}
	})
}
