package agents

import (
	"os"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	"github.com/neochaotic/leoflow/internal/mutants/matrix"
)

func logMutants() []Mutant {
	return []Mutant{
		{
			Name: "one-numbering", Fault: "it numbers lines across streams", Kills: "A-LOG-1/lines",
			Also: matrix.Because("it looks at the numbers of lines", "A-LOG-1/last", "A-LOG-2/resent", "A-LOG-2/end"),
			line: func(r *relay, line *agentv1.LogLine) *agentv1.LogLine {
				r.set(func(s *state) {
					s.lines++
					line.LineNumber = s.lines
				})
				return line
			},
		},
		{
			Name: "skips-empty", Fault: "it sends no empty lines", Kills: "A-LOG-1/lines",
			line: func(_ *relay, line *agentv1.LogLine) *agentv1.LogLine {
				if line.GetMessage() == "" {
					return nil
				}
				return line
			},
		},
		{
			Name: "trims-lines", Fault: "it trims lines", Kills: "A-LOG-1/lines",
			line: message(strings.TrimSpace),
		},
		{
			Name: "loses-the-last", Fault: "it loses a last line that has no line end", Kills: "A-LOG-1/last",
			line: func(_ *relay, line *agentv1.LogLine) *agentv1.LogLine {
				if line.GetMessage() == "the last" {
					return nil
				}
				return line
			},
		},
		{
			Name: "drops-bad-bytes", Fault: "it drops bytes that are no UTF-8", Kills: "A-LOG-1/utf-8",
			line: message(func(text string) string { return strings.ReplaceAll(text, "\uFFFD", "") }),
		},
		{
			Name: "cuts-lines", Fault: "it cuts long lines", Kills: "A-LOG-1/long",
			line: message(func(text string) string { return text[:min(len(text), 1024)] }),
		},
		{
			Name: "forgets-lines", Fault: "it keeps no line that it has sent", Kills: "A-LOG-2/resent", Also: matrix.Because("it wants lines sent again", "A-LOG-2/end"),
			ackAll: true, Slow: true,
		},
		{
			Name: "fails-with-log", Fault: "it reports FAILED when its log could not be sent", Kills: "A-LOG-3/unimplemented",
			Also: matrix.Because("the stream fails in another way", "A-LOG-3/internal", "A-LOG-3/ended"),
			logs: func(r *relay, err error) error {
				if code := status.Code(err); code != codes.OK && code != codes.Unavailable && code != codes.Canceled {
					r.set(func(s *state) { s.bad = true })
				}
				return err
			},
			unary: func(r *relay, p *passing) error {
				if in, ok := p.in.(*agentv1.ReportStateRequest); ok && in.GetState() > running && r.isBad() {
					in.State, in.ErrorMessage = agentv1.TaskState_TASK_STATE_FAILED, "the log could not be sent"
				}
				return p.send()
			},
		},
		{
			Name: "dies-with-log", Fault: "it ends when its log could not be sent", Kills: "A-LOG-3/ended",
			Also: matrix.Because("the stream fails in another way", "A-LOG-3/internal", "A-LOG-3/unimplemented"),
			logs: func(_ *relay, err error) error {
				if code := status.Code(err); code != codes.OK && code != codes.Unavailable && code != codes.Canceled {
					os.Exit(1)
				}
				return err
			},
		},
	}
}

// message breaks the text of lines.
func message(change func(string) string) func(*relay, *agentv1.LogLine) *agentv1.LogLine {
	return func(_ *relay, line *agentv1.LogLine) *agentv1.LogLine {
		line.Message = change(line.GetMessage())
		return line
	}
}
