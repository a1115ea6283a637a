package bench

import (
	"context"

	"google.golang.org/grpc"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	policyv1 "github.com/neochaotic/leoflow/gen/leoflow/policy/v1"
)

// runsPerPage is how many runs a page of a list holds at most.
const runsPerPage = 1000

// Standing counts the tasks of all runs of an operator's tenant by their state.
func Standing(ctx context.Context, conn grpc.ClientConnInterface, operatorToken string) (map[policyv1.TaskState]int, error) {
	plane := controlv1.NewControlServiceClient(conn)
	ctx = asOperator(ctx, operatorToken)
	out := map[policyv1.TaskState]int{}
	for page := ""; ; {
		got, err := plane.ListRuns(ctx, &controlv1.ListRunsRequest{PageSize: runsPerPage, PageToken: page})
		if err != nil {
			return nil, err
		}
		for _, run := range got.GetRuns() {
			for _, tasks := range run.GetTasks() {
				out[tasks.GetState()] += int(tasks.GetCount())
			}
		}
		if page = got.GetNextPageToken(); page == "" {
			return out, nil
		}
	}
}
