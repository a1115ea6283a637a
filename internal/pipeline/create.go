package pipeline

import (
	"context"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
)

// create creates the run, which must be a new one, or finds the one to resume, and
// returns its last revision. The key tells a run that we created from another's.
func create(ctx context.Context, opts Options, key string) (revision int64, err error) {
	if opts.Resume {
		if revision, err = existing(ctx, opts); err != nil {
			return 0, err
		}
	}
	req, err := createRequest(opts)
	if err != nil {
		return 0, err
	}
	req.IdempotencyKey = key
	resp, _, err := call(ctx, opts.pace, opts.Client.CreateRun, req)
	code := status.Code(err)
	switch {
	case opts.Resume && code == codes.AlreadyExists:
		return 0, &InputError{
			Problem: fmt.Sprintf("the run %q of pipeline %q was created from something else than what the file says now", opts.RunID, opts.Pipeline.Name),
			Remedy:  "resume it with the file as it was, or start a new run",
		}
	case code == codes.AlreadyExists, err == nil && !resp.GetCreated() && !opts.Resume:
		return 0, &InputError{
			Problem: fmt.Sprintf("pipeline %q has a run %q already", opts.Pipeline.Name, opts.RunID),
			Remedy:  "give the run another id, or resume that one",
		}
	case code == codes.InvalidArgument:
		return 0, &InputError{
			Problem: fmt.Sprintf("the control plane refuses the run: %v", err),
			Remedy:  "change the pipeline file or the run id",
		}
	}
	return revision, inTime(ctx, "create the run", err)
}

// existing returns the last revision of the run to resume.
func existing(ctx context.Context, opts Options) (int64, error) {
	resp, _, err := call(ctx, opts.pace, opts.Client.GetRun, &controlv1.GetRunRequest{DagId: opts.Pipeline.Name, RunId: opts.RunID})
	switch status.Code(err) { //nolint:exhaustive // all others last
	case codes.NotFound, codes.InvalidArgument:
		return 0, &InputError{
			Problem: fmt.Sprintf("pipeline %q has no run %q to resume", opts.Pipeline.Name, opts.RunID),
			Remedy:  "give the id of a run that was begun with this file, as leoflow runs list tells it",
		}
	default:
		return resp.GetRun().GetRevision(), inTime(ctx, "look for the run", err)
	}
}

// inTime says what could not be done, or that ctx ended before it was; nil for nil.
func inTime(ctx context.Context, what string, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("stopped before the run began: %w", context.Cause(ctx))
	}
	return fmt.Errorf("%s: %w", what, err)
}
