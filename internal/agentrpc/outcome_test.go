package agentrpc

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/neochaotic/leoflow/gen/leoflow/agent/v1"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/xcom"
)

const (
	stateRunning = agentv1.TaskState_TASK_STATE_RUNNING
	stateFailed  = agentv1.TaskState_TASK_STATE_FAILED
)

func TestReg1RegisterReturnsTheTaskInstanceAndTheClock(t *testing.T) {
	r := newRig()
	now := time.Date(2026, 11, 24, 10, 0, 0, 5, time.UTC)
	r.now = func() time.Time { return now }
	for range 2 { // REG-2
		resp, err := r.Register(good(t), &agentv1.RegisterRequest{AgentVersion: "\x07", Environment: map[string]string{"a": "b"}})
		if err != nil {
			t.Fatal(err)
		}
		if resp.GetSessionId() != "ti-1" || !resp.GetServerTime().AsTime().Equal(now) {
			t.Errorf("answer %v", resp)
		}
	}
	if touched := r.touched(); len(touched) != 0 {
		t.Errorf("a plain store was asked %v", touched)
	}
}

func TestSpec1And2GetTaskSpecHasTheTokensIdentityAndTheStoredRest(t *testing.T) {
	r := newRig()
	want := &agentv1.TaskSpec{
		TenantId: "acme", DagId: "dag", RunId: testIdentity.RunID, TaskId: "load", TryNumber: 2,
		DagVersion: "7", Operator: "bash", Entrypoint: "echo hi", Environment: map[string]string{"A": "b"},
		XcomInputMapping:        map[string]*agentv1.XComUpstreams{"one": {TaskIds: []string{"extract"}}, "many": {TaskIds: []string{"c", "a", "b"}}},
		ExecutionTimeoutSeconds: 90, CallArgsJson: `{"a":1}`,
	}
	for range 2 { // SPEC-2
		got, err := r.GetTaskSpec(good(t), &agentv1.GetTaskSpecRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
			t.Error(diff)
		}
	}
	if got := r.last("TaskSpec"); got != testIdentity {
		t.Errorf("the store was asked for %v", got)
	}
}

func TestState1AStateThatIsNoReportIsInvalidAndTouchesNothing(t *testing.T) {
	for name, req := range map[string]*agentv1.ReportStateRequest{
		"unspecified": {},
		"unknown":     {State: 5},
		"negative":    {State: -1},
		"no request":  nil,
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig()
			_, err := r.ReportState(good(t), req)
			wantCode(t, err, codes.InvalidArgument)
			if touched := r.touched(); len(touched) != 0 {
				t.Errorf("touched %v", touched)
			}
			if reason := errorInfo(err).GetReason(); reason != "INVALID_REQUEST" {
				t.Errorf("reason %q", reason)
			}
		})
	}
}

func TestState2EachReportReachesTheStoreAndIsAcknowledged(t *testing.T) {
	for wire, state := range map[agentv1.TaskState]domain.TaskState{
		stateRunning:                         domain.TaskStateRunning,
		agentv1.TaskState_TASK_STATE_SUCCESS: domain.TaskStateSuccess,
		stateFailed:                          domain.TaskStateFailed,
		agentv1.TaskState_TASK_STATE_SKIPPED: domain.TaskStateSkipped,
	} {
		for _, code := range []int32{0, 255, -1, -2147483648, 2147483647} {
			t.Run(fmt.Sprint(state, code), func(t *testing.T) {
				r := newRig()
				resp, err := r.ReportState(good(t), &agentv1.ReportStateRequest{State: wire, ExitCode: code, ErrorMessage: "why"})
				if err != nil {
					t.Fatal(err)
				}
				if !resp.GetAcknowledged() || resp.GetShouldTerminate() || resp.GetReason() != 0 {
					t.Errorf("answer %v", resp)
				}
				if got, want := r.last("ReportState"), (reported{ID: testIdentity, State: state, ExitCode: int(code), Message: "why"}); got != want {
					t.Errorf("stored %v, want %v", got, want)
				}
			})
		}
	}
}

