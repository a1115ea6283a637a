package serversuite

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"

	"github.com/neochaotic/leoflow/conformance/catalogue"
)

// Methods of AgentService, shortly.
const (
	register       = catalogue.RPC(agentv1.AgentService_Register_FullMethodName)
	getTaskSpec    = catalogue.RPC(agentv1.AgentService_GetTaskSpec_FullMethodName)
	fetchXCom      = catalogue.RPC(agentv1.AgentService_FetchXCom_FullMethodName)
	pushXCom       = catalogue.RPC(agentv1.AgentService_PushXCom_FullMethodName)
	streamLogs     = catalogue.RPC(agentv1.AgentService_StreamLogs_FullMethodName)
	reportState    = catalogue.RPC(agentv1.AgentService_ReportState_FullMethodName)
	heartbeat      = catalogue.RPC(agentv1.AgentService_Heartbeat_FullMethodName)
	getVariables   = catalogue.RPC(agentv1.AgentService_GetVariables_FullMethodName)
	getConnections = catalogue.RPC(agentv1.AgentService_GetConnections_FullMethodName)
)

// exercise is how one RPC of AgentService is called rightly, so that a check of any RPC
// can begin with it.
type exercise struct {
	// prepare makes what the call needs; nil: nothing.
	prepare func(w *world)
	// request is a valid one. Its effect differs from turn to turn, from 1, so that it
	// can be told whether a refused one had an effect.
	request func(w *world, turn int) proto.Message
	// shows fails the check unless the reply to the turn, and what is stored, are right.
	shows func(a *attempt, turn int, reply proto.Message)
	// invalid is a request that validation refuses, and the field that it names; nil: no
	// request is invalid.
	invalid func() (proto.Message, string)
	// confidential: it needs a channel that nobody else can read, and secrets.
	confidential bool
}

