package mutants

import (
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"
	"github.com/neochaotic/leoflow/internal/mutants/matrix"
)

// mark is what a mutant leaves in an attempt that a call must not touch.
const mark = "touched by somebody else's call"

// touching is a server where a call of one method leaves its mark in attempts that are not
// the caller's: touched is called when one ends, and says the name of what it touches, if
// anything; meets says by what names an attempt is touched.
func touching(method string, touched func(s *server, who claims, reply proto.Message, err error) string, meets func(s *server, ref *conformancev1.AttemptRef) string) func() *server {
	return func() *server {
		return &server{
			unary: func(s *server, c *call, pass next) (proto.Message, error) {
				reply, err := pass(c)
				if got, ok := reply.(*conformancev1.PrepareAttemptResponse); ok && err == nil {
					ref := got.GetAttempt()
					s.keep("newest "+taskOf(ref), ref.GetTryNumber())
				}
				if c.method == method {
					s.touch(touched(s, read(tokenOf(c.md)), reply, err), read(tokenOf(c.md)))
				}
				if r, ok := c.request.(*conformancev1.GetAttemptRequest); ok && err == nil {
					if by, ok := s.recall("touched " + meets(s, r.GetAttempt())).(claims); ok && by.key() != keyOf(r.GetAttempt()) {
						reply.(*conformancev1.GetAttemptResponse).ErrorMessage = mark
					}
				}
				return reply, err
			},
			closed: func(s *server, md metadata.MD, err error) error {
				if method == "StreamLogs" {
					s.touch(touched(s, read(tokenOf(md)), nil, err), read(tokenOf(md)))
				}
				return err
			},
		}
	}
}

func (s *server) touch(name string, by claims) {
	if name != "" {
		s.keep("touched "+name, by)
	}
}

// taskOf names a task among all.
func taskOf(ref *conformancev1.AttemptRef) string {
	return strings.Join([]string{ref.GetTenantId(), ref.GetDagId(), ref.GetRunId(), ref.GetTaskId()}, "/")
}

// taken reports whether a call was answered as one of a live attempt.
func taken(reply proto.Message, err error) bool {
	ended, tells := reply.(interface{ GetShouldTerminate() bool })
	return err == nil && (!tells || !ended.GetShouldTerminate())
}

// cellMutants break one rule for one RPC each.
func cellMutants() []Mutant {
	var out []Mutant
	methods := agentv1.File_leoflow_agent_v1_agent_proto.Services().Get(0).Methods()
	for i := range methods.Len() {
		method := string(methods.Get(i).Name())
		out = append(out, crossesTenants(method), crossesRuns(method), tellsForeign(method), harmsNewer(method), refusesFuture(method))
	}
	return out
}

func crossesTenants(method string) Mutant {
	return Mutant{
		Name: method + " touches the attempt of that name in every tenant", Rule: "ISO-1", Check: "ISO-1/twin/" + method,
		server: touching(method, func(_ *server, who claims, reply proto.Message, err error) string {
			if !taken(reply, err) {
				return ""
			}
			return who.Dag + "/" + who.Run + "/" + who.Subject
		}, func(s *server, ref *conformancev1.AttemptRef) string {
			name := ref.GetDagId() + "/" + ref.GetRunId() + "/" + ref.GetTaskInstanceId()
			if by, ok := s.recall("touched " + name).(claims); ok && by.Tenant == ref.GetTenantId() {
				return ""
			}
			return name
		}),
	}
}

func crossesRuns(method string) Mutant {
	m := Mutant{
		Name: method + " touches the task of that name in every run", Rule: "ISO-2", Check: "ISO-2/other-run/" + method,
		server: touching(method, func(_ *server, who claims, reply proto.Message, err error) string {
			if !taken(reply, err) {
				return ""
			}
			return who.Tenant + "/" + who.Dag + "/" + who.Task
		}, func(s *server, ref *conformancev1.AttemptRef) string {
			name := ref.GetTenantId() + "/" + ref.GetDagId() + "/" + ref.GetTaskId()
			if by, ok := s.recall("touched " + name).(claims); ok && by.Run == ref.GetRunId() {
				return ""
			}
			return name
		}),
	}
	switch method {
	case "GetTaskSpec", "Register", "Heartbeat":
		m.Also = matrix.Because("it calls it beside another run", "AUTH-6/headers/GetTaskSpec")
	}
	return m
}

