package pipeline

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/pipeline/file"
)

// restarting is a control plane on which nothing changes, and that ends every two
// hours; at the last of its ends the run is over.
type restarting struct {
	controlv1.ControlServiceClient
	grpc.ClientStream
	left int
	over context.CancelFunc
}

func (r *restarting) WatchRun(context.Context, *controlv1.WatchRunRequest, ...grpc.CallOption) (controlv1.ControlService_WatchRunClient, error) {
	return r, nil
}

func (r *restarting) Recv() (*controlv1.WatchRunResponse, error) {
	<-time.After(2 * time.Hour) // on the bubble's clock
	if r.left--; r.left == 0 {
		r.over()
	}
	return nil, status.Error(codes.Unavailable, "it restarts")
}

func TestANet1QuietWatchOutlivesEachRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		plane := &restarting{left: 5, over: cancel}
		d := &driver{
			opts:  Options{Client: plane, Pipeline: &file.Pipeline{Name: "p"}, pace: &defaultPace},
			calls: ctx, events: make(chan func(), 1),
		}
		d.watch()
		if len(d.events) > 0 || plane.left > 0 {
			t.Errorf("the watch was given up, with %d restarts to come", plane.left)
		}
	})
}
