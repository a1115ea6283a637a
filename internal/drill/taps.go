package drill

import (
	"bytes"
	"fmt"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
)

// returnValue is the key that an empty one means (XCOM-1).
const returnValue = "return_value"

type launchTap struct {
	blind
	r *Recorder
}

func (t *launchTap) Request([]byte) {
	t.r.mu.Lock()
	defer t.r.mu.Unlock()
	t.r.step(&t.r.progress.Launches)
}

type reportTap struct {
	blind
	r       *Recorder
	attempt Attempt
	request agentv1.ReportStateRequest
}

func (t *reportTap) Request(raw []byte) {
	if decode(t.r, t.attempt, raw, &t.request) {
		t.r.note(t.attempt, func(*Seen) { t.r.step(&t.r.progress.Reports) })
	}
}

func (t *reportTap) Reply(raw []byte) {
	var reply agentv1.ReportStateResponse
	if !decode(t.r, t.attempt, raw, &reply) || !reply.GetAcknowledged() {
		return
	}
	t.r.note(t.attempt, func(s *Seen) {
		s.Reports = append(s.Reports, Report{
			State: t.request.GetState(), ExitCode: t.request.GetExitCode(),
			Message: t.request.GetErrorMessage(), Terminate: reply.GetShouldTerminate(),
		})
	})
}

type pushTap struct {
	blind
	r       *Recorder
	attempt Attempt
	request agentv1.PushXComRequest
}

func (t *pushTap) Request(raw []byte) {
	if decode(t.r, t.attempt, raw, &t.request) {
		t.r.note(t.attempt, func(*Seen) { t.r.step(&t.r.progress.Values) })
	}
}

func (t *pushTap) Reply(raw []byte) {
	var reply agentv1.PushXComResponse
	if !decode(t.r, t.attempt, raw, &reply) || !reply.GetAccepted() {
		return
	}
	key := t.request.GetKey()
	if key == "" {
		key = returnValue
	}
	t.r.note(t.attempt, func(s *Seen) { s.Values[key] = bytes.Clone(t.request.GetValue()) })
}

// logTap sees one StreamLogs call. Its fields are guarded by the recorder's lock.
type logTap struct {
	r       *Recorder
	attempt Attempt
	loose   map[string][]string // unnumbered lines of this call, by their stream
	acked   map[string]bool     // streams that an ack named
}

func (t *logTap) Request(raw []byte) {
	var line agentv1.LogLine
	if !decode(t.r, t.attempt, raw, &line) {
		return
	}
	name, number, text := line.GetStream(), line.GetLineNumber(), line.GetMessage()
	t.r.note(t.attempt, func(s *Seen) {
		st := s.stream(name)
		if number == 0 {
			count := st.Loose[text]
			count.Sent++
			st.Loose[text] = count
			t.loose[name] = append(t.loose[name], text)
			return
		}
		if before, again := st.Sent[number]; !again {
			st.Sent[number] = text
			t.r.step(&t.r.progress.Lines)
		} else if before != text {
			s.Faults = append(s.Faults, fmt.Sprintf("line %d of %s was sent as %q, then as %q", number, name, before, text))
		}
	})
}

// Reply takes an ack. One that names no stream releases nothing.
func (t *logTap) Reply(raw []byte) {
	var ack agentv1.LogAck
	if !decode(t.r, t.attempt, raw, &ack) || ack.GetStream() == "" {
		return
	}
	t.r.note(t.attempt, func(s *Seen) {
		t.acked[ack.GetStream()] = true
		st := s.stream(ack.GetStream())
		st.Acked = max(st.Acked, ack.GetAcknowledgedThroughLine())
	})
}

// End acknowledges unnumbered lines: they are, once the server has ended a call with
// OK, after an ack of their stream (LOG-5).
func (t *logTap) End(err error) {
	if err != nil {
		return
	}
	t.r.note(t.attempt, func(s *Seen) {
		for name, texts := range t.loose {
			if !t.acked[name] {
				continue
			}
			for _, text := range texts {
				count := s.stream(name).Loose[text]
				count.Acked++
				s.stream(name).Loose[text] = count
			}
		}
	})
}