// harmsNewer has a call of an older try touch the newest.
func harmsNewer(method string) Mutant {
	m := Mutant{
		Name: method + " of an older try touches the newest", Rule: "ISO-4", Check: "ISO-4/not-live/" + method,
		server: touching(method, func(s *server, who claims, _ proto.Message, err error) string {
			task := taskOf(who.ref())
			if newest, _ := s.recall("newest " + task).(int32); status.Code(err) == codes.Unauthenticated || who.Try >= newest {
				return ""
			}
			return task
		}, func(s *server, ref *conformancev1.AttemptRef) string {
			if newest, _ := s.recall("newest " + taskOf(ref)).(int32); newest != ref.GetTryNumber() {
				return ""
			}
			return taskOf(ref)
		}),
	}
	switch method {
	case "ReportState":
		m.Also = matrix.Because("it reports as an older try", "STATE-4/superseded", "STATE-3/success", "STATE-3/failed", "STATE-3/skipped")
	case "StreamLogs":
		m.Also = matrix.Because("it logs as an older try", "LOG-9/own-log")
	}
	return m
}

// tellsForeign tells an attempt that only another tenant has from one that nobody has.
func tellsForeign(method string) Mutant {
	told := func(s *server, md metadata.MD, reply proto.Message, err error) error {
		who := read(tokenOf(md))
		tenant, seen := s.recall("tenant of " + who.Subject).(string)
		if !seen || tenant == who.Tenant || s.recall("tenant "+who.Tenant) != nil || status.Code(err) == codes.Unauthenticated {
			return err
		}
		switch reply := reply.(type) {
		case *agentv1.HeartbeatResponse:
			reply.Reason = agentv1.TerminationReason_TERMINATION_REASON_LOST
		case *agentv1.ReportStateResponse:
			reply.Reason = agentv1.TerminationReason_TERMINATION_REASON_LOST
		}
		if err != nil {
			return says(err, ": it is another tenant's")
		}
		return nil
	}
	return Mutant{
		Name: method + " tells an attempt of another tenant from none", Rule: "ISO-3", Check: "ISO-3/foreign/" + method,
		server: func() *server {
			return &server{
				unary: func(s *server, c *call, pass next) (proto.Message, error) {
					reply, err := pass(c)
					if got, ok := reply.(*conformancev1.PrepareAttemptResponse); ok && err == nil {
						s.keep("tenant of "+got.GetAttempt().GetTaskInstanceId(), got.GetAttempt().GetTenantId())
						s.keep("tenant "+got.GetAttempt().GetTenantId(), true)
					}
					if c.method == method {
						err = told(s, c.md, reply, err)
					}
					return reply, err
				},
				closed: func(s *server, md metadata.MD, err error) error {
					if method != "StreamLogs" {
						return err
					}
					return told(s, md, nil, err)
				},
			}
		},
	}
}

// refusesFuture does not take what a newer agent says.
func refusesFuture(method string) Mutant {
	return Mutant{
		Name: method + " takes no unknown fields", Rule: "ERR-4", Check: "ERR-4/unknown/" + method,
		server: func() *server {
			return &server{
				unary: func(_ *server, c *call, pass next) (proto.Message, error) {
					if c.method == method && fromTheFuture(c) && proto.Size(c.request) < 1<<20 {
						return nil, status.Error(codes.InvalidArgument, "unknown field")
					}
					return pass(c)
				},
				newLine: func(*server) func(*agentv1.LogLine) []*agentv1.LogLine {
					return func(l *agentv1.LogLine) []*agentv1.LogLine {
						if method == "StreamLogs" && len(l.ProtoReflect().GetUnknown()) > 0 {
							return nil
						}
						return []*agentv1.LogLine{l}
					}
				},
			}
		},
	}
}
