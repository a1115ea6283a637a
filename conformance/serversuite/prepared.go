package serversuite

import (
	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"
)

// The tasks of a world's run.
const (
	source   = "source"   // what worker declares as an input
	absent   = "absent"   // declared by worker too, and pushes nothing
	stranger = "stranger" // declared by nobody
	worker   = "worker"
	strict   = "strict" // has a schema
)

// tasks are those of a run: every field of their specifications is set.
func tasks(ids, canary string) []*conformancev1.FixtureTask {
	var out []*conformancev1.FixtureTask
	for _, task := range []string{source, absent, stranger, worker, strict} {
		one := &conformancev1.FixtureTask{TaskInstanceId: task + "-" + ids, Spec: specOf(task, canary)}
		switch task {
		case worker:
			one.Variables, one.Connections = []string{"DECLARED"}, []string{"declared"}
		case strict:
			one.ReturnSchemaJson = `{"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}`
		}
		out = append(out, one)
	}
	return out
}

func specOf(task, canary string) *agentv1.TaskSpec {
	spec := &agentv1.TaskSpec{
		TaskId: task, Operator: "bash", Entrypoint: "echo " + canary,
		Environment:             map[string]string{"EMPTY": "", "OWN": canary, "ODD": " a=b\n\"ü\" "},
		ExecutionTimeoutSeconds: 3600, CallArgsJson: `{"b": [1, 2.50, null], "a": "` + canary + `"}`,
	}
	if task == worker {
		spec.XcomInputMapping = map[string]*agentv1.XComUpstreams{
			"one":  {TaskIds: []string{source}},
			"many": {TaskIds: []string{absent, source, absent}},
		}
	}
	return spec
}

// secretsFor are those of a tenant.
func secretsFor(tenant, canary string, scope conformancev1.FixtureScope) *conformancev1.PutSecretsRequest {
	return &conformancev1.PutSecretsRequest{
		TenantId:    tenant,
		Variables:   map[string]string{"DECLARED": " " + canary + "\n\"ü\" ", "HIDDEN": "hidden " + canary},
		Connections: map[string]string{"declared": "pg://u:p%20w@h/" + canary + "?a=%2F", "hidden": "x://" + canary},
		Scope:       scope,
	}
}