func TestState6AnErrorMessageIsCutAtACharacter(t *testing.T) {
	r := newRig()
	long := "x" + strings.Repeat("é", domain.MaxErrorMessageBytes)
	if _, err := r.ReportState(good(t), &agentv1.ReportStateRequest{State: stateFailed, ErrorMessage: long}); err != nil {
		t.Fatal(err)
	}
	got := r.last("ReportState").(reported).Message
	if len(got) != domain.MaxErrorMessageBytes-1 || !strings.HasPrefix(long, got) {
		t.Errorf("stored %d bytes", len(got))
	}
}

func TestXCom2And3ARejectedValueIsAnAnswerNotAnError(t *testing.T) {
	for reason, err := range map[string]error{
		"payload_too_large": xcom.ErrTooLarge,
		"schema_mismatch":   xcom.ErrSchemaMismatch,
	} {
		t.Run(reason, func(t *testing.T) {
			for _, wrapped := range []error{err, fmt.Errorf("%s: %w", secret, err)} {
				r := newRig()
				r.fail("Push", wrapped)
				resp, err := r.PushXCom(good(t), &agentv1.PushXComRequest{Key: "k", Value: []byte("v")})
				if err != nil {
					t.Fatal(err)
				}
				if resp.GetAccepted() || resp.GetRejectionReason() != reason || resp.GetTtlSeconds() != 0 {
					t.Errorf("answer %v", resp)
				}
			}
		})
	}
}

func TestXCom1AnEmptyKeyMeansTheReturnValue(t *testing.T) {
	for key, want := range map[string]string{"": "return_value", "return_value": "return_value", "other: +é": "other: +é"} {
		t.Run("key "+key, func(t *testing.T) {
			r := newRig()
			resp, err := r.PushXCom(good(t), &agentv1.PushXComRequest{Key: key, Value: []byte("v\x00"), ContentType: "text/odd"})
			if err != nil {
				t.Fatal(err)
			}
			if !resp.GetAccepted() || resp.GetRejectionReason() != "" || resp.GetTtlSeconds() != int32(xcom.DefaultTTL/time.Second) {
				t.Errorf("answer %v", resp)
			}
			wantPushed := pushed{
				Key:   xcom.Key{TenantID: "acme", DagID: "dag", RunID: testIdentity.RunID, TaskID: "load", Name: want},
				Value: "v\x00", ContentType: "text/odd",
			}
			if want == "return_value" { // whose schema it is
				wantPushed.Schema = testSpec.XComSchema
			}
			if diff := cmp.Diff(wantPushed, r.last("Push")); diff != "" {
				t.Error(diff)
			}

			fetched, err := r.FetchXCom(good(t), &agentv1.FetchXComRequest{UpstreamTaskId: "b", Key: key})
			if err != nil {
				t.Fatal(err)
			}
			wantFetched := &agentv1.FetchXComResponse{
				Value: testEntry.Value, ContentType: "text/odd", SizeBytes: 3, CreatedAt: timestamppb.New(testEntry.CreatedAt),
			}
			if diff := cmp.Diff(wantFetched, fetched, protocmp.Transform()); diff != "" {
				t.Error(diff)
			}
			if got := r.last("Fetch"); got != (xcom.Key{TenantID: "acme", DagID: "dag", RunID: testIdentity.RunID, TaskID: "b", Name: want}) {
				t.Errorf("fetched %v", got)
			}
		})
	}
}

func TestXCom5OnlyADeclaredSourceIsRead(t *testing.T) {
	r := newRig()
	_, err := r.FetchXCom(good(t), &agentv1.FetchXComRequest{UpstreamTaskId: "another"})
	wantCode(t, err, codes.PermissionDenied)
	if reason := errorInfo(err).GetReason(); reason != "NOT_DECLARED" {
		t.Errorf("reason %q", reason)
	}
	if slices.Contains(r.asked(), "Fetch") {
		t.Error("the value was read")
	}
	r.fail("Fetch", fmt.Errorf("%s: %w", secret, xcom.ErrNotFound))
	_, err = r.FetchXCom(good(t), &agentv1.FetchXComRequest{UpstreamTaskId: "extract"})
	wantCode(t, err, codes.NotFound)
}

