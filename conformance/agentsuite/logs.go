package agentsuite

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
)

// The streams of a task's output.
const (
	stdout = "stdout"
	stderr = "stderr"
)

// stuckWithin is how long an agent may bear a server that takes no lines.
const stuckWithin = 4 * time.Minute

// longestLine is where agents split, in bytes.
const longestLine = 64 << 10

func logTrials() []trial {
	rpcs := []string{streamLogs}
	return []trial{
		{"A-LOG-1", "lines", "every line comes, in order, numbered in its stream", 0, rpcs, func(s *scene) {
			s.launch("for i in {1..300}; do echo \"out $i\"; done\necho; echo '  spaces  '; echo after\nfor i in 1 2 3; do echo \"err $i\" >&2; done\n")
			s.wantSuccess()
			want := numberedLines("out", 300)
			s.wantLines(stdout, append(want, "", "  spaces  ", "after"))
			s.wantLines(stderr, numberedLines("err", 3))
		}},
		{"A-LOG-1", "last", "the last line comes though it has no line end", 0, rpcs, func(s *scene) {
			s.launch("echo first; printf 'the last'; printf 'and the error' >&2; exit 3\n")
			s.wantFailed()
			s.wantLines(stdout, []string{"first", "the last"})
			s.wantLines(stderr, []string{"and the error"})
		}},
		{"A-LOG-1", "utf-8", "invalid UTF-8 is replaced", 0, rpcs, func(s *scene) {
			s.launch(`printf 'before\xffafter\nwhole \xc5\xbc\n'` + "\n")
			s.wantSuccess()
			s.wantLines(stdout, []string{"before\uFFFDafter", "whole ż"})
		}},
		{"A-LOG-1", "long", "a line over 64 KiB is split before it is numbered", 0, rpcs, longLine},
	}
}

func numberedLines(word string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("%s %d", word, i+1)
	}
	return out
}

// stream are the lines of a stream, each once, by their numbers; it fails the check
// unless they came in order, numbered from 1.
func (s *scene) stream(name string) []string {
	var out []string
	for _, line := range s.now().lines() {
		if line.GetStream() != name {
			continue
		}
		switch n := line.GetLineNumber(); {
		case n == int64(len(out))+1:
			out = append(out, line.GetMessage())
		case n < 1 || n > int64(len(out)):
			s.Fatalf("line %d of %s came after line %d: %.100q", n, name, len(out), line.GetMessage())
		case out[n-1] != line.GetMessage():
			s.Fatalf("line %d of %s came again as another: %.100q, and before %.100q", n, name, line.GetMessage(), out[n-1])
		}
	}
	return out
}

func (s *scene) wantLines(name string, want []string) {
	soon, cancel := context.WithTimeout(s.ctx, s.Scale(late)) // some may be on the way as the agent ends
	s.wait(soon, func(ms moments) bool {
		return len(ms.those(func(m moment) bool { return m.isLineOf(name) })) >= len(want)
	})
	cancel()
	got := s.stream(name)
	for i, line := range got {
		if i < len(want) && line != want[i] {
			s.Fatalf("line %d of %s is %.200q, want %.200q", i+1, name, line, want[i])
		}
	}
	if len(got) != len(want) {
		s.Errorf("%d lines of %s came, want %d", len(got), name, len(want))
	}
}

func longLine(s *scene) {
	const size = 2*longestLine + 1000 // of a letter that takes two bytes
	s.launch(fmt.Sprintf("printf 'ż%%.0s' {1..%d}; echo; echo after\n", size/2))
	s.wantSuccess()
	got := s.stream(stdout)
	var whole strings.Builder
	for i, piece := range got {
		if len(piece) > longestLine {
			s.Errorf("line %d has %d bytes, over 64 KiB", i+1, len(piece))
		}
		if !utf8.ValidString(piece) {
			s.Errorf("line %d was split within a character", i+1)
		}
		if i < len(got)-1 {
			whole.WriteString(piece)
		}
	}
	if len(got) < 4 || got[len(got)-1] != "after" || whole.String() != strings.Repeat("ż", size/2) {
		s.Errorf("a line of %d bytes and a short one came as %d lines, %d bytes in all but the last", size, len(got), whole.Len())
	}
}

