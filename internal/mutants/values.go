package mutants

import (
	"bytes"
	"encoding/json"
	"maps"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"

	"github.com/neochaotic/leoflow/internal/mutants/matrix"
)

// recoded is a server that answers a method's code by something else.
func recoded(method string, code codes.Code, answer func(*server, *call, error) (proto.Message, error)) func() *server {
	return func() *server {
		return &server{unary: func(s *server, c *call, pass next) (proto.Message, error) {
			reply, err := pass(c)
			if c.method == method && status.Code(err) == code {
				return answer(s, c, err)
			}
			return reply, err
		}}
	}
}

// remembers is a server that answers a fetch which ours refuses by a code with what the
// same fetch brought before.
func remembers(code codes.Code) func() *server {
	return func() *server {
		return &server{unary: func(s *server, c *call, pass next) (proto.Message, error) {
			reply, err := pass(c)
			r, ok := c.request.(*agentv1.FetchXComRequest)
			if !ok {
				return reply, err
			}
			of := "fetched " + tokenOf(c.md) + "/" + r.GetUpstreamTaskId() + "/" + r.GetKey()
			if err == nil {
				s.keep(of, reply)
			} else if old, ok := s.recall(of).(proto.Message); ok && status.Code(err) == code {
				return old, nil
			}
			return reply, err
		}}
	}
}

var xcomMutants = []Mutant{
	{
		Name: "values of all tasks share their names", Rule: "XCOM-1", Check: "XCOM-1/own-identity",
		server: func() *server {
			return &server{unary: func(s *server, c *call, pass next) (proto.Message, error) {
				if r, ok := c.request.(*agentv1.PushXComRequest); ok && r.GetKey() != "" {
					s.keep("shared "+r.GetKey(), r.GetValue())
				}
				if r, ok := c.request.(*conformancev1.GetValueRequest); ok {
					if value, ok := s.recall("shared " + r.GetKey()).([]byte); ok {
						return &conformancev1.GetValueResponse{Value: value}, nil
					}
				}
				return pass(c)
			}}
		},
	},
	{
		Name: "return_value is not the empty key", Rule: "XCOM-1", Check: "XCOM-1/empty-key",
		server: before(func(_ *server, _ *call, r *agentv1.FetchXComRequest) {
			if r.GetKey() == "return_value" {
				r.Key = "return_value_"
			}
		}),
	},
	{
		Name: "a value over the limit is an error", Rule: "XCOM-2", Check: "XCOM-2/limit",
		server: func() *server {
			return &server{unary: func(_ *server, c *call, pass next) (proto.Message, error) {
				reply, err := pass(c)
				if got, ok := reply.(*agentv1.PushXComResponse); ok && got.GetRejectionReason() == "payload_too_large" {
					return nil, status.Error(codes.ResourceExhausted, "too large")
				}
				return reply, err
			}}
		},
	},
	{
		Name: "what is no JSON has no schema", Rule: "XCOM-3", Check: "XCOM-3/mismatch",
		server: after(func(_ *server, c *call, reply *agentv1.PushXComResponse) {
			if !json.Valid(c.request.(*agentv1.PushXComRequest).GetValue()) && reply.GetRejectionReason() == "schema_mismatch" {
				reply.Accepted, reply.RejectionReason = true, ""
			}
		}),
	},
	{
		Name: "JSON is decoded and encoded", Rule: "XCOM-4", Check: "XCOM-4/bytes",
		server: after(func(_ *server, _ *call, reply *agentv1.FetchXComResponse) {
			var v any
			if json.Unmarshal(reply.GetValue(), &v) == nil && reply.GetContentType() == "application/json" {
				reply.Value, _ = json.Marshal(v) // what was decoded can be encoded
			}
		}),
	},
	{
		Name: "an undeclared source is not found", Rule: "XCOM-5", Check: "XCOM-5/undeclared",
		Also: matrix.Because("it wants this refusal, too", "ERR-1/undeclared", "ERR-3/undeclared", "ISO-5/at-once", "ISO-5/readers"),
		server: recoded("FetchXCom", codes.PermissionDenied, func(_ *server, _ *call, _ error) (proto.Message, error) {
			return nil, status.Error(codes.NotFound, "not found")
		}),
	},
	{
		Name: "an absent value is an empty one", Rule: "XCOM-5", Check: "XCOM-5/absent",
		Also: matrix.Because("it fetches what is not there", "XCOM-7/clean").And("nor is another run's value there", "ISO-5/readers"),
		server: recoded("FetchXCom", codes.NotFound, func(_ *server, _ *call, _ error) (proto.Message, error) {
			return &agentv1.FetchXComResponse{}, nil
		}),
	},
	{
		Name: "a push after the end is accepted", Rule: "XCOM-6", Check: "XCOM-6/finished",
		Also: matrix.Because("it pushes after an end", "XCOM-6/superseded", "XCOM-6/lost", "XCOM-6/timed-out"),
		server: recoded("PushXCom", codes.FailedPrecondition, func(_ *server, _ *call, _ error) (proto.Message, error) {
			return &agentv1.PushXComResponse{Accepted: true}, nil
		}),
	},
	{
		Name: "a text that is no JSON stays as it was first pushed", Rule: "XCOM-6", Check: "XCOM-6/replaces",
		Also: matrix.Because("it pushes twice", "XCOM-6/cancelled"),
		server: func() *server {
			return &server{unary: func(s *server, c *call, pass next) (proto.Message, error) {
				reply, err := pass(c)
				r, ok := c.request.(*agentv1.PushXComRequest)
				if got, _ := reply.(*agentv1.PushXComResponse); !ok || err != nil || !got.GetAccepted() || r.GetKey() != "" || json.Valid(r.GetValue()) {
					return reply, err
				}
				if first, ok := s.recall("pushed " + tokenOf(c.md)).(proto.Message); ok {
					again := *c
					again.request = first
					return pass(&again)
				}
				s.keep("pushed "+tokenOf(c.md), proto.CloneOf(r))
				return reply, err
			}}
		},
	},
	{
		Name: "a fetch after the end is served", Rule: "XCOM-7", Check: "XCOM-7/finished",
		Also:   matrix.Because("after another end", "XCOM-7/superseded", "XCOM-7/lost", "XCOM-7/timed-out").And("it fetches as it ends", "ISO-5/readers"),
		server: remembers(codes.FailedPrecondition),
	},
	{
		Name: "a retry finds the values of the last try", Rule: "XCOM-7", Check: "XCOM-7/clean",
		server: remembers(codes.NotFound),
	},
	{
		Name: "the life that is told is twice the true one", Rule: "XCOM-8", Check: "XCOM-8/expires",
		Also:   matrix.Because("it is told", "XCOM-8/told"),
		server: after(func(_ *server, _ *call, reply *agentv1.PushXComResponse) { reply.TtlSeconds *= 2 }),
	},
}