// exercises has every RPC of AgentService; a test holds that.
var exercises = map[catalogue.RPC]exercise{
	register: {
		request: func(*world, int) proto.Message {
			return &agentv1.RegisterRequest{AgentVersion: "conformance", Hostname: "here"}
		},
		shows: func(a *attempt, _ int, reply proto.Message) {
			got := reply.(*agentv1.RegisterResponse)
			if got.GetSessionId() != a.ref.GetTaskInstanceId() || !got.GetServerTime().IsValid() {
				a.w.t.Fatalf("Register returned session_id %q, not %q, or no time", got.GetSessionId(), a.ref.GetTaskInstanceId())
			}
		},
	},
	getTaskSpec: {
		request: func(*world, int) proto.Message { return &agentv1.GetTaskSpecRequest{} },
		shows: func(a *attempt, _ int, reply proto.Message) {
			if got, want := reply.(*agentv1.TaskSpec).GetEntrypoint(), a.w.specs[worker].GetEntrypoint(); got != want {
				a.w.t.Fatalf("GetTaskSpec returned the entrypoint %q, not %q", got, want)
			}
		},
	},
	fetchXCom: {
		prepare: func(w *world) { w.publish(w.canary) },
		request: func(*world, int) proto.Message { return &agentv1.FetchXComRequest{UpstreamTaskId: source} },
		shows: func(a *attempt, _ int, reply proto.Message) {
			if got := reply.(*agentv1.FetchXComResponse).GetValue(); string(got) != a.w.canary {
				a.w.t.Fatalf("FetchXCom returned %q, not %q", got, a.w.canary)
			}
		},
		invalid: func() (proto.Message, string) { return &agentv1.FetchXComRequest{}, "upstream_task_id" },
	},
	pushXCom: {
		request: func(w *world, turn int) proto.Message { return &agentv1.PushXComRequest{Value: turned(w, turn)} },
		shows: func(a *attempt, turn int, reply proto.Message) {
			got := reply.(*agentv1.PushXComResponse)
			if !got.GetAccepted() || !bytes.Equal(a.w.value(a.ref.GetTaskId(), "return_value"), turned(a.w, turn)) {
				a.w.t.Fatalf("PushXCom answered {%v}, and the value is not stored", got)
			}
		},
		invalid: func() (proto.Message, string) {
			return &agentv1.PushXComRequest{Key: "a\x00b", Value: []byte("1")}, "key"
		},
	},
	streamLogs: {
		request: func(w *world, turn int) proto.Message {
			return &agentv1.LogLine{
				Time: timestamppb.Now(), Level: agentv1.LogLevel_LOG_LEVEL_INFO, Stream: "agent", Message: string(turned(w, turn)),
			}
		},
		shows: func(a *attempt, turn int, _ proto.Message) {
			for _, r := range a.log() {
				if r.GetMessage() == string(turned(a.w, turn)) && r.GetStream() == "agent" {
					return
				}
			}
			a.w.t.Fatalf("StreamLogs ended well, and the line is not in the log")
		},
	},
	reportState: {
		request: func(_ *world, turn int) proto.Message {
			return &agentv1.ReportStateRequest{State: reported(turn), OccurredAt: timestamppb.Now()}
		},
		shows: func(a *attempt, turn int, reply proto.Message) {
			got := reply.(*agentv1.ReportStateResponse)
			want := map[int]any{1: running, 2: failed}[turn]
			if stored := a.stored().GetState(); !got.GetAcknowledged() || got.GetShouldTerminate() || stored != want {
				a.w.t.Fatalf("ReportState %s answered {%v}, and %s is stored", reported(turn), got, stored)
			}
		},
		invalid: func() (proto.Message, string) { return &agentv1.ReportStateRequest{}, "state" },
	},
	heartbeat: {
		request: func(*world, int) proto.Message { return &agentv1.HeartbeatRequest{SentAt: timestamppb.Now()} },
		shows: func(a *attempt, _ int, reply proto.Message) {
			got := reply.(*agentv1.HeartbeatResponse)
			if got.GetShouldTerminate() || !got.GetServerTime().IsValid() || !a.stored().GetHeartbeatAt().IsValid() {
				a.w.t.Fatalf("Heartbeat of a live attempt was answered {%v}, or left no stamp", got)
			}
		},
	},
	getVariables: {
		confidential: true, prepare: giveSecrets,
		request: func(*world, int) proto.Message { return &agentv1.GetVariablesRequest{} },
		shows: func(a *attempt, _ int, reply proto.Message) {
			if got := reply.(*agentv1.GetVariablesResponse).GetVariables()["DECLARED"]; !strings.Contains(got, a.w.canary) {
				a.w.t.Fatalf("GetVariables did not return the tenant's variable")
			}
		},
	},
	getConnections: {
		confidential: true, prepare: giveSecrets,
		request: func(*world, int) proto.Message { return &agentv1.GetConnectionsRequest{} },
		shows: func(a *attempt, _ int, reply proto.Message) {
			if got := reply.(*agentv1.GetConnectionsResponse).GetConnectionUris()["declared"]; !strings.Contains(got, a.w.canary) {
				a.w.t.Fatalf("GetConnections did not return the tenant's connection")
			}
		},
	},
}

// giveSecrets gives the tenant secrets, and its tasks all of them, or what they declared
// where the server never gives more.
func giveSecrets(w *world) {
	tenant := secretsFor(w.tenant, w.canary, conformancev1.FixtureScope_FIXTURE_SCOPE_TENANT)
	_, err := w.target.Fixtures.PutSecrets(w.t.Context(), tenant)
	if w.limited = status.Code(err) == codes.Unimplemented && w.target.offers("declared_scope"); w.limited {
		w.secrets(conformancev1.FixtureScope_FIXTURE_SCOPE_DECLARED)
		return
	}
	w.fixture("store secrets", err)
}

// turned is a text that tells the tenant and the turn.
func turned(w *world, turn int) []byte { return fmt.Appendf(nil, `"%s %d"`, w.canary, turn) }

