package otherplane

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"
	policyv1 "github.com/neochaotic/leoflow/gen/leoflow/policy/v1"
)

func (st *store) tenant(id string) *tenant {
	t := st.tenants[id]
	if t == nil {
		t = &tenant{runs: map[[2]string]*run{}, variables: map[string]string{}, connections: map[string]string{}}
		st.tenants[id] = t
	}
	return t
}

// PrepareRun creates a run.
func (f *fixtures) PrepareRun(_ context.Context, req *conformancev1.PrepareRunRequest) (*conformancev1.PrepareRunResponse, error) {
	err := f.plane.store.with(func(st *store) error {
		r := &run{version: req.GetDagVersion(), tasks: map[string]*task{}}
		for _, wanted := range req.GetTasks() {
			t := &task{instance: wanted.GetTaskInstanceId(), wanted: proto.CloneOf(wanted)}
			if t.instance == "" || f.plane.choices.IDs == Own {
				t.instance = "ti:" + rand.Text()
			}
			if f.plane.choices.IDs == Unique && st.hasInstance(t.instance) {
				return cannot("two task instances of one id")
			}
			if wanted.GetReturnSchemaJson() != "" && f.plane.choices.Schema {
				if _, err := compiled(wanted.GetReturnSchemaJson()); err != nil {
					return status.Error(codes.InvalidArgument, err.Error())
				}
			}
			r.tasks[wanted.GetSpec().GetTaskId()] = t
		}
		of := st.tenant(req.GetTenantId())
		of.declared = of.declared || !f.plane.choices.TenantScope
		of.runs[[2]string{req.GetDagId(), req.GetRunId()}] = r
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &conformancev1.PrepareRunResponse{}, nil
}

func (st *store) hasInstance(id string) bool {
	for _, t := range st.tenants {
		for _, r := range t.runs {
			for _, one := range r.tasks {
				if one.instance == id {
					return true
				}
			}
		}
	}
	return false
}

// PrepareAttempt launches the next try of a task.
func (f *fixtures) PrepareAttempt(_ context.Context, req *conformancev1.PrepareAttemptRequest) (*conformancev1.PrepareAttemptResponse, error) {
	ref, now := req.GetTask(), f.plane.clock.now()
	var a *attempt
	err := f.plane.store.with(func(st *store) error {
		t := st.task(ref.GetTenantId(), ref.GetDagId(), ref.GetRunId(), ref.GetTaskId())
		if t == nil {
			return status.Error(codes.NotFound, "there is no such task")
		}
		try := int32(len(t.tries)) + 1 //nolint:gosec // a few
		a = &attempt{
			id:   identity{ref.GetTenantId(), ref.GetDagId(), ref.GetRunId(), ref.GetTaskId(), t.instance, try},
			task: t, state: req.GetState(), launched: now, values: map[string]*value{},
		}
		switch {
		case a.settled():
			a.started, a.ended = now, now
		case a.state == policyv1.TaskState_TASK_STATE_RUNNING:
			a.started = now
		}
		t.tries = append(t.tries, a)
		return nil
	})
	if err != nil {
		return nil, err
	}
	token, err := f.plane.tokens.issue(f.fresh(a.id, now))
	return &conformancev1.PrepareAttemptResponse{Attempt: a.ref(), Token: token}, err
}

// fresh is the grant of an attempt that is launched.
func (f *fixtures) fresh(id identity, now time.Time) grant {
	return grant{id: id, issued: now, until: now.Add(f.plane.choices.TokenLife)}
}

// MintToken makes a token with a defect.
func (f *fixtures) MintToken(_ context.Context, req *conformancev1.MintTokenRequest) (*conformancev1.MintTokenResponse, error) {
	const left = 11 * time.Minute
	c, now := f.plane.choices, f.plane.clock.now()
	g := f.fresh(identityOf(req.GetAttempt()), now)
	reply := &conformancev1.MintTokenResponse{}
	var err error
	switch defect := req.GetDefect(); defect {
	case conformancev1.TokenDefect_TOKEN_DEFECT_UNSPECIFIED:
		reply.Token, err = f.plane.tokens.issue(g)
	case conformancev1.TokenDefect_TOKEN_DEFECT_DUE, conformancev1.TokenDefect_TOKEN_DEFECT_NEAR_CEILING:
		if !c.Renewal {
			return nil, cannot("renewal")
		}
		g.until = now.Add(left)
		g.issued = g.until.Add(-c.TokenLife)
		if defect == conformancev1.TokenDefect_TOKEN_DEFECT_NEAR_CEILING {
			ceiling := now.Add(left + time.Minute)
			reply.Ceiling = timestamppb.New(ceiling)
			err = f.plane.store.with(func(st *store) error {
				if a := st.attempt(g.id); a != nil {
					a.launched = ceiling.Add(-c.Ceiling) // it was launched long ago
				}
				return nil
			})
		}
		if err == nil {
			reply.Token, err = f.plane.tokens.issue(g)
		}
	default:
		reply.Token, err = f.plane.tokens.spoil(g, defect)
	}
	if errors.Is(err, errNoDefect) {
		return nil, cannot("token that is " + req.GetDefect().String())
	}
	return reply, err
}

func identityOf(ref *conformancev1.AttemptRef) identity {
	return identity{ref.GetTenantId(), ref.GetDagId(), ref.GetRunId(), ref.GetTaskId(), ref.GetTaskInstanceId(), ref.GetTryNumber()}
}

func (a *attempt) ref() *conformancev1.AttemptRef {
	return &conformancev1.AttemptRef{
		TenantId: a.id.tenant, DagId: a.id.dag, RunId: a.id.run, TaskId: a.id.task, TaskInstanceId: a.id.instance, TryNumber: a.id.try,
	}
}