// secretsIn is the map of what a reply delivers; nil: it is of another type.
func secretsIn(reply proto.Message) map[string]string {
	switch reply := reply.(type) {
	case *agentv1.GetVariablesResponse:
		return reply.GetVariables()
	case *agentv1.GetConnectionsResponse:
		return reply.GetConnectionUris()
	}
	return nil
}

// keptSecrets caches what one call delivered past the attempt's end.
func keptSecrets(method string) Mutant {
	check := func(end string) string { return "SECRET-4/" + end + "/" + method }
	return Mutant{
		Name: "what " + method + " delivered is cached past the attempt's end", Rule: "SECRET-4", Check: check("finished"),
		Also: matrix.Because("after another end", check("superseded"), check("lost"), check("timed-out"), check("cancelled")),
		server: func() *server {
			return &server{unary: func(s *server, c *call, pass next) (proto.Message, error) {
				reply, err := pass(c)
				if c.method != method {
					return reply, err
				}
				if err == nil {
					s.keep("secrets "+tokenOf(c.md), reply)
				} else if old, ok := s.recall("secrets " + tokenOf(c.md)).(proto.Message); ok && status.Code(err) == codes.PermissionDenied {
					return old, nil
				}
				return reply, err
			}}
		},
	}
}

var secretMutants = []Mutant{
	{
		Name: "plaintext is good enough", Rule: "SECRET-1", Check: "SECRET-1/plaintext/GetVariables", Plaintext: true,
		Also:   matrix.Because("of the other call", "SECRET-1/plaintext/GetConnections"),
		server: func() *server { return &server{} }, // before a server that speaks TLS to it
	},
	{
		Name: "values are trimmed", Rule: "SECRET-2", Check: "SECRET-2/exact/GetVariables",
		server: after(func(_ *server, _ *call, reply *agentv1.GetVariablesResponse) {
			for key, value := range reply.GetVariables() {
				reply.Variables[key] = strings.TrimSpace(value)
			}
		}),
	},
	{
		Name: "URIs are unescaped", Rule: "SECRET-2", Check: "SECRET-2/exact/GetConnections",
		server: after(func(_ *server, _ *call, reply *agentv1.GetConnectionsResponse) {
			for id, uri := range reply.GetConnectionUris() {
				reply.ConnectionUris[id] = strings.ReplaceAll(uri, "%20", " ")
			}
		}),
	},
	{
		Name: "the declared scope binds nobody who got more before", Rule: "SECRET-3", Check: "SECRET-3/declared/GetVariables",
		Also: matrix.Because("of the other call", "SECRET-3/declared/GetConnections"),
		server: func() *server {
			return &server{unary: func(s *server, c *call, pass next) (proto.Message, error) {
				reply, err := pass(c)
				if got := secretsIn(reply); err == nil && got != nil {
					if more, ok := s.keep("got "+c.method+tokenOf(c.md), maps.Clone(got)).(map[string]string); ok {
						maps.Copy(got, more)
					}
				}
				return reply, err
			}}
		},
	},
	keptSecrets("GetVariables"), keptSecrets("GetConnections"),
	{
		Name: "only the first delivery is recorded", Rule: "SECRET-5", Check: "SECRET-5/audit/GetVariables",
		Also: matrix.Because("of the other call", "SECRET-5/audit/GetConnections"),
		server: after(func(_ *server, _ *call, reply *conformancev1.ListDeliveriesResponse) {
			reply.Deliveries = reply.GetDeliveries()[:min(1, len(reply.GetDeliveries()))]
		}),
	},
	{
		Name: "the record names nobody", Rule: "SECRET-5", Check: "SECRET-5/audit/GetConnections",
		Also: matrix.Because("of the other call", "SECRET-5/audit/GetVariables"),
		server: after(func(_ *server, _ *call, reply *conformancev1.ListDeliveriesResponse) {
			for _, delivery := range reply.GetDeliveries() {
				delivery.Names = nil
			}
		}),
	},
}

// fromTheFuture reports whether a request has fields that nobody knows.
func fromTheFuture(c *call) bool {
	return len(bytes.TrimSpace(c.request.ProtoReflect().GetUnknown())) > 0
}
