package mutants

import (
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"
	"github.com/neochaotic/leoflow/internal/mutants/matrix"
)

// faulty is a server that answers a method in a way of its own while its store fails.
func faulty(method string, answer func() (proto.Message, error)) func() *server {
	return func() *server {
		return &server{unary: func(s *server, c *call, pass next) (proto.Message, error) {
			if r, ok := c.request.(*conformancev1.SetFaultRequest); ok {
				hangs := r.GetFault() == conformancev1.Fault_FAULT_STORE_HANGS
				s.keep("fault", r.GetActive() && (hangs || r.GetFault() == storeDown))
			}
			if there, _ := s.recall("fault").(bool); there && c.method == method {
				return answer()
			}
			return pass(c)
		}}
	}
}

var faultMutants = []Mutant{
	{
		Name: "a heartbeat fails with its store", Rule: "BEAT-2", Check: "BEAT-2/hangs",
		server: faulty("Heartbeat", func() (proto.Message, error) { return nil, status.Error(codes.Unavailable, "try again") }),
		Also:   matrix.Because("the store fails in another way", "BEAT-2/down").And("the error has no correlation id", "ERR-1/store-down/agents"),
	},
	{
		Name: "a store that hangs ends every task", Rule: "BEAT-2", Check: "BEAT-2/hangs",
		server: faulty("Heartbeat", func() (proto.Message, error) { return &agentv1.HeartbeatResponse{ShouldTerminate: true}, nil }),
		Also:   matrix.Because("the store fails in another way", "BEAT-2/down", "BEAT-5/outage"),
	},
	{
		Name: "a report is acknowledged before it is stored", Rule: "STATE-8", Check: "STATE-8/hangs",
		server: faulty("ReportState", func() (proto.Message, error) { return &agentv1.ReportStateResponse{Acknowledged: true}, nil }),
		Also:   matrix.Because("the store fails in another way", "STATE-8/down"),
	},
	{
		Name: "a report does not wait for its store", Rule: "STATE-8", Check: "STATE-8/hangs",
		server: faulty("ReportState", func() (proto.Message, error) { return nil, status.Error(codes.Unavailable, "try again") }),
		Also:   matrix.Because("the store fails in another way", "STATE-8/down").And("the error has no correlation id", "ERR-1/store-down/agents"),
	},
}
