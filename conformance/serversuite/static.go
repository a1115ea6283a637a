package serversuite

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"
)

// preparedAtOnce is how many groups are prepared at the same time.
const preparedAtOnce = 8

// PrepareStatic has groups of runs prepared, and returns what a file of fixtures says of
// them: who can serve FixtureService in one place has a file for another by it. The name
// is in all that is made. What the fixtures cannot do the file lacks.
func PrepareStatic(ctx context.Context, f conformancev1.FixtureServiceClient, name string, groups int) (*conformancev1.StaticFixtures, error) {
	offered, err := f.GetCapabilities(ctx, &conformancev1.GetCapabilitiesRequest{})
	if err != nil {
		return nil, fmt.Errorf("ask the fixtures what the server offers: %w", err)
	}
	offered = proto.CloneOf(offered)
	offered.Faults, offered.Clock, offered.PushesOverRate = nil, false, 0
	out := &conformancev1.StaticFixtures{Capabilities: offered, Groups: make([]*conformancev1.StaticGroup, groups)}
	work, ctx := errgroup.WithContext(ctx)
	work.SetLimit(preparedAtOnce)
	for i := range groups {
		work.Go(func() (err error) {
			if out.Groups[i], err = prepareGroup(ctx, f, fmt.Sprintf("%s-%d", name, i)); err != nil {
				return fmt.Errorf("prepare group %d: %w", i, err)
			}
			return nil
		})
	}
	return out, work.Wait()
}

func prepareGroup(ctx context.Context, f conformancev1.FixtureServiceClient, ids string) (_ *conformancev1.StaticGroup, err error) {
	g := &conformancev1.StaticGroup{}
	run, dag := "run/"+ids+":00+00", "dag"
	asked := func(tenant, run, ids, canary string) *conformancev1.PrepareRunRequest {
		return &conformancev1.PrepareRunRequest{TenantId: tenant, DagId: dag, DagVersion: "7", RunId: run, Tasks: tasks(ids, canary)}
	}
	canary, twins, others := "canary-"+ids, "canary-twin-"+ids, "canary-other-"+ids
	if g.Run, err = prepareStaticRun(ctx, f, asked("tenant-"+ids, run, ids, canary), canary, true); err != nil {
		return nil, err
	}
	if g.Run.Secrets, err = putStatic(ctx, f, "tenant-"+ids, canary); err != nil {
		return nil, err
	}
	if g.Sibling, err = prepareStaticRun(ctx, f, asked("tenant-"+ids, run+"-other", ids+"-other", others), others, false); err != nil {
		return nil, err
	}
	g.Sibling.Secrets = g.Run.GetSecrets() // which are the tenant's
	g.Twin, err = prepareStaticRun(ctx, f, asked("twin-"+ids, run, ids, twins), twins, false)
	if status.Code(err) == codes.Unimplemented {
		return g, nil // its task instances are unique among tenants
	}
	if err != nil {
		return nil, err
	}
	g.Twin.Secrets, err = putStatic(ctx, f, "twin-"+ids, twins)
	return g, err
}

// putStatic stores a tenant's secrets, and says in which scope its tasks get them.
func putStatic(ctx context.Context, f conformancev1.FixtureServiceClient, tenant, canary string) (conformancev1.FixtureScope, error) {
	scope := conformancev1.FixtureScope_FIXTURE_SCOPE_TENANT
	_, err := f.PutSecrets(ctx, secretsFor(tenant, canary, scope))
	if status.Code(err) == codes.Unimplemented {
		return conformancev1.FixtureScope_FIXTURE_SCOPE_UNSPECIFIED, nil
	}
	return scope, err
}

// prepareStaticRun makes a run, queued attempts of its tasks, and the tokens; those with
// defects for the first run of a group.
func prepareStaticRun(ctx context.Context, f conformancev1.FixtureServiceClient, req *conformancev1.PrepareRunRequest, canary string, first bool) (*conformancev1.StaticRun, error) {
	if _, err := f.PrepareRun(ctx, req); err != nil {
		return nil, err
	}
	out := &conformancev1.StaticRun{Prepared: &conformancev1.PreparedRun{
		TenantId: req.GetTenantId(), DagId: req.GetDagId(), DagVersion: req.GetDagVersion(), RunId: req.GetRunId(),
		Tasks: req.GetTasks(), Canary: canary,
	}}
	for _, task := range req.GetTasks() {
		// What checks launch of a run, and of one that another is compared with.
		if id := task.GetSpec().GetTaskId(); id == absent || !first && id != worker && id != source {
			continue
		}
		got, err := f.PrepareAttempt(ctx, &conformancev1.PrepareAttemptRequest{State: queued, Task: &conformancev1.AttemptRef{
			TenantId: req.GetTenantId(), DagId: req.GetDagId(), RunId: req.GetRunId(), TaskId: task.GetSpec().GetTaskId(),
		}})
		if err != nil {
			return nil, err
		}
		out.Attempts = append(out.Attempts, &conformancev1.StaticAttempt{Attempt: got.GetAttempt(), Token: got.GetToken()})
	}
	return out, mintStatic(ctx, f, out, first)
}

// mintStatic makes the tokens of a run: its operators', and those of its worker.
func mintStatic(ctx context.Context, f conformancev1.FixtureServiceClient, run *conformancev1.StaticRun, defects bool) error {
	for _, a := range run.GetAttempts() {
		if a.GetAttempt().GetTaskId() != worker {
			continue
		}
		for number := range conformancev1.TokenDefect_name {
			defect := conformancev1.TokenDefect(number)
			if isOperator := defect == conformancev1.TokenDefect_TOKEN_DEFECT_OPERATOR || defect == conformancev1.TokenDefect_TOKEN_DEFECT_VIEWER; number == 0 || !defects && !isOperator {
				continue
			}
			got, err := f.MintToken(ctx, &conformancev1.MintTokenRequest{Attempt: a.GetAttempt(), Defect: defect})
			switch {
			case status.Code(err) == codes.Unimplemented:
			case err != nil:
				return fmt.Errorf("make a token that is %s: %w", word(defect), err)
			case defect == conformancev1.TokenDefect_TOKEN_DEFECT_OPERATOR:
				run.OperatorToken = got.GetToken()
			case defect == conformancev1.TokenDefect_TOKEN_DEFECT_VIEWER:
				run.ViewerToken = got.GetToken()
			default:
				a.Tokens = append(a.Tokens, &conformancev1.StaticToken{Defect: defect, Token: got.GetToken(), Ceiling: got.GetCeiling()})
			}
		}
	}
	return nil
}