// failing lists, for each RPC, the methods of the base interfaces that it depends on.
var failing = map[string][]string{
	"GetTaskSpec":    {"TaskSpec"},
	"FetchXCom":      {"TaskSpec", "Fetch"},
	"PushXCom":       {"TaskSpec", "Push"},
	"ReportState":    {"ReportState"},
	"StreamLogs":     {"Open", "WriteEvent", "Close"},
	"GetVariables":   {"SecretVariables"},
	"GetConnections": {"SecretConnectionURIs"},
}

func TestErr1AFailingPartIsInternalAndOnlyLogged(t *testing.T) {
	for name, methods := range failing {
		for _, method := range methods {
			t.Run(name+"/"+method, func(t *testing.T) {
				r := equipped()
				r.fail(method, errors.New(secret))
				err := rpcNamed(name).call(good(t), r.Server)
				wantInternal(t, err)
				failed := r.log.lines(t, "call failed")
				if len(failed) != 1 || failed[0]["level"] != "ERROR" || failed[0]["method"] != rpcNamed(name).method ||
					!strings.Contains(failed[0]["cause"].(string), secret) {
					t.Errorf("logged %v", failed)
				}
			})
		}
	}
}

func TestState8OnlyUnavailableBecomesUnavailable(t *testing.T) {
	for name, methods := range failing {
		for _, method := range methods {
			t.Run(name+"/"+method, func(t *testing.T) {
				r := equipped()
				r.fail(method, fmt.Errorf("%s: %w", secret, domain.ErrUnavailable))
				wantCode(t, rpcNamed(name).call(good(t), r.Server), codes.Unavailable)
				r.fail(method, fmt.Errorf("%s: %w", secret, context.DeadlineExceeded))
				wantInternal(t, rpcNamed(name).call(good(t), r.Server))
			})
		}
	}
}

func TestStreamLogsWithoutASinkIsUnimplemented(t *testing.T) {
	r := newRig()
	stream := newStream(good(t), line("stdout", 1, "x"))
	wantCode(t, r.StreamLogs(stream), codes.Unimplemented)
	if n := stream.taken.Load(); n != 0 {
		t.Errorf("took %d messages", n)
	}
}

func TestSecret5WithoutSecretsUnavailableWhateverTheChannel(t *testing.T) {
	for _, name := range []string{"GetVariables", "GetConnections"} {
		for channel, ctx := range map[string]context.Context{
			"plaintext": good(t),
			"TLS":       onChannel(good(t), credentials.TLSInfo{}),
		} {
			t.Run(name+"/"+channel, func(t *testing.T) {
				r := newRig()
				err := rpcNamed(name).call(ctx, r.Server)
				wantCode(t, err, codes.Unavailable)
				if reason := errorInfo(err).GetReason(); reason != "NOT_CONFIGURED" {
					t.Errorf("reason %q", reason)
				}
			})
		}
	}
}

// claimed is an AuthInfo that says of itself whatever it likes.
type claimed struct {
	credentials.CommonAuthInfo
	kind string
}

func (c claimed) AuthType() string { return c.kind }

func TestSecret1OnlyOverAConfidentialChannel(t *testing.T) {
	private := credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}
	for channel, c := range map[string]struct {
		info credentials.AuthInfo
		ok   bool
	}{
		"plaintext":                         {nil, false},
		"TLS":                               {credentials.TLSInfo{}, true},
		"an AuthInfo that calls itself tls": {claimed{private, "tls"}, false},
		"local, private":                    {claimed{private, "local"}, true},
		"local, integrity only":             {claimed{credentials.CommonAuthInfo{SecurityLevel: credentials.IntegrityOnly}, "local"}, false},
		"local, level unknown":              {claimed{kind: "local"}, false},
	} {
		for _, name := range []string{"GetVariables", "GetConnections"} {
			t.Run(channel+"/"+name, func(t *testing.T) {
				r := newRig()
				r.SetSecrets(plainSecrets{r.script}, false)
				err := rpcNamed(name).call(onChannel(good(t), c.info), r.Server)
				if c.ok {
					wantCode(t, err, codes.OK)
					return
				}
				wantCode(t, err, codes.PermissionDenied)
				if reason := errorInfo(err).GetReason(); reason != "CHANNEL_NOT_CONFIDENTIAL" {
					t.Errorf("reason %q", reason)
				}
				if touched := r.touched(); len(touched) != 0 {
					t.Errorf("touched %v", touched)
				}
				r.SetSecrets(plainSecrets{r.script}, true)
				wantCode(t, rpcNamed(name).call(onChannel(good(t), c.info), r.Server), codes.OK)
			})
		}
	}
}

