package mutants

import (
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"
	"github.com/neochaotic/leoflow/internal/mutants/matrix"
)

// under is a server that changes how calls end while one fault is there.
func under(fault conformancev1.Fault, change func(s *server, c *call, reply proto.Message, err error) (proto.Message, error)) func() *server {
	return func() *server {
		return &server{unary: func(s *server, c *call, pass next) (proto.Message, error) {
			reply, err := pass(c)
			if r, ok := c.request.(*conformancev1.SetFaultRequest); ok && r.GetFault() == fault {
				s.keep("fault", r.GetActive())
			}
			if there, _ := s.recall("fault").(bool); there {
				return change(s, c, reply, err)
			}
			return reply, err
		}}
	}
}

// says adds a text to an error.
func says(err error, text string) error {
	p := proto.CloneOf(status.Convert(err).Proto())
	p.Message += text
	return status.FromProto(p).Err()
}

const (
	storeDown = conformancev1.Fault_FAULT_STORE_DOWN
	panics    = conformancev1.Fault_FAULT_PANIC
)

var outageMutants = []Mutant{
	{
		Name: "a store that is down is told to agents with its table", Rule: "ERR-1", Check: "ERR-1/store-down/agents",
		server: under(storeDown, func(_ *server, c *call, reply proto.Message, err error) (proto.Message, error) {
			if err != nil && c.method == "Register" {
				err = says(err, ": SELECT id FROM attempts: disk I/O error")
			}
			return reply, err
		}),
	},
	{
		Name: "a store that is down is told to operators with its path", Rule: "ERR-1", Check: "ERR-1/store-down/operators",
		server: under(storeDown, func(_ *server, c *call, reply proto.Message, err error) (proto.Message, error) {
			if err != nil && c.method == "ListRuns" {
				err = says(err, ": open /var/lib/leoflow/leoflow.db")
			}
			return reply, err
		}),
	},
	{
		Name: "the error of a store has no correlation id", Rule: "ERR-1", Check: "ERR-1/store-down/secrets",
		server: under(storeDown, func(_ *server, c *call, reply proto.Message, err error) (proto.Message, error) {
			if err != nil && c.method == "GetVariables" {
				err = status.Error(status.Code(err), "try again")
			}
			return reply, err
		}),
	},
	{
		Name: "a panic is told with its stack", Rule: "ERR-2", Check: "ERR-2/panic/agents",
		server: under(panics, func(_ *server, c *call, reply proto.Message, err error) (proto.Message, error) {
			if err != nil && c.method == "PushXCom" {
				err = says(err, ": goroutine 7 [running]")
			}
			return reply, err
		}),
	},
	{
		Name: "a panic looks like an outage", Rule: "ERR-2", Check: "ERR-2/panic/operators",
		server: under(panics, func(_ *server, c *call, reply proto.Message, err error) (proto.Message, error) {
			if err != nil && c.method == "CancelRun" {
				err = status.Error(codes.Unavailable, "try again")
			}
			return reply, err
		}),
	},
	{
		Name: "a method that panicked is closed to the tenant from then on", Rule: "ERR-2", Check: "ERR-2/panic/secrets",
		server: func() *server {
			panicked := func(c *call) string { return "panicked " + c.method + " of " + read(tokenOf(c.md)).Tenant }
			out := under(panics, func(s *server, c *call, reply proto.Message, err error) (proto.Message, error) {
				if status.Code(err) == codes.Internal && c.method == "GetConnections" {
					s.keep(panicked(c), true)
				}
				return reply, err
			})()
			panicking := out.unary
			out.unary = func(s *server, c *call, pass next) (proto.Message, error) {
				if s.recall(panicked(c)) != nil {
					return nil, status.Error(codes.Internal, "internal server error")
				}
				return panicking(s, c, pass)
			}
			return out
		},
	},
	{
		Name: "a heartbeat is told that the store is down", Rule: "BEAT-2", Check: "BEAT-2/down",
		server: under(storeDown, func(_ *server, c *call, reply proto.Message, err error) (proto.Message, error) {
			if c.method == "Heartbeat" && c.md.Get("authorization") != nil {
				return nil, status.Error(codes.Unavailable, "try again")
			}
			return reply, err
		}),
		Also: matrix.Because("the error has no correlation id", "ERR-1/store-down/agents"),
	},
	{
		Name: "a report is acknowledged though the store is down", Rule: "STATE-8", Check: "STATE-8/down",
		server: func() *server {
			return &server{unary: func(s *server, c *call, pass next) (proto.Message, error) {
				if r, ok := c.request.(*conformancev1.SetFaultRequest); ok && r.GetFault() == storeDown {
					s.keep("fault", r.GetActive())
				}
				if there, _ := s.recall("fault").(bool); there && c.method == "ReportState" {
					return &agentv1.ReportStateResponse{Acknowledged: true}, nil
				}
				return pass(c)
			}}
		},
	},
	{
		Name: "a server without secrets says that there are none", Rule: "SECRET-5", Check: "SECRET-5/not-configured",
		server: under(conformancev1.Fault_FAULT_NO_SECRETS, func(_ *server, c *call, reply proto.Message, err error) (proto.Message, error) {
			if c.method == "GetVariables" {
				return &agentv1.GetVariablesResponse{}, nil
			}
			return reply, err
		}),
	},
	{
		Name: "what cannot be recorded is delivered all the same", Rule: "SECRET-5", Check: "SECRET-5/no-record",
		server: under(conformancev1.Fault_FAULT_NO_AUDIT, func(_ *server, c *call, reply proto.Message, err error) (proto.Message, error) {
			if c.method == "GetConnections" {
				return &agentv1.GetConnectionsResponse{ConnectionUris: map[string]string{"hidden": "x://y"}}, nil
			}
			return reply, err
		}),
	},
}
