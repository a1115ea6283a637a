package drill

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"sync"

	"google.golang.org/protobuf/proto"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
)

// Attempt names one try of a task.
type Attempt struct {
	Dag, Run, Task string
	Try            int32
}

func (a Attempt) String() string { return fmt.Sprintf("%s/%d", a.Task, a.Try) }

// Report is a report of an attempt's state, and its answer.
type Report struct {
	State     agentv1.TaskState
	ExitCode  int32
	Message   string
	Terminate bool // the answer told the agent to end
}

// Stream is what one agent sent of one stream of its log, and saw acknowledged.
type Stream struct {
	Sent  map[int64]string // numbered lines
	Acked int64            // the number through which they are acknowledged
	Loose map[string]Loose // unnumbered lines, by their text
}

// Loose is how often an unnumbered line was sent, and acknowledged.
type Loose struct{ Sent, Acked int }

// Seen is what the agent of one attempt sent, and saw acknowledged.
type Seen struct {
	Reports []Report          // acknowledged, in the order of the answers; repeats too
	Values  map[string][]byte // accepted; the last of each key
	Streams map[string]*Stream
	// Faults are what an agent may never do, such as another text under a number.
	Faults []string
}

func newSeen() *Seen { return &Seen{Values: map[string][]byte{}, Streams: map[string]*Stream{}} }

func (s *Seen) stream(name string) *Stream {
	st, ok := s.Streams[name]
	if !ok {
		st = &Stream{Sent: map[int64]string{}, Loose: map[string]Loose{}}
		s.Streams[name] = st
	}
	return st
}

// Progress counts what passed: lines that were never sent before, and the requests of
// reports, values and launches, repeats included.
type Progress struct{ Lines, Reports, Values, Launches int }

// Recorder is the tap that keeps what agents sent and saw acknowledged. What the
// server answered counts, though the answer may not have reached the agent: the record
// is what agents saw at least. It is safe for concurrent use.
type Recorder struct {
	mu       sync.Mutex
	seen     map[Attempt]*Seen
	progress Progress
	changed  chan struct{} // closed and replaced at each progress
}

// NewRecorder returns an empty record.
func NewRecorder() *Recorder {
	return &Recorder{seen: map[Attempt]*Seen{}, changed: make(chan struct{})}
}

// Of is what of the record is of one DAG, once all calls have ended: what is seen of an
// attempt is not a copy.
func (r *Recorder) Of(dag string) map[Attempt]*Seen {
	of := maps.Clone(r.seen)
	maps.DeleteFunc(of, func(a Attempt, _ *Seen) bool { return a.Dag != dag })
	return of
}

// Progress is how far it is now.
func (r *Recorder) Progress() Progress {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.progress
}

// Await waits until the progress is enough, or returns the error of ctx.
func (r *Recorder) Await(ctx context.Context, enough func(Progress) bool) error {
	for {
		r.mu.Lock()
		progress, changed := r.progress, r.changed
		r.mu.Unlock()
		if enough(progress) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// step counts progress; the lock is held.
func (r *Recorder) step(counter *int) {
	*counter++
	close(r.changed)
	r.changed = make(chan struct{})
}

// note adds to what an attempt's agent has seen.
func (r *Recorder) note(a Attempt, add func(*Seen)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, ok := r.seen[a]
	if !ok {
		s = newSeen()
		r.seen[a] = s
	}
	add(s)
}

// Call looks at the calls that promise something, and at those that launch attempts.
func (r *Recorder) Call(method, token string) CallTap {
	if method == controlv1.ControlService_LaunchAttempt_FullMethodName {
		return &launchTap{r: r}
	}
	attempt, err := attemptOf(token)
	if err != nil {
		return nil
	}
	switch method {
	case agentv1.AgentService_ReportState_FullMethodName:
		return &reportTap{r: r, attempt: attempt}
	case agentv1.AgentService_PushXCom_FullMethodName:
		return &pushTap{r: r, attempt: attempt}
	case agentv1.AgentService_StreamLogs_FullMethodName:
		return &logTap{r: r, attempt: attempt, loose: map[string][]string{}, acked: map[string]bool{}}
	default:
		return nil
	}
}

// attemptOf reads an agent's token, which it does not verify.
func attemptOf(token string) (Attempt, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return Attempt{}, fmt.Errorf("a token of %d parts", len(parts))
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return Attempt{}, err
	}
	var claims struct {
		Dag  string `json:"dag_id"`
		Run  string `json:"run_id"`
		Task string `json:"task_id"`
		Try  int32  `json:"try_number"`
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		return Attempt{}, err
	}
	if claims.Task == "" {
		return Attempt{}, fmt.Errorf("a token that names no task")
	}
	return Attempt(claims), nil
}

// decode reads a message that the generated client, or the server, wrote.
func decode[M proto.Message](r *Recorder, a Attempt, raw []byte, into M) bool {
	if err := proto.Unmarshal(raw, into); err != nil {
		r.note(a, func(s *Seen) { s.Faults = append(s.Faults, fmt.Sprintf("an undecodable %T: %v", into, err)) })
		return false
	}
	return true
}
