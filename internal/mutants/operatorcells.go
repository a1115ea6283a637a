package mutants

import (
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	policyv1 "github.com/neochaotic/leoflow/gen/leoflow/policy/v1"
)

// operatorCellMutants break the isolation of operators, for one RPC each.
func operatorCellMutants() []Mutant {
	var out []Mutant
	methods := controlv1.File_leoflow_control_v1_control_proto.Services().Get(0).Methods()
	for i := range methods.Len() {
		m := methods.Get(i)
		method := string(m.Name())
		policy, _ := proto.GetExtension(m.Options(), policyv1.E_Method).(*policyv1.MethodPolicy)
		if policy.GetIdempotency() == policyv1.Idempotency_IDEMPOTENCY_READ_ONLY {
			out = append(out, showsTwin(method))
		} else {
			out = append(out, changesTwin(method))
		}
		out = append(out, leavesWhenRefused(method))
		fields := m.Input().Fields()
		if slices.ContainsFunc(foreignFields, func(f protoreflect.Name) bool { return fields.ByName(f) != nil }) {
			out = append(out, meetsForeign(method))
		}
	}
	return out
}

// foreignFields name what one tenant may have and another may not.
var foreignFields = []protoreflect.Name{"dag_id", "run_id", "key", "connection_id"}

// onTenants is a server that may leave its mark in all attempts of a tenant, after a call
// of operators: which is for touches to say; empty: none.
func onTenants(method string, instead func(s *server, c *call, reply proto.Message, err error) (touched string, out proto.Message, outErr error)) func() *server {
	return func() *server {
		return &server{unary: func(s *server, c *call, pass next) (proto.Message, error) {
			reply, err := pass(c)
			s.learn(c, err)
			if c.method == method {
				touched, out, outErr := instead(s, c, reply, err)
				if reply, err = out, outErr; touched != "" {
					s.keep("touched "+touched, true)
				}
			}
			if r, ok := c.request.(*conformancev1.GetAttemptRequest); ok && err == nil && s.recall("touched "+r.GetAttempt().GetTenantId()) != nil {
				reply.(*conformancev1.GetAttemptResponse).ErrorMessage = mark
			}
			return reply, err
		}}
	}
}

// learn remembers which tenants are twins, and who has what.
func (s *server) learn(c *call, err error) {
	if err != nil {
		return
	}
	switch r := c.request.(type) {
	case *conformancev1.PrepareRunRequest:
		if r.GetKin() == conformancev1.Kin_KIN_TWIN {
			s.keep("twin of "+r.GetKinTenantId(), r.GetTenantId())
		}
		s.keep("dag "+r.GetDagId(), r.GetTenantId())
	case *conformancev1.PutSecretsRequest:
		for key := range r.GetVariables() {
			owners, _ := s.recall("secret " + key).([]string)
			s.keep("secret "+key, append(slices.Clone(owners), r.GetTenantId()))
		}
	case *agentv1.PushXComRequest:
		if strings.HasPrefix(string(r.GetValue()), `"changed `) {
			s.keep("disturbed "+read(tokenOf(c.md)).Tenant, true)
		}
	}
}

// showsTwin shows what is a twin's, once that has changed.
func showsTwin(method string) Mutant {
	return Mutant{
		Name: method + " shows operators what changes in a tenant of the same names", Rule: "ISO-1", Check: "ISO-1/operator/" + method,
		server: onTenants(method, func(s *server, c *call, reply proto.Message, err error) (string, proto.Message, error) {
			tenant := read(tokenOf(c.md)).Tenant
			twin, _ := s.recall("twin of " + tenant).(string)
			if theirs, ok := s.recall("said in " + twin).(proto.Message); ok && err == nil && s.recall("disturbed "+twin) != nil {
				return "", theirs, nil
			}
			if err == nil {
				s.keep("said in "+tenant, reply)
			}
			return "", reply, err
		}),
	}
}

// changesTwin changes a twin as well.
func changesTwin(method string) Mutant {
	return Mutant{
		Name: method + " of an operator touches a tenant of the same names", Rule: "ISO-1", Check: "ISO-1/operator/" + method,
		server: onTenants(method, func(s *server, c *call, reply proto.Message, err error) (string, proto.Message, error) {
			if err != nil {
				return "", reply, err
			}
			twin, _ := s.recall("twin of " + read(tokenOf(c.md)).Tenant).(string)
			return twin, reply, nil
		}),
	}
}

// leavesWhenRefused changes what a call is about whose token has expired.
func leavesWhenRefused(method string) Mutant {
	return Mutant{
		Name: method + " of an operator touches what it is about when it is refused", Rule: "ISO-4", Check: "ISO-4/operator/" + method,
		server: onTenants(method, func(_ *server, c *call, reply proto.Message, err error) (string, proto.Message, error) {
			who := read(tokenOf(c.md))
			if status.Code(err) == codes.Unauthenticated && who.Expires > 0 && who.Expires < time.Now().Unix() {
				return who.Tenant, reply, err
			}
			return "", reply, err
		}),
	}
}

// meetsForeign tells what only another tenant has from what nobody has, by its answer or,
// where the call is taken, by what it does there.
func meetsForeign(method string) Mutant {
	return Mutant{
		Name: method + " of an operator meets what another tenant has", Rule: "ISO-3", Check: "ISO-3/operator/" + method,
		server: onTenants(method, func(s *server, c *call, reply proto.Message, err error) (string, proto.Message, error) {
			owner := s.ownerOf(c)
			if owner == "" || status.Code(err) == codes.Unauthenticated {
				return "", reply, err
			}
			if err != nil {
				err = says(err, " of yours")
			}
			return owner, reply, err
		}),
	}
}

// ownerOf is the other tenant that has what a request names; empty: none.
func (s *server) ownerOf(c *call) string {
	tenant := read(tokenOf(c.md)).Tenant
	text := func(name protoreflect.Name) string {
		field := c.request.ProtoReflect().Descriptor().Fields().ByName(name)
		if field == nil {
			return ""
		}
		return c.request.ProtoReflect().Get(field).String()
	}
	if dag := text("dag_id"); dag != "" {
		if owner, _ := s.recall("dag " + dag).(string); owner != tenant && strings.Contains(owner, "theirs") {
			return owner
		}
		return ""
	}
	owners, _ := s.recall("secret " + text("key") + text("connection_id")).([]string)
	for _, owner := range owners {
		if owner != tenant && strings.Contains(owner, "theirs") && strings.Contains(owner, strings.TrimPrefix(tenant, "tenant-")) {
			return owner
		}
	}
	return ""
}
