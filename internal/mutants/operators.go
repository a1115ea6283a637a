package mutants

import (
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"
	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/mutants/matrix"
)

// family is what the caller's tenant and its twin have in common: all of their names but
// the first word. The other checks that run have other families.
func family(c *call) string {
	_, ids, _ := strings.Cut(tenantOf(c), "-")
	return ids
}

func tenantOf(c *call) string {
	who := read(tokenOf(c.md))
	return who.Tenant
}

// operatorMutants cross the tenants of operators.
var operatorMutants = []Mutant{
	{
		Name: "operators' looks at values are cached without the tenant", Rule: "ISO-1", Check: "ISO-1/operator/GetXCom",
		server: func() *server {
			return &server{unary: func(s *server, c *call, pass next) (proto.Message, error) {
				r, ok := c.request.(*controlv1.GetXComRequest)
				if !ok {
					return pass(c)
				}
				name := "value " + r.GetDagId() + "/" + r.GetRunId() + "/" + r.GetTaskId() + "/" + r.GetKey()
				if kept, ok := s.recall(name).(proto.Message); ok {
					return kept, nil
				}
				reply, err := pass(c)
				if err == nil {
					s.keep(name, reply)
				}
				return reply, err
			}}
		},
		Also: matrix.Because("the value that was read first is read again", "ISO-5/operators"),
	},
	{
		Name: "a variable is listed in every tenant", Rule: "ISO-1", Check: "ISO-1/operator/PutVariable",
		server: func() *server {
			return &server{unary: func(s *server, c *call, pass next) (proto.Message, error) {
				reply, err := pass(c)
				switch r := c.request.(type) {
				case *controlv1.PutVariableRequest:
					if err == nil {
						s.keep("put "+family(c), r.GetKey()+" by somebody")
					}
				case *controlv1.ListVariablesRequest:
					if put, ok := s.recall("put " + family(c)).(string); ok && err == nil {
						list := reply.(*controlv1.ListVariablesResponse)
						list.Variables = append(list.Variables, &controlv1.SecretName{Name: put})
					}
				}
				return reply, err
			}}
		},
	},
	{
		Name: "a run of another tenant is told from none", Rule: "ISO-3", Check: "ISO-3/operator/GetRun",
		server: func() *server {
			return &server{unary: func(s *server, c *call, pass next) (proto.Message, error) {
				reply, err := pass(c)
				switch r := c.request.(type) {
				case *conformancev1.PrepareRunRequest:
					s.keep("run "+r.GetRunId(), true)
				case *controlv1.GetRunRequest:
					if status.Code(err) == codes.NotFound && s.recall("run "+r.GetRunId()) != nil {
						err = says(err, " of yours")
					}
				}
				return reply, err
			}}
		},
	},
	{
		Name: "a deletion that is refused deletes", Rule: "ISO-4", Check: "ISO-4/operator/DeleteVariable",
		server: func() *server {
			return &server{unary: func(s *server, c *call, pass next) (proto.Message, error) {
				reply, err := pass(c)
				if r, ok := c.request.(*controlv1.DeleteVariableRequest); ok && status.Code(err) == codes.PermissionDenied {
					s.keep("deleted "+tenantOf(c), r.GetKey())
				}
				if list, ok := reply.(*controlv1.ListVariablesResponse); ok && err == nil {
					deleted, _ := s.recall("deleted " + tenantOf(c)).(string)
					list.Variables = slices.DeleteFunc(list.GetVariables(), func(v *controlv1.SecretName) bool { return v.GetName() == deleted })
				}
				return reply, err
			}}
		},
	},
	{
		Name: "calls of operators take no unknown fields", Rule: "ERR-4", Check: "ERR-4/unknown/operators",
		server: func() *server {
			return &server{unary: func(_ *server, c *call, pass next) (proto.Message, error) {
				if !ofAgents(c.method) && fromTheFuture(c) {
					return nil, status.Error(codes.InvalidArgument, "unknown field")
				}
				return pass(c)
			}}
		},
	},
	{
		Name: "whatever a task does not declare is absent", Rule: "ISO-5", Check: "ISO-5/readers",
		server: func() *server {
			return &server{unary: func(_ *server, c *call, pass next) (proto.Message, error) {
				reply, err := pass(c)
				if c.method == "FetchXCom" && status.Code(err) == codes.PermissionDenied {
					err = status.Error(codes.NotFound, "there is none")
				}
				return reply, err
			}}
		},
		Also: matrix.Because("it fetches what is not declared, too", "XCOM-5/undeclared", "ISO-5/at-once", "ERR-1/undeclared", "ERR-3/undeclared"),
	},
	{
		Name: "operators read a value one push late", Rule: "ISO-5", Check: "ISO-5/operators",
		server: after(func(s *server, c *call, reply *controlv1.GetXComResponse) {
			if before, ok := s.keep("read "+c.request.(*controlv1.GetXComRequest).String(), proto.Clone(reply)).(proto.Message); ok {
				proto.Reset(reply)
				proto.Merge(reply, before)
			}
		}),
		Also: matrix.Because("it reads a value that was replaced", "ISO-1/operator/GetXCom"),
	},
}
