package mutants

import (
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"

	"github.com/neochaotic/leoflow/internal/mutants/matrix"
)

// lines is a server that changes what it receives of a log.
func lines(change func(*agentv1.LogLine) []*agentv1.LogLine) func() *server {
	return func() *server {
		return &server{newLine: func(*server) func(*agentv1.LogLine) []*agentv1.LogLine { return change }}
	}
}

var logMutants = []Mutant{
	{
		Name: "the streams of a log share their numbers", Rule: "LOG-2", Check: "LOG-2/per-stream",
		Also: matrix.Because("it sends on two streams", "LOG-5/final"),
		server: func() *server {
			return &server{newLine: func(*server) func(*agentv1.LogLine) []*agentv1.LogLine {
				var last int64
				return func(l *agentv1.LogLine) []*agentv1.LogLine {
					if n := l.GetLineNumber(); n != 0 && n <= last {
						return nil
					}
					last = max(last, l.GetLineNumber())
					return []*agentv1.LogLine{l}
				}
			}}
		},
	},
	{
		Name: "what is sent again is kept again", Rule: "LOG-3", Check: "LOG-3/resend",
		server: lines(func(l *agentv1.LogLine) []*agentv1.LogLine {
			l.Session, l.Time = 0, timestamppb.New(time.Now())
			return []*agentv1.LogLine{l}
		}),
	},
	{
		Name: "the highest number is acknowledged, whatever is missing", Rule: "LOG-4", Check: "LOG-4/gap",
		server: func() *server {
			return &server{ack: func(a *agentv1.LogAck) *agentv1.LogAck {
				if a.GetAcknowledgedThroughLine() == 2 {
					a.AcknowledgedThroughLine = 5
				}
				return a
			}}
		},
	},
	{
		Name: "holes are not shown", Rule: "LOG-4", Check: "LOG-4/gap",
		server: after(func(_ *server, _ *call, reply *conformancev1.GetLogResponse) {
			kept := reply.GetRecords()[:0]
			for _, r := range reply.GetRecords() {
				if r.GetMark() != controlv1.LogMark_LOG_MARK_GAP {
					kept = append(kept, r)
				}
			}
			reply.Records = kept
		}),
	},
	{
		Name: "the last line is not acknowledged", Rule: "LOG-5", Check: "LOG-5/final",
		Also: matrix.Because("it waits for acknowledgements of more than 49 lines", "LOG-1/killed", "LOG-10/shutdown", "LOG-11/stalled", "LOG-12/no-reader"),
		server: func() *server {
			return &server{ack: func(a *agentv1.LogAck) *agentv1.LogAck {
				a.AcknowledgedThroughLine = min(a.GetAcknowledgedThroughLine(), 49)
				return a
			}}
		},
	},
	{
		Name: "a line that comes alone is acknowledged at the end", Rule: "LOG-5", Check: "LOG-5/flowing",
		Also: matrix.Because("it waits for the acknowledgement of one line",
			"LOG-9/grace", "LOG-13/takes-over", "LIMIT-3/silent", "AUTH-10/expires"),
		server: func() *server { return &server{late: true} },
	},
	{
		Name: "a long line is split", Rule: "LOG-7", Check: "LOG-7/long",
		server: lines(func(l *agentv1.LogLine) []*agentv1.LogLine {
			const half = 32 << 10
			if len(l.GetMessage()) < 64<<10 {
				return []*agentv1.LogLine{l}
			}
			rest := proto.CloneOf(l)
			l.Message, rest.Message, rest.LineNumber = l.GetMessage()[:half], rest.GetMessage()[half:2*half], 0
			return []*agentv1.LogLine{l, rest}
		}),
	},
	{
		Name: "a line end in a line ends it", Rule: "LOG-8", Check: "LOG-8/text",
		server: lines(func(l *agentv1.LogLine) []*agentv1.LogLine {
			var out []*agentv1.LogLine
			for i, text := range strings.Split(l.GetMessage(), "\n") {
				part := proto.CloneOf(l)
				part.Message = text
				if i > 0 {
					part.LineNumber = 0
				}
				out = append(out, part)
			}
			return out
		}),
	},
	{
		Name: "late lines go to the newest try", Rule: "LOG-9", Check: "LOG-9/own-log",
		Also: matrix.Because("it logs as an older try", "ISO-4/not-live/StreamLogs"),
		server: func() *server {
			key := func(tenant, run, task string) string { return "newest " + tenant + "/" + run + "/" + task }
			return &server{
				unary: func(s *server, c *call, pass next) (proto.Message, error) {
					reply, err := pass(c)
					if got, ok := reply.(*conformancev1.PrepareAttemptResponse); ok && err == nil {
						ref := got.GetAttempt()
						s.keep(key(ref.GetTenantId(), ref.GetRunId(), ref.GetTaskId()), got.GetToken())
					}
					return reply, err
				},
				stream: func(s *server, md metadata.MD) metadata.MD {
					who := read(tokenOf(md))
					newest, ok := s.recall(key(who.Tenant, who.Run, who.Task)).(string)
					if ok && s.gave(md) { // a forged token stays one
						return withToken(md, newest)
					}
					return md
				},
			}
		},
	},
	{
		Name: "the older of two streams ends as if all were well", Rule: "LOG-13", Check: "LOG-13/takes-over",
		server: func() *server {
			return &server{ended: func(err error) error {
				if status.Code(err) == codes.Aborted {
					return nil
				}
				return err
			}}
		},
	},
}
