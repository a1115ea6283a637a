package pipeline

import (
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
)

// fakeLog is the log of a try.
type fakeLog struct {
	records []*controlv1.LogRecord
	ended   bool
}

func (f *fakePlane) log(task string, try int, r *controlv1.LogRecord) {
	f.mu.Lock()
	defer f.mu.Unlock()
	log := f.tasks[task].logs[int32(try)]
	log.records = append(log.records, r)
	f.changed()
}

func (f *fakePlane) ReadLog(req *controlv1.ReadLogRequest, stream grpc.ServerStreamingServer[controlv1.ReadLogResponse]) error {
	f.mu.Lock()
	f.reads = append(f.reads, req)
	err, limit := f.asked(req), f.readLimit
	f.mu.Unlock()
	if err != nil {
		return err
	}
	next := req.GetAfter()
	for sent := 0; ; {
		f.mu.Lock()
		log := f.tasks[req.GetTaskId()].logs[req.GetTryNumber()]
		news, fresh, ended := f.news, slices.Clone(log.records[next:]), log.ended
		f.mu.Unlock()
		for _, r := range fresh {
			if limit > 0 && sent == limit {
				return status.Error(codes.Unavailable, "shutting down")
			}
			next, sent = next+1, sent+1
			if err := stream.Send(&controlv1.ReadLogResponse{Records: []*controlv1.LogRecord{r}, Next: next}); err != nil {
				return err
			}
		}
		if ended {
			return nil
		}
		if err := f.wait(stream.Context(), news); err != nil {
			return err
		}
	}
}
