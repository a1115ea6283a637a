package controlrpc

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/interceptor"
	"github.com/neochaotic/leoflow/internal/policy"
	"github.com/neochaotic/leoflow/internal/rpcstatus"
)

const (
	// changesAtOnce bounds one message of a watch: with the longest ids and texts it
	// stays below the 4 MiB that a client takes by default.
	changesAtOnce = 200
	// lookAnyway is how often a watch looks without having been told of a change:
	// another process may have made one.
	lookAnyway = 2 * time.Second
)

// WatchRun sends the changes of a run's tasks after a revision, until the caller
// has enough. It misses nothing: revisions have no holes and are committed in order.
func (s *Server) WatchRun(req *controlv1.WatchRunRequest, stream grpc.ServerStreamingServer[controlv1.WatchRunResponse]) error {
	return interceptor.Stream(stream, &s.guard, controlv1.ControlService_WatchRun_FullMethodName, req, nil,
		func(ctx context.Context, _ *interceptor.Call) error { return s.watchRun(ctx, req, stream.Send) })
}

func (s *Server) watchRun(ctx context.Context, req *controlv1.WatchRunRequest, send func(*controlv1.WatchRunResponse) error) error {
	run, after := runKey(req), req.GetAfterRevision()
	for {
		changed := s.Runs.RunChanged(ctx, run)
		changes, err := s.Runs.RunChanges(ctx, run, after, changesAtOnce)
		if err != nil {
			return err
		}
		if len(changes) == 0 {
			if err := s.wait(ctx, lookAnyway, changed, nil); err != nil {
				return err
			}
			continue
		}
		resp := &controlv1.WatchRunResponse{}
		for _, change := range changes {
			resp.Changes = append(resp.Changes, changeToProto(change))
			after = change.Revision
		}
		if err := send(resp); err != nil {
			return rpcstatus.Transport(err)
		}
	}
}

// wait returns nil when one of the channels says so, or anyway after a time, and an
// error when the call ends. A nil channel says nothing.
func (s *Server) wait(ctx context.Context, anyway time.Duration, one, other <-chan struct{}) error {
	timer := time.NewTimer(anyway)
	defer timer.Stop()
	select {
	case <-one:
	case <-other:
	case <-timer.C:
	case <-s.drain:
		return errShuttingDown
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

func changeToProto(c domain.TaskChange) *controlv1.TaskChange {
	return &controlv1.TaskChange{
		Revision:  c.Revision,
		TaskId:    c.TaskID,
		TryNumber: int32(c.TryNumber), //nolint:gosec // came in as an int32
		State:     policy.StateToProto(c.State),
		Cause:     protoOfCause[c.Cause],
		ExitCode:  int32(c.ExitCode), //nolint:gosec // came in as an int32
		Message:   c.Message,
		At:        timestamppb.New(c.At),
	}
}
