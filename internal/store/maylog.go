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
		end, err := gather(ctx, s, s.ends.Do, id.Attempt())
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

// attemptEnd is what is known of an attempt's end; where nothing is, it may be otherwise.
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

// readEnds reads the ends of many attempts.
func (s *Store) readEnds(ctx context.Context, refs []domain.AttemptRef) ([]attemptEnd, error) {
	out := make([]attemptEnd, len(refs))
	var state string
	var ended int64
	err := s.fetching.writeOne(ctx, call{s.statements.end, refRows(refs), []any{&state, &ended}, func(n int) {
		out[n] = attemptEnd{known: true, live: domain.TaskState(state).Live(), at: instant(ended)}
	}})
	return unheld(out, err)
}
