package agentrpc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/logs"
)

// receipt is the server's clock in these tests.
var receipt = time.Date(2026, 11, 24, 10, 0, 0, 0, time.FixedZone("east", 3600))

// events makes a server of a plain sink, and a list of what that took.
func events() (*rig, *[]logs.Event, *[]publishedLine) {
	r := equipped()
	r.now = func() time.Time { return receipt }
	var taken []logs.Event
	var lines []publishedLine
	r.at("WriteEvent", func(context.Context) error {
		taken = append(taken, r.last("WriteEvent").(logs.Event))
		return nil
	})
	r.at("Publish", func(context.Context) error {
		lines = append(lines, r.last("Publish").(publishedLine))
		return nil
	})
	return r, &taken, &lines
}

func TestPlainSinkGetsTimesLevelsAndCutNames(t *testing.T) {
	at := time.Date(2026, 11, 24, 8, 0, 0, 7, time.UTC)
	r, taken, _ := events()
	stream := newStream(good(t),
		&agentv1.LogLine{Time: timestamppb.New(at), Level: agentv1.LogLevel_LOG_LEVEL_DEBUG, Stream: "stdout", Message: "a"},
		&agentv1.LogLine{Level: agentv1.LogLevel_LOG_LEVEL_INFO, Stream: "stdout"},
		&agentv1.LogLine{Level: agentv1.LogLevel_LOG_LEVEL_WARN, Stream: "s" + strings.Repeat("é", 64), Message: "\x1b[31m\nforged"},
		&agentv1.LogLine{Level: agentv1.LogLevel_LOG_LEVEL_ERROR, Stream: ""},
		&agentv1.LogLine{Level: 99},
		&agentv1.LogLine{Time: &timestamppb.Timestamp{Seconds: 1 << 61}},
	)
	if err := r.StreamLogs(stream); err != nil {
		t.Fatal(err)
	}
	now := receipt.UTC()
	want := []logs.Event{
		{Time: at, Level: "debug", Stream: "stdout", Message: "a"},
		{Time: now, Level: "info", Stream: "stdout"},
		{Time: now, Level: "warning", Stream: "s" + strings.Repeat("é", 31), Message: "\x1b[31m\nforged"},
		{Time: now, Level: "error"},
		{Time: now, Level: "info"},
		{Time: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), Level: "info"},
	}
	if diff := cmp.Diff(want, *taken); diff != "" {
		t.Error(diff)
	}
	for _, e := range *taken {
		if e.Time.Location() != time.UTC {
			t.Errorf("time %v is not in UTC", e.Time)
		}
	}
	if got, want := r.last("Open"), logs.RefOf(testIdentity.Attempt()); got != want {
		t.Errorf("opened %v, want the caller's own log %v", got, want)
	}
}

func TestLog5OneAckAStreamAfterClose(t *testing.T) {
	r, _, _ := events()
	stream := newStream(good(t),
		line("stdout", 1, "a"), line("stderr", 1, "b"), line("agent", 0, "c"),
		line("stdout", 2, "d"), line("agent", 0, "e"), line("stdout", 3, "f"), line("late", -7, "g"),
		line("holed", 1, "h"), line("holed", 3, "i"), // LOG-4: not past the hole
		line("resumed", 40, "j"), line("resumed", 41, "k"),
	)
	stream.send = func(ack *agentv1.LogAck) error {
		if r.count("Close") != 1 {
			t.Errorf("acknowledged %v before the close", ack)
		}
		stream.mu.Lock()
		defer stream.mu.Unlock()
		stream.acks = append(stream.acks, ack)
		return nil
	}
	if err := r.StreamLogs(stream); err != nil {
		t.Fatal(err)
	}
	want := []string{"stdout:3", "stderr:1", "agent:0", "late:0", "holed:1", "resumed:41"}
	if got := stream.sent(); !slices.Equal(got, want) {
		t.Errorf("acks %v, want %v", got, want)
	}
	if n := r.count("Close"); n != 1 {
		t.Errorf("closed %d times", n)
	}
}

