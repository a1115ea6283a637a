package controlrpc

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/interceptor"
	"github.com/neochaotic/leoflow/internal/logs"
	"github.com/neochaotic/leoflow/internal/rpcstatus"
)

const (
	recordsAtOnce = 256
	// bytesAtOnce bounds one message: a client takes 4 MiB by default.
	bytesAtOnce = 1 << 20
	// lookForEnd is how often a follower looks whether the attempt has ended, without
	// having been told of a change.
	lookForEnd = time.Second
)

// ReadLog sends an attempt's log from a position on; following, until the attempt
// has ended and nobody writes to its log any more (LOG-11).
func (s *Server) ReadLog(req *controlv1.ReadLogRequest, stream grpc.ServerStreamingServer[controlv1.ReadLogResponse]) error {
	return interceptor.Stream(stream, &s.guard, controlv1.ControlService_ReadLog_FullMethodName, req, nil,
		func(ctx context.Context, call *interceptor.Call) error {
			return s.readLog(ctx, call.Operator.TenantID, req, stream.Send)
		})
}

func (s *Server) readLog(ctx context.Context, tenant string, req *controlv1.ReadLogRequest, send func(*controlv1.ReadLogResponse) error) error {
	ref := logs.Ref{
		TenantID: tenant, DagID: req.GetDagId(), RunID: req.GetRunId(), TaskID: req.GetTaskId(),
		TryNumber: int(req.GetTryNumber()),
	}
	for after := req.GetAfter(); ; {
		// All taken before reading, so that what is written until then is read.
		written, settled := s.Logs.Changed(ref), s.Runs.RunChanged(ctx, runKey(req))
		ended, err := s.logEnded(ctx, req, ref)
		if err != nil {
			return err
		}
		if after, err = s.sendLog(ctx, ref, after, send); err != nil {
			return err
		}
		if ended || !req.GetFollow() {
			return nil
		}
		if err := s.wait(ctx, lookForEnd, written, settled); err != nil {
			return err
		}
	}
}

// sendLog sends what there is of a log after a position, and returns the position
// after it.
func (s *Server) sendLog(ctx context.Context, ref logs.Ref, after int64, send func(*controlv1.ReadLogResponse) error) (int64, error) {
	for {
		records, err := s.Logs.Read(ctx, ref, after, recordsAtOnce)
		if err != nil || len(records) == 0 {
			return after, err
		}
		if err := sendRecords(records, send); err != nil {
			return after, err
		}
		after = records[len(records)-1].Next
	}
}

// logEnded reports whether the log will not grow: its attempt is settled and no
// call writes to it. An attempt that does not exist is an error.
func (s *Server) logEnded(ctx context.Context, req *controlv1.ReadLogRequest, ref logs.Ref) (bool, error) {
	attempt, err := s.Runs.Attempt(ctx, taskKey(req), ref.TryNumber)
	if err != nil {
		return false, err
	}
	return attempt.State.Terminal() && !s.Logs.Writing(ref), nil
}

// sendRecords sends records in messages of a bounded size.
func sendRecords(records []logs.Record, send func(*controlv1.ReadLogResponse) error) error {
	for len(records) > 0 {
		resp := &controlv1.ReadLogResponse{}
		size := 0
		for _, r := range records {
			size += len(r.Message)
			if len(resp.GetRecords()) > 0 && size > bytesAtOnce {
				break
			}
			resp.Records = append(resp.Records, recordToProto(r))
			resp.Next = r.Next
		}
		records = records[len(resp.GetRecords()):]
		if err := send(resp); err != nil {
			return rpcstatus.Transport(err)
		}
	}
	return nil
}

var levelOfWord = map[string]agentv1.LogLevel{
	"debug":   agentv1.LogLevel_LOG_LEVEL_DEBUG,
	"info":    agentv1.LogLevel_LOG_LEVEL_INFO,
	"warning": agentv1.LogLevel_LOG_LEVEL_WARN,
	"error":   agentv1.LogLevel_LOG_LEVEL_ERROR,
}

var protoOfMark = map[string]controlv1.LogMark{
	logs.MarkRestart: controlv1.LogMark_LOG_MARK_RESTART,
	logs.MarkGap:     controlv1.LogMark_LOG_MARK_GAP,
}

func recordToProto(r logs.Record) *controlv1.LogRecord {
	return &controlv1.LogRecord{
		Time:       timestamppb.New(r.Time),
		Level:      levelOfWord[r.Level],
		Stream:     r.Stream,
		Message:    r.Message,
		LineNumber: r.Number,
		Mark:       protoOfMark[r.Mark],
		GapThrough: r.GapThrough,
		Cut:        r.Cut,
	}
}
