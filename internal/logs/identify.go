package logs

import "context"

// identify decides whether a numbered line of a call goes on with the numbers
// stored of its stream, or is of a restarted process, and in that case begins the
// stream anew (LOG-3). A session tells it; without one, the first line whose
// number an earlier call stored does, and decides for the whole call. keep says that the
// number counts as stored but no line of it was found. The lock is held, and
// given up for a while when stored lines must be read.
func (w *writer) identify(ctx context.Context, s *stream, timeless bool, rec *Record) (keep bool, err error) {
	switch {
	case rec.Session != 0:
		if s.started() && s.Session != rec.Session {
			w.log.restart(w, s, rec.Session)
		}
		s.Session = rec.Session
	case s.decided:
	case w.process == processSame:
	case w.process == processNew && !s.begun:
		if s.started() {
			w.log.restart(w, s, 0)
		}
	case rec.Number <= s.before && s.has(rec.Number):
		stored, found, err := w.lookUp(ctx, s.Name, rec.Number)
		if err != nil {
			return false, err
		}
		keep = !found
		w.process = processSame
		if found && (stored.Message != rec.Message || !timeless && !stored.Time.Equal(rec.Time)) {
			w.process = processNew
			w.log.restart(w, s, 0)
		}
	default:
		return false, nil
	}
	s.decided = true
	return keep, nil
}

// lookUp reads a stored line, without the lock, which is held before and after.
func (w *writer) lookUp(ctx context.Context, stream string, number int64) (rec Record, found bool, err error) {
	l := w.log
	end := l.end
	l.mu.Unlock()
	err = w.waitDurable(ctx, end)
	if err == nil {
		rec, found, err = l.lookUp(ctx, stream, number)
	}
	l.mu.Lock()
	if err == nil {
		err = w.refusal()
	}
	return rec, found, err
}

func (l *attemptLog) lookUp(ctx context.Context, stream string, number int64) (Record, bool, error) {
	if err := l.read.take(ctx); err != nil {
		return Record{}, false, err
	}
	defer l.read.give()
	l.mu.Lock()
	segs := segments{dir: l.path, bases: l.bases, end: l.durable}
	l.mu.Unlock()
	return segs.storedLine(stream, number)
}