// reported is what a turn reports: RUNNING first, and what settles second.
func reported(turn int) agentv1.TaskState {
	if turn == 1 {
		return agentv1.TaskState_TASK_STATE_RUNNING
	}
	return agentv1.TaskState_TASK_STATE_FAILED
}

// exercised prepares a queued worker for calls of an RPC.
func exercised(w *world, rpc catalogue.RPC) *attempt {
	e := exercises[rpc]
	if e.confidential {
		w.secretsTravel()
	}
	if e.prepare != nil {
		e.prepare(w)
	}
	return w.launch(worker, queued)
}

// secretsTravel stops the check where secrets cannot be delivered.
func (w *world) secretsTravel() {
	w.needs("secrets")
	if !w.target.Confidential && !w.target.Capabilities.GetPlaintextSecrets() {
		w.t.Untestable("the connection is in plaintext, over which the server delivers no secrets")
	}
}

// control is the positive control: the RPC's right call, with all of its effect.
func (a *attempt) control(rpc catalogue.RPC, turn int) {
	e := exercises[rpc]
	reply, err := a.w.call(rpc, a.as(), e.request(a.w, turn))
	a.w.wantCode(err, codes.OK, "the control, a right call of "+rpc.Method())
	if reply == nil && rpc != streamLogs { // what became of the line tells; acknowledgements are LOG-5's
		a.w.t.Fatalf("the control, a right call of %s, was answered without a message", rpc.Method())
	}
	e.shows(a, turn, reply)
}

// The calls of agents.

func (a *attempt) report(state agentv1.TaskState) *agentv1.ReportStateResponse {
	return typed[*agentv1.ReportStateResponse](a, reportState, &agentv1.ReportStateRequest{State: state, OccurredAt: timestamppb.Now()})
}

// accepted reports, and wants it taken.
func (a *attempt) accepted(state agentv1.TaskState) {
	if got := a.report(state); !got.GetAcknowledged() || got.GetShouldTerminate() {
		a.w.t.Fatalf("the report of %s was answered {%v}", state, got)
	}
}

func (a *attempt) beat() *agentv1.HeartbeatResponse {
	return typed[*agentv1.HeartbeatResponse](a, heartbeat, &agentv1.HeartbeatRequest{SentAt: timestamppb.Now()})
}

func (a *attempt) push(key, value string) *agentv1.PushXComResponse {
	got := typed[*agentv1.PushXComResponse](a, pushXCom, &agentv1.PushXComRequest{Key: key, Value: []byte(value)})
	if !got.GetAccepted() {
		a.w.t.Fatalf("a push was not accepted: %q", got.GetRejectionReason())
	}
	return got
}

func (a *attempt) fetch(task, key string) (*agentv1.FetchXComResponse, error) {
	reply, err := a.w.call(fetchXCom, a.as(), &agentv1.FetchXComRequest{UpstreamTaskId: task, Key: key})
	got, _ := reply.(*agentv1.FetchXComResponse)
	return got, err
}

// wantFetch fails the check unless a value of the source comes as it was pushed.
func (a *attempt) wantFetch(key, value string) *agentv1.FetchXComResponse {
	got, err := a.fetch(source, key)
	a.w.wantCode(err, codes.OK, "FetchXCom of a declared input")
	if string(got.GetValue()) != value {
		a.w.t.Fatalf("FetchXCom returned %q, not %q", got.GetValue(), value)
	}
	return got
}

// wantTold fails the check unless a heartbeat's answer says to terminate, and why.
func (a *attempt) wantTold(got *agentv1.HeartbeatResponse, reasons ...agentv1.TerminationReason) {
	if !got.GetShouldTerminate() || !slices.Contains(reasons, got.GetReason()) {
		a.w.t.Fatalf("Heartbeat was answered {%v}, not told to terminate for %v", got, reasons)
	}
}
