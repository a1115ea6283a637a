package store

import (
	"context"
	"time"

	"github.com/neochaotic/leoflow/ent/attempt"
	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
)

// MayLog returns until when an attempt may log (LOG-9): zero while it awaits its
// outcome, and then domain.LogGrace after its end, be that over or not. An attempt
// that does not exist is domain.ErrUnknown.
//
// Very many streams are opened at a time, and looked at for as long as they are open: they are
// looked up among others, and one that is not found so by itself, which tells why.
func (s *Store) MayLog(ctx context.Context, id auth.AgentIdentity) (time.Time, error) {
	if err := within(ctx, id.TenantID); err != nil {
		return time.Time{}, err
	}
	if s.ends != nil {
		end, err := s.endOf(ctx, id.Attempt())
		if err != nil {
			return time.Time{}, err
		}
		if end.known {
			return end.mayLog(), nil
		}
	}
	row, err := s.ownAttempt(ctx, id)
	if err != nil {
		return time.Time{}, err
	}
	return attemptEnd{live: row.State.Live(), at: laterInstant(row.EndedAt)}.mayLog(), nil
}

// attemptEnd is what is known of an attempt's end.
type attemptEnd struct {
	known, live bool
	at          time.Time // of one that has ended
}

func (e attemptEnd) mayLog() time.Time {
	if e.live {
		return time.Time{}
	}
	return e.at.Add(domain.LogGrace)
}

// newEnd is the statement that reads the ends of attempts.
func (s *Store) newEnd() *many {
	w := s.forMany(refColumns...)
	w.reading(
		w.in(attempt.Table, attempt.FieldState), "COALESCE("+w.in(attempt.Table, attempt.FieldEndedAt)+", 0)",
	).WriteString(" JOIN ").Ident(attempt.Table).WriteString(" ON ")
	return w.own().found()
}

// endOf reads the end of an attempt among others; one that is not known: it may be otherwise.
func (s *Store) endOf(ctx context.Context, ref domain.AttemptRef) (attemptEnd, error) {
	end, err := s.begin()
	if err != nil {
		return attemptEnd{}, err
	}
	defer end()
	got, err := s.ends.Do(ctx, ref)
	return got, explain(err)
}

// readEnds reads the ends of many attempts.
func (s *Store) readEnds(ctx context.Context, refs []domain.AttemptRef) ([]attemptEnd, error) {
	rows := make([][]any, len(refs))
	for i, ref := range refs {
		rows[i] = refRow(ref)
	}
	out := make([]attemptEnd, len(refs))
	var state string
	var ended int64
	err := s.fetching.writeOne(ctx, call{s.statements.end, rows, []any{&state, &ended}, func(n int) {
		out[n] = attemptEnd{known: true, live: domain.TaskState(state).Live(), at: instant(ended)}
	}})
	return unheld(out, err)
}