func TestLog6StreamNamesWithoutEndAreNotKeptWithoutBound(t *testing.T) {
	r, taken, _ := events()
	var lines []*agentv1.LogLine
	for i := range maxStreamsAcked + 50 {
		lines = append(lines, line(fmt.Sprint("s", i), 1, "x"))
	}
	stream := newStream(good(t), lines...)
	if err := r.StreamLogs(stream); err != nil {
		t.Fatal(err)
	}
	if len(*taken) != len(lines) || len(stream.sent()) != maxStreamsAcked {
		t.Errorf("took %d lines, acknowledged %d streams", len(*taken), len(stream.sent()))
	}
}

func TestLog11EachLineIsPublishedAsOneLineOfJSON(t *testing.T) {
	r, taken, lines := events()
	if err := r.StreamLogs(newStream(good(t), line("stdout", 1, "first\n{}"), line("stderr", 1, ""))); err != nil {
		t.Fatal(err)
	}
	if len(*lines) != 2 {
		t.Fatalf("published %v", *lines)
	}
	for i, l := range *lines {
		if strings.ContainsRune(l.Line, '\n') {
			t.Errorf("%q is more than a line", l.Line)
		}
		got := map[string]string{}
		if err := json.Unmarshal([]byte(l.Line), &got); err != nil {
			t.Fatal(err)
		}
		e := (*taken)[i]
		want := map[string]string{"time": e.Time.Format(time.RFC3339Nano), "level": "info", "stream": e.Stream, "message": e.Message}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if l.Ref != logs.RefOf(testIdentity.Attempt()) {
			t.Errorf("published under %v", l.Ref)
		}
	}
}

func TestLog7APlainSinkAndItsFollowersGetACutLine(t *testing.T) {
	r, taken, lines := events()
	long := strings.Repeat("é", domain.MaxLogLineBytes/2)
	stream := newStream(good(t), line("stdout", 1, long), line("stdout", 2, "x"+long))
	if err := r.StreamLogs(stream); err != nil {
		t.Fatal(err)
	}
	if len(*taken) != 2 || !slices.Equal(stream.sent(), []string{"stdout:2"}) {
		t.Fatalf("took %d lines, acknowledged %v: want one record a number", len(*taken), stream.sent())
	}
	if got := (*taken)[0].Message; got != long {
		t.Errorf("a line of just the limit became one of %d bytes", len(got))
	}
	cut := (*taken)[1].Message
	if len(cut) > domain.MaxLogLineBytes || !strings.HasPrefix(cut, "xé") || !strings.HasSuffix(cut, "é"+logs.CutMark) {
		t.Errorf("a longer line became %d bytes, %.9q…", len(cut), cut)
	}
	got := map[string]string{}
	if err := json.Unmarshal([]byte((*lines)[1].Line), &got); err != nil || got["message"] != cut {
		t.Errorf("published %d bytes (%v), want what the sink got", len(got["message"]), err)
	}
}

func TestLog11APublisherThatFailsChangesNothing(t *testing.T) {
	r, taken, _ := events()
	r.fail("Publish", errors.New(secret))
	stream := newStream(good(t), line("stdout", 1, "a"), line("stdout", 2, "b"))
	if err := r.StreamLogs(stream); err != nil {
		t.Fatal(err)
	}
	if len(*taken) != 2 || !slices.Equal(stream.sent(), []string{"stdout:2"}) {
		t.Errorf("took %v, acknowledged %v", *taken, stream.sent())
	}
	if logged := r.log.lines(t, "log line not published"); len(logged) != 2 || !strings.Contains(logged[0]["cause"].(string), secret) {
		t.Errorf("logged %v", logged)
	}
}

