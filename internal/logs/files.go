package logs

import (
	"log/slog"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// files are the segments that are open to be written, however many logs are: no more than
// so many, of the batches under way and of the logs that wrote last. A file that is closed here
// holds nothing that is not synced, and is opened again with the next batch of its log.
type files struct {
	logger *slog.Logger

	mu      sync.Mutex
	room    sync.Cond // for who waits until a batch has ended
	free    int       // descriptors that may be opened
	resting *simplelru.LRU[*attemptLog, file]
}

func newFiles(most int, logger *slog.Logger) *files {
	resting, err := simplelru.NewLRU[*attemptLog, file](most, nil)
	if err != nil {
		panic(err) // of a size below 1, which [Options] refuse
	}
	f := &files{logger: logger, free: most, resting: resting}
	f.room.L = &f.mu
	return f
}

// begin is before a batch. It returns the file of l if that is open; nil: the caller may open
// one. Where so many batches are under way, it waits for the end of one.
func (f *files) begin(l *attemptLog) file {
	f.mu.Lock()
	for {
		if open, ok := f.resting.Peek(l); ok {
			f.resting.Remove(l)
			f.mu.Unlock()
			return open
		}
		if f.free > 0 {
			f.free--
			f.mu.Unlock()
			return nil
		}
		if _, oldest, ok := f.resting.RemoveOldest(); ok {
			f.mu.Unlock()
			f.close(oldest)
			return nil
		}
		f.room.Wait()
	}
}

// end is after a batch. A file that is not nil stays open until another log needs to open its own.
func (f *files) end(l *attemptLog, open file) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if open == nil {
		f.free++
	} else {
		f.resting.Add(l, open)
	}
	f.room.Signal()
}

// leave closes the file of a log that is written no more, if it is open. No batch is under way.
func (f *files) leave(l *attemptLog) {
	f.mu.Lock()
	open, ok := f.resting.Peek(l)
	f.resting.Remove(l)
	f.mu.Unlock()
	if !ok {
		return
	}
	f.close(open)
	f.end(l, nil)
}

func (f *files) close(open file) {
	if err := open.Close(); err != nil {
		f.logger.Warn("closing a log", "error", err)
	}
}
