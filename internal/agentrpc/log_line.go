package agentrpc

import (
	"context"
	"encoding/json"
	"time"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/logs"
)

// Words for the levels, as they are stored and published. What says nothing, or
// something unknown, is ordinary.
const levelInfo = "info"

var levelWords = map[agentv1.LogLevel]string{
	agentv1.LogLevel_LOG_LEVEL_DEBUG: "debug",
	agentv1.LogLevel_LOG_LEVEL_INFO:  levelInfo,
	agentv1.LogLevel_LOG_LEVEL_WARN:  "warning",
	agentv1.LogLevel_LOG_LEVEL_ERROR: "error",
}

// lineOf makes of a message what a sink is given. Nothing in a line is refused: what
// is missing is filled in, the name of its stream is cut. A [logs.LineSink] cuts the
// text itself, and notes that it did.
func (s *Server) lineOf(m *agentv1.LogLine) logs.Line {
	at := timeOf(m.GetTime())
	if at.IsZero() {
		at = s.now().UTC()
	}
	level, known := levelWords[m.GetLevel()]
	if !known {
		level = levelInfo
	}
	return logs.Line{
		Event: logs.Event{
			Time:    at,
			Level:   level,
			Stream:  domain.CutString(m.GetStream(), domain.MaxStreamNameBytes),
			Message: m.GetMessage(),
		},
		Number:  max(m.GetLineNumber(), 0),
		Session: m.GetSession(),
	}
}

// cutText is e with a text that is too long cut, and marked so (LOG-7).
func cutText(e logs.Event) logs.Event {
	e.Message, _ = logs.CutText(e.Message)
	return e
}

// published is the form in which a line goes to who follows live.
type published struct {
	Time    time.Time `json:"time"`
	Level   string    `json:"level"`
	Stream  string    `json:"stream"`
	Message string    `json:"message"`
}

// publish hands a line to the publisher. That it fails changes nothing.
func (s *Server) publish(ctx context.Context, id *auth.AgentIdentity, e logs.Event) {
	if s.publisher == nil {
		return
	}
	ref := logs.RefOf(id.Attempt())
	line, err := json.Marshal(published(cutText(e)))
	if err == nil {
		err = s.publisher.Publish(ctx, ref, string(line))
	}
	if err != nil {
		s.guard.Log().WarnContext(ctx, "log line not published", "task_id", ref.TaskID, "cause", err.Error())
	}
}
