package agentsuite

import (
	"context"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"

	"github.com/neochaotic/leoflow/conformance/catalogue"
)

// The methods of AgentService.
const (
	register       = "Register"
	getTaskSpec    = "GetTaskSpec"
	fetchXCom      = "FetchXCom"
	pushXCom       = "PushXCom"
	streamLogs     = "StreamLogs"
	reportState    = "ReportState"
	heartbeat      = "Heartbeat"
	getVariables   = "GetVariables"
	getConnections = "GetConnections"
)

func rpcOf(method string) catalogue.RPC {
	return catalogue.RPC("/" + agentv1.AgentService_ServiceDesc.ServiceName + "/" + method)
}

// The words of a scene that no script says.
const (
	wordGone = "gone" // the last process of the task has ended
	wordEnd  = "end"  // the agent's process has ended
	wordConn = "conn" // a connection was taken
)

// moment is one thing that was seen: a call, a line of a log stream, or a word of the
// task's script or of the scene.
type moment struct {
	at     time.Time
	method string // empty: no call
	n      int    // which call of the method, from 1
	token  string
	in     proto.Message // what the call brought; nil: a log stream was opened
	word   string        // empty: a call
	rest   string        // what came with the word
}

func (m moment) isCall() bool { return m.method != "" }

// state is what a report reports; UNSPECIFIED: it is none.
func (m moment) state() agentv1.TaskState {
	if in, ok := m.in.(*agentv1.ReportStateRequest); ok {
		return in.GetState()
	}
	return agentv1.TaskState_TASK_STATE_UNSPECIFIED
}

const (
	stateRunning = agentv1.TaskState_TASK_STATE_RUNNING
	stateSuccess = agentv1.TaskState_TASK_STATE_SUCCESS
	stateFailed  = agentv1.TaskState_TASK_STATE_FAILED
)

func (m moment) isTerminal() bool { return m.state() > stateRunning }

// moments are what was seen, in order.
type moments []moment

// calls are those of a method; of StreamLogs, the openings.
func (ms moments) calls(method string) moments {
	return ms.those(func(m moment) bool { return m.method == method && (method != streamLogs || m.in == nil) })
}

// words are those of one word.
func (ms moments) words(word string) moments {
	return ms.those(func(m moment) bool { return m.word == word })
}

func (ms moments) those(are func(moment) bool) moments {
	return slices.DeleteFunc(slices.Clone(ms), func(m moment) bool { return !are(m) })
}

func (ms moments) terminals() moments { return ms.those(moment.isTerminal) }

func (m moment) isLineOf(stream string) bool {
	line, ok := m.in.(*agentv1.LogLine)
	return ok && line.GetStream() == stream
}

func (ms moments) lines() []*agentv1.LogLine {
	var out []*agentv1.LogLine
	for _, m := range ms {
		if line, ok := m.in.(*agentv1.LogLine); ok {
			out = append(out, line)
		}
	}
	return out
}

// since are those from the first of this word on; none, if it was not said.
func (ms moments) since(word string) moments {
	at := ms.first(func(m moment) bool { return m.word == word })
	if at < 0 {
		return nil
	}
	return ms[at:]
}

// first is the place of the first that is so; -1: none.
func (ms moments) first(is func(moment) bool) int { return slices.IndexFunc(ms, is) }

// Conditions on what was seen.
func started(ms moments) bool     { return len(ms.words("started")) > 0 }
func gone(ms moments) bool        { return len(ms.words(wordGone)) > 0 }
func ended(ms moments) bool       { return len(ms.words(wordEnd)) > 0 }
func hasTerminal(ms moments) bool { return len(ms.terminals()) > 0 }

func said(word string) func(moments) bool {
	return func(ms moments) bool { return len(ms.words(word)) > 0 }
}

func called(method string, times int) func(moments) bool {
	return func(ms moments) bool { return len(ms.calls(method)) >= times }
}

// record is what was seen so far. It is safe for concurrent use.
type record struct {
	mu      sync.Mutex
	moments moments
	counts  map[string]int
	changed chan struct{} // closed and replaced with each moment
}

func newRecord() *record {
	return &record{counts: map[string]int{}, changed: make(chan struct{})}
}

// add puts a moment at the end, and returns which call of its method it is.
func (r *record) add(m moment) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	m.at = time.Now()
	if m.n == 0 && m.isCall() {
		r.counts[m.method]++
		m.n = r.counts[m.method]
	}
	r.moments = append(r.moments, m)
	close(r.changed)
	r.changed = make(chan struct{})
	return m.n
}

// now is what was seen so far.
func (r *record) now() moments {
	ms, _ := r.look()
	return ms
}

func (r *record) look() (moments, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clip(r.moments), r.changed
}

// wait returns whether the condition held before ctx was done.
func (r *record) wait(ctx context.Context, holds func(moments) bool) bool {
	for {
		ms, changed := r.look()
		if holds(ms) {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return holds(r.now())
		}
	}
}
