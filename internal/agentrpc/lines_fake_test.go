package agentrpc

import (
	"context"
	"errors"
	"fmt"
	"sync"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	"github.com/neochaotic/leoflow/internal/logs"
)

func ackText(ack *agentv1.LogAck) string {
	return fmt.Sprintf("%s:%d", ack.GetStream(), ack.GetAcknowledgedThroughLine())
}

// fakeLines is a log sink that acknowledges lines while they flow. It keeps them in
// memory, and calls them durable at once.
type fakeLines struct {
	*script
	mu      sync.Mutex
	writers []*lineWriter
	opened  chan *lineWriter // holds each, where there is room
}

func newFakeLines(s *script) *fakeLines {
	return &fakeLines{script: s, opened: make(chan *lineWriter, 16)}
}

func (f *fakeLines) Open(logs.Ref) (logs.LogWriter, error) {
	return nil, errors.New("the plain opener of a richer sink is used")
}

func (f *fakeLines) OpenLines(ctx context.Context, ref logs.Ref) (logs.LineWriter, error) {
	if err := f.called(ctx, "OpenLines", ref); err != nil {
		return nil, err
	}
	w := &lineWriter{
		script: f.script, through: map[string]int64{}, news: map[string]bool{},
		ready: make(chan struct{}, 1), superseded: make(chan struct{}),
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.writers) > 0 {
		f.writers[len(f.writers)-1].supersede()
	}
	f.writers = append(f.writers, w)
	select {
	case f.opened <- w:
	default:
	}
	return w, nil
}

// lineWriter is one call's writer.
type lineWriter struct {
	*script
	ready, superseded chan struct{}
	once              sync.Once

	mu      sync.Mutex
	lines   []logs.Line
	order   []string
	through map[string]int64
	news    map[string]bool
	closed  bool
}

func (w *lineWriter) supersede() {
	w.once.Do(func() {
		close(w.superseded)
		w.signal()
	})
}

func (w *lineWriter) Append(ctx context.Context, l logs.Line) error {
	if err := w.called(ctx, "Append", l); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines = append(w.lines, l)
	if _, known := w.through[l.Stream]; !known {
		w.order = append(w.order, l.Stream)
	}
	w.through[l.Stream], w.news[l.Stream] = l.Number, true
	w.signal()
	return nil
}

func (w *lineWriter) signal() {
	select {
	case w.ready <- struct{}{}:
	default:
	}
}

func (w *lineWriter) Ready() <-chan struct{} {
	if err := w.called(context.Background(), "Ready", nil); err != nil {
		return nil
	}
	return w.ready
}

func (w *lineWriter) Acks() []logs.Ack {
	if err := w.called(context.Background(), "Acks", nil); err != nil {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var acks []logs.Ack
	for _, stream := range w.order {
		if w.news[stream] {
			w.news[stream] = false
			acks = append(acks, logs.Ack{Stream: stream, Through: w.through[stream]})
		}
	}
	return acks
}

func (w *lineWriter) Superseded() <-chan struct{} {
	if err := w.called(context.Background(), "Superseded", nil); err != nil {
		return nil
	}
	return w.superseded
}

// Close makes every stream news once more, as the interface demands.
func (w *lineWriter) Close() error {
	err := w.called(context.Background(), "Close", nil)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return err
	}
	w.closed = true
	for _, stream := range w.order {
		w.news[stream] = err == nil
	}
	return err
}

func (w *lineWriter) kept() []logs.Line {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]logs.Line(nil), w.lines...)
}

func (w *lineWriter) isClosed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.closed
}

var (
	_ logs.LineSink   = (*fakeLines)(nil)
	_ logs.LineWriter = (*lineWriter)(nil)
	_ LogSink         = (*fakeLines)(nil)
)

// lineRig is a server whose sink acknowledges while lines flow.
type lineRig struct {
	*rig
	sink    *fakeLines
	admitAt *admittingStore
}

func newLineRig() *lineRig {
	s := newScript()
	store := &admittingStore{plainStore{s}, fakeAdmitter{s: s}}
	r := &lineRig{rig: rigOf(s, store, plainXCom{s}), sink: newFakeLines(s), admitAt: store}
	r.SetLogSink(r.sink)
	return r
}