func resumeTrials() []trial {
	rpcs := []string{streamLogs}
	return []trial{
		{"A-LOG-2", "resent", "what was not acknowledged is sent again", 20 * time.Second, rpcs, func(s *scene) {
			s.needs(resume)
			s.noAcks = true
			s.on(streamLogs, func(c *call) error {
				switch {
				case c.n == 1 && c.isLine(2):
					return c.ack(stdout, 1)
				case c.n == 1 && c.isLine(3):
					return status.Error(codes.Unavailable, "the server is restarted")
				case c.n == 2:
					return ackLine(c)
				}
				return nil
			})
			s.launch("for i in {1..6}; do echo \"out $i\"; done\ngate\n")
			s.until("another log stream", called(streamLogs, 2))
			s.until("the last line", hasLine(2, 6))
			s.letGo()
			s.wantSuccess()
			s.wantResent(2, 2)
		}},
		{"A-LOG-2", "end", "what was not acknowledged by the end of the task is sent again", 20 * time.Second, rpcs, func(s *scene) {
			s.needs(resume)
			s.noAcks = true
			s.on(streamLogs, func(c *call) error {
				if c.n > 1 {
					return ackLine(c)
				}
				if c.isLine(6) {
					return status.Error(codes.Unavailable, "the server is restarted")
				}
				return nil
			})
			s.launch("for i in {1..6}; do echo \"out $i\"; done\n")
			s.wantSuccess()
			s.wantResent(2, 1)
		}},
	}
}

// isLine reports whether the line that came is the one of this number of standard
// output. An agent may have said things of its own before.
func (c *call) isLine(number int64) bool {
	line, ok := c.in.(*agentv1.LogLine)
	return ok && line.GetStream() == stdout && line.GetLineNumber() == number
}

func ackLine(c *call) error {
	line, ok := c.in.(*agentv1.LogLine)
	if !ok {
		return nil
	}
	return c.ack(line.GetStream(), line.GetLineNumber())
}

// hasLine tells whether a stream brought the line of this number of standard output.
func hasLine(n int, number int64) func(moments) bool {
	return func(ms moments) bool {
		return len(ms.those(func(m moment) bool {
			line, ok := m.in.(*agentv1.LogLine)
			return ok && m.n == n && line.GetStream() == stdout && line.GetLineNumber() == number
		})) > 0
	}
}

// wantResent wants six lines in all, those from a number on in the n-th stream.
func (s *scene) wantResent(n int, from int64) {
	s.wantLines(stdout, numberedLines("out", 6))
	ms := s.now()
	for number := from; number <= 6; number++ {
		if !hasLine(n, number)(ms) {
			s.Errorf("line %d was not acknowledged, and not sent again", number)
		}
	}
}

func brokenLogTrials(full bool) []trial {
	rpcs := []string{streamLogs, reportState}
	const within = 60 * time.Second
	broken := func(word, name string, h hook) trial {
		return trial{"A-LOG-3", word, name, within, rpcs, func(s *scene) {
			s.on(streamLogs, h)
			s.launch("for i in {1..2000}; do echo \"line $i\"; done\n", returnValue)
			s.until("the task's start", started)
			s.until("a log stream", called(streamLogs, 1))
			s.wantSuccess()
		}}
	}
	out := []trial{
		broken("unimplemented", "a server that takes no logs changes nothing of the outcome", func(*call) error {
			return status.Error(codes.Unimplemented, "there is nobody for it")
		}),
		broken("internal", "a log stream that breaks changes nothing of the outcome", func(c *call) error {
			if c.lines == 3 {
				return status.Error(codes.Internal, "the disk is full")
			}
			return nil
		}),
		broken("ended", "a log stream that ends early changes nothing of the outcome", func(c *call) error {
			if c.lines == 3 {
				return status.Error(codes.FailedPrecondition, "the log is closed")
			}
			return nil
		}),
	}
	if full {
		out = append(out, stuckLogTrials()...)
	}
	return out
}

// stuckLogTrials have servers that neither take lines nor end the stream. How long an
// agent bears that is its own choice; for ever is too long.
func stuckLogTrials() []trial {
	stuck := func(word, name string, at func(*call) bool) trial {
		return trial{"A-LOG-3", word, name, stuckWithin, []string{streamLogs, reportState}, func(s *scene) {
			s.on(streamLogs, func(c *call) error {
				if at(c) {
					<-c.ctx.Done()
					return status.FromContextError(c.ctx.Err()).Err()
				}
				return nil
			})
			s.launch("for i in {1..20000}; do printf '%0500d\\n' $i; done\n", returnValue)
			s.until("the task's start", started)
			s.until("a log stream", called(streamLogs, 1))
			s.wantSuccess()
		}}
	}
	return []trial{
		stuck("stuck", "a server that stops to take lines does not hold up the task for ever", func(c *call) bool { return c.lines == 3 }),
		stuck("no-end", "a server that takes all lines and does not end the stream does not hold up the outcome for ever",
			func(c *call) bool { return c.lines == 20000 }),
	}
}