func TestSecret2ExactlyTheCallersTenants(t *testing.T) {
	r := equipped()
	variables, err := r.GetVariables(good(t), &agentv1.GetVariablesRequest{})
	if err != nil || !maps.Equal(variables.GetVariables(), map[string]string{"var": "acme-value"}) {
		t.Errorf("variables %v, %v", variables, err)
	}
	connections, err := r.GetConnections(good(t), &agentv1.GetConnectionsRequest{})
	if err != nil || !maps.Equal(connections.GetConnectionUris(), map[string]string{"conn": "acme://"}) {
		t.Errorf("connections %v, %v", connections, err)
	}
}

// TestErr3PrecedenceInsideACall drops one fault after the other: authentication, then
// validity, then presence, then the channel, then the store.
func TestErr3PrecedenceInsideACall(t *testing.T) {
	invalidFetch := rpc{"FetchXCom", "", func(ctx context.Context, s *Server) error {
		_, err := s.FetchXCom(ctx, &agentv1.FetchXComRequest{})
		return err
	}}
	invalidPush := rpc{"PushXCom", "", func(ctx context.Context, s *Server) error {
		_, err := s.PushXCom(ctx, &agentv1.PushXComRequest{Key: "a\nb"})
		return err
	}}
	bad := bearing(t.Context(), "bad")
	overTLS := onChannel(good(t), credentials.TLSInfo{})
	broken := func() *rig {
		r := newRig()
		for _, methods := range failing {
			for _, method := range methods {
				r.fail(method, errors.New(secret))
			}
		}
		return r
	}
	withSecrets := func() *rig {
		r := broken()
		r.SetSecrets(plainSecrets{r.script}, false)
		return r
	}
	for _, c := range []struct {
		name string
		r    *rig
		rpc  rpc
		ctx  context.Context //nolint:containedctx // the case's caller
		want codes.Code
	}{
		{"authentication before validity", broken(), invalidFetch, bad, codes.Unauthenticated},
		{"validity before the store", broken(), invalidFetch, good(t), codes.InvalidArgument},
		{"validity of a push before the store", broken(), invalidPush, good(t), codes.InvalidArgument},
		{"authentication before presence", broken(), rpcNamed("GetVariables"), bad, codes.Unauthenticated},
		{"authentication before presence, stream", broken(), rpcNamed("StreamLogs"), bad, codes.Unauthenticated},
		{"presence before the channel", broken(), rpcNamed("GetVariables"), good(t), codes.Unavailable},
		{"authentication before the channel", withSecrets(), rpcNamed("GetVariables"), bad, codes.Unauthenticated},
		{"the channel before the store", withSecrets(), rpcNamed("GetVariables"), good(t), codes.PermissionDenied},
		{"the channel before the store", withSecrets(), rpcNamed("GetConnections"), good(t), codes.PermissionDenied},
		{"at last the store", withSecrets(), rpcNamed("GetConnections"), overTLS, codes.Internal},
	} {
		t.Run(c.name+"/"+c.rpc.name, func(t *testing.T) {
			wantCode(t, c.rpc.call(c.ctx, c.r.Server), c.want)
			if touched := c.r.touched(); (len(touched) != 0) != (c.want == codes.Internal) {
				t.Errorf("touched %v", touched)
			}
		})
	}
}

func TestWhatBecomesAnInt32IsClamped(t *testing.T) {
	for in, want := range map[int64]int32{0: 0, -5: -5, 1 << 40: 2147483647, -1 << 40: -2147483648} {
		if got := clampInt32(in); got != want {
			t.Errorf("%d becomes %d, want %d", in, got, want)
		}
	}
}