func TestAStreamThatEndsHoweverItEndsClosesItsWriterOnce(t *testing.T) {
	gone, leave := context.WithCancel(good(t))
	leave()
	for name, c := range map[string]struct {
		stream *fakeStream
		spoil  func(r *rig)
		want   codes.Code
		acks   bool
	}{
		"half-closed":            {newStream(good(t), line("s", 1, "x")), nil, codes.OK, true},
		"half-closed, empty":     {newStream(good(t)), nil, codes.OK, false},
		"client gone":            {openStream(gone, 0), nil, codes.Canceled, false},
		"receive fails":          {failingStream(good(t), errors.New(secret)), nil, codes.Internal, true},
		"write fails":            {newStream(good(t), line("s", 1, "x")), func(r *rig) { r.fail("WriteEvent", errors.New(secret)) }, codes.Internal, false},
		"write unavailable":      {newStream(good(t), line("s", 1, "x")), func(r *rig) { r.fail("WriteEvent", domain.ErrUnavailable) }, codes.Unavailable, false},
		"close fails":            {newStream(good(t), line("s", 1, "x")), func(r *rig) { r.fail("Close", errors.New(secret)) }, codes.Internal, false},
		"close fails, gone":      {openStream(gone, 0), func(r *rig) { r.fail("Close", errors.New(secret)) }, codes.Internal, false},
		"write panics":           {newStream(good(t), line("s", 1, "x")), func(r *rig) { r.at("WriteEvent", func(context.Context) error { panic(secret) }) }, codes.Internal, false},
		"close panics":           {newStream(good(t), line("s", 1, "x")), func(r *rig) { r.at("Close", func(context.Context) error { panic(secret) }) }, codes.Internal, false},
		"the ack cannot be sent": {unackable(good(t)), nil, codes.Internal, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := equipped()
			if c.spoil != nil {
				c.spoil(r)
			}
			wantCode(t, r.StreamLogs(c.stream), c.want)
			if n := r.count("Close"); n != 1 {
				t.Errorf("closed %d times", n)
			}
			if acked := len(c.stream.sent()) > 0; acked != c.acks {
				t.Errorf("acknowledged %v", c.stream.sent())
			}
			if c.spoil != nil && c.want == codes.Internal && !strings.Contains(r.log.String(), secret) {
				t.Error("the cause is not logged")
			}
		})
	}
}

// failingStream is a stream whose Recv fails.
func failingStream(ctx context.Context, err error) *fakeStream {
	s := newStream(ctx, line("s", 1, "x"))
	s.end = err
	return s
}

// unackable is a stream whose Send fails.
func unackable(ctx context.Context) *fakeStream {
	s := newStream(ctx, line("s", 1, "x"))
	s.send = func(*agentv1.LogAck) error { return errors.New(secret) }
	return s
}

func TestALogThatDoesNotOpenIsNotClosed(t *testing.T) {
	r := equipped()
	r.fail("Open", errors.New(secret))
	wantInternal(t, rpcNamed("StreamLogs").call(good(t), r.Server))
	if n := r.count("Close"); n != 0 {
		t.Errorf("closed %d times", n)
	}
}

func TestLog9APlainSinkIsOpenedOnlyWithinTheGrace(t *testing.T) {
	for name, c := range map[string]struct {
		until func() time.Time
		want  codes.Code
	}{
		"live":              {nil, codes.OK},
		"within the grace":  {func() time.Time { return receipt.Add(time.Second) }, codes.OK},
		"at its very end":   {func() time.Time { return receipt }, codes.OK},
		"the grace is over": {func() time.Time { return receipt.Add(-time.Nanosecond) }, codes.FailedPrecondition},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScript()
			r := rigOf(s, &admittingStore{plainStore{s}, fakeAdmitter{s, c.until}}, plainXCom{s})
			r.attach()
			r.now = func() time.Time { return receipt }
			err := rpcNamed("StreamLogs").call(good(t), r.Server)
			wantCode(t, err, c.want)
			if opened := r.count("Open") == 1; opened != (c.want == codes.OK) {
				t.Errorf("opened: %v", opened)
			}
			if word := errorInfo(err).GetMetadata()["termination_reason"]; c.want != codes.OK && word != "finished" {
				t.Errorf("reason %q", word)
			}
		})
	}
}

// TestLog10DrainEndsAPlainSinksStreamToo: what it received is closed, hence durable,
// and acknowledged before the stream ends.
func TestLog10DrainEndsAPlainSinksStreamToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := equipped()
		ctx, leave := context.WithCancel(good(t))
		defer leave()
		stream := openStream(ctx, 1)
		stream.in <- line("stdout", 1, "a")
		ended := make(chan error, 1)
		go func() { ended <- r.StreamLogs(stream) }()
		synctest.Wait() // the line is taken, and the stream stands open
		if len(ended) != 0 || r.count("WriteEvent") != 1 {
			t.Fatalf("ended %d, wrote %d", len(ended), r.count("WriteEvent"))
		}
		r.Drain()
		wantCode(t, <-ended, codes.Unavailable)
		if r.count("Close") != 1 || !slices.Equal(stream.sent(), []string{"stdout:1"}) {
			t.Errorf("closed %d times, acknowledged %v", r.count("Close"), stream.sent())
		}
	})
}
