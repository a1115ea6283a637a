package rpcstatus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/xcom"
)

// secret stands for whatever private text an error carries.
const secret = "secret-cause-text"

// detail returns the one detail of type T, and fails when there is none or several.
func detail[T proto.Message](t *testing.T, s *status.Status) T {
	t.Helper()
	var found []T
	for _, d := range s.Details() {
		if one, ok := d.(T); ok {
			found = append(found, one)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d details of type %T, want 1: %v", len(found), *new(T), s.Details())
	}
	return found[0]
}

func has[T proto.Message](s *status.Status) bool {
	for _, d := range s.Details() {
		if _, ok := d.(T); ok {
			return true
		}
	}
	return false
}

// wantNoSecret looks for private text anywhere in what a client gets.
func wantNoSecret(t *testing.T, s *status.Status) {
	t.Helper()
	if text := protojson.Format(s.Proto()); strings.Contains(text, secret) {
		t.Errorf("private text reaches the client: %s", text)
	}
}

// sentinelCases says of every sentinel what a client sees of it.
var sentinelCases = []struct {
	name        string
	err         error
	code        codes.Code
	reason      string
	termination string
	retry       bool
}{
	{name: "refused token", err: auth.ErrRefused, code: codes.Unauthenticated, reason: "UNAUTHENTICATED"},
	{name: "no tenant", err: domain.ErrNoTenant, code: codes.Internal, reason: "INTERNAL"},
	{name: "unavailable", err: domain.ErrUnavailable, code: codes.Unavailable, reason: "UNAVAILABLE"},
	{name: "overloaded", err: domain.ErrOverloaded, code: codes.ResourceExhausted, reason: "OVERLOADED", retry: true},
	{name: "quota", err: domain.ErrQuota, code: codes.ResourceExhausted, reason: "QUOTA_EXCEEDED"},
	{name: "not live", err: domain.ErrNotLive, code: codes.FailedPrecondition, reason: "ATTEMPT_NOT_LIVE"},
	{name: "cancelled", err: domain.ErrCancelled, code: codes.FailedPrecondition, reason: "ATTEMPT_NOT_LIVE", termination: "cancelled"},
	{name: "superseded", err: domain.ErrSuperseded, code: codes.FailedPrecondition, reason: "ATTEMPT_NOT_LIVE", termination: "superseded"},
	{name: "finished", err: domain.ErrFinished, code: codes.FailedPrecondition, reason: "ATTEMPT_NOT_LIVE", termination: "finished"},
	{name: "lost", err: domain.ErrLost, code: codes.FailedPrecondition, reason: "ATTEMPT_NOT_LIVE", termination: "lost"},
	{name: "timed out", err: domain.ErrTimedOut, code: codes.FailedPrecondition, reason: "ATTEMPT_NOT_LIVE", termination: "timed_out"},
	{name: "unknown attempt", err: domain.ErrUnknown, code: codes.FailedPrecondition, reason: "ATTEMPT_NOT_LIVE", termination: "unknown"},
	{name: "aborted", err: domain.ErrAborted, code: codes.Aborted, reason: "TAKEN_OVER"},
	{name: "undeclared", err: domain.ErrUndeclared, code: codes.PermissionDenied, reason: "NOT_DECLARED"},
	{name: "not found", err: domain.ErrNotFound, code: codes.NotFound, reason: "NOT_FOUND"},
	{name: "no value", err: xcom.ErrNotFound, code: codes.NotFound, reason: "NOT_FOUND"},
	{name: "conflict", err: domain.ErrConflict, code: codes.AlreadyExists, reason: "CONFLICT"},
	{name: "other caller", err: domain.ErrOtherCaller, code: codes.FailedPrecondition, reason: "LAUNCHED_BY_ANOTHER"},
	{name: "precondition", err: domain.ErrPrecondition, code: codes.FailedPrecondition, reason: "PRECONDITION"},
}

func TestErr3EverySentinelHasItsStatusAndReason(t *testing.T) {
	for _, c := range sentinelCases {
		for how, err := range map[string]error{
			"bare":          c.err,
			"wrapped":       fmt.Errorf(secret+": %w", c.err),
			"wrapped twice": fmt.Errorf("outer: %w", fmt.Errorf(secret+": %w", c.err)),
			"joined":        errors.Join(errors.New(secret), c.err),
		} {
			t.Run(c.name+"/"+how, func(t *testing.T) {
				s := From(t.Context(), err, "")
				if s.Code() != c.code {
					t.Errorf("code %v, want %v", s.Code(), c.code)
				}
				info := detail[*errdetails.ErrorInfo](t, s)
				if info.GetReason() != c.reason || info.GetDomain() != "leoflow" {
					t.Errorf("ErrorInfo %q of %q, want %q of leoflow", info.GetReason(), info.GetDomain(), c.reason)
				}
				if got := info.GetMetadata()["termination_reason"]; got != c.termination {
					t.Errorf("termination_reason %q, want %q", got, c.termination)
				}
				if has[*errdetails.RetryInfo](s) != c.retry {
					t.Errorf("RetryInfo present: %v, want %v", !c.retry, c.retry)
				}
				if s.Message() == "" {
					t.Error("a refusal without a message")
				}
				wantNoSecret(t, s)
			})
		}
	}
}

func TestErr3TheTableHoldsNothingUntested(t *testing.T) {
	for _, row := range table {
		covered := false
		for _, c := range sentinelCases {
			covered = covered || errors.Is(c.err, row.sentinel)
		}
		if !covered {
			t.Errorf("no case for the sentinel %q", row.sentinel)
		}
	}
}

func TestLimit2OverloadAdvisesWhenToRetry(t *testing.T) {
	retry := detail[*errdetails.RetryInfo](t, From(t.Context(), domain.ErrOverloaded, ""))
	if d := retry.GetRetryDelay().AsDuration(); d <= 0 || d > time.Minute {
		t.Errorf("retry delay %v", d)
	}
}

func TestErr1UnknownErrorsAreInternalWithoutAWord(t *testing.T) {
	for name, err := range map[string]error{
		"plain":                  errors.New(secret),
		"a status of someone's":  status.Error(codes.NotFound, secret),
		"a wrapped status":       fmt.Errorf("%s: %w", secret, status.Error(codes.Unauthenticated, secret)),
		"too large, not at push": xcom.ErrTooLarge,
		"an end of file":         fmt.Errorf("%s: %w", secret, io.EOF),
		"someone's deadline":     fmt.Errorf("%s: %w", secret, context.DeadlineExceeded),
		"someone's cancel":       fmt.Errorf("%s: %w", secret, context.Canceled),
	} {
		t.Run(name, func(t *testing.T) {
			s := From(t.Context(), err, "")
			if s.Code() != codes.Internal || s.Message() != "internal server error" {
				t.Errorf("%v %q, want Internal and the fixed text", s.Code(), s.Message())
			}
			if reason := detail[*errdetails.ErrorInfo](t, s).GetReason(); reason != ReasonInternal {
				t.Errorf("reason %q", reason)
			}
			wantNoSecret(t, s)
		})
	}
}

func TestFromMapsTheEndOfTheCallsOwnContext(t *testing.T) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancelLate := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancelLate()
	for _, c := range []struct {
		name string
		ctx  context.Context //nolint:containedctx // the case is the context
		err  error
		want codes.Code
	}{
		{"cancelled", cancelled, fmt.Errorf("%s: %w", secret, context.Canceled), codes.Canceled},
		{"cancelled in the store", cancelled, fmt.Errorf("%w: %w", domain.ErrUnavailable, context.Canceled), codes.Canceled},
		{"late in the store", late, fmt.Errorf("%w: %w", domain.ErrUnavailable, context.DeadlineExceeded), codes.Unavailable},
		{"not the call's own in the store", t.Context(), fmt.Errorf("%w: %w", domain.ErrUnavailable, context.Canceled), codes.Unavailable},
		{"late", late, fmt.Errorf("%s: %w", secret, context.DeadlineExceeded), codes.DeadlineExceeded},
		{"cancelled, but the error is another", cancelled, errors.New(secret), codes.Internal},
		{"cancelled, but an inner one was late", cancelled, fmt.Errorf("%s: %w", secret, context.DeadlineExceeded), codes.Internal},
		{"late, but the store answered", late, fmt.Errorf("%s: %w", secret, domain.ErrUnavailable), codes.Unavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := From(c.ctx, c.err, "")
			if s.Code() != c.want {
				t.Errorf("code %v, want %v", s.Code(), c.want)
			}
			wantNoSecret(t, s)
		})
	}
}

func TestErr1RequestInfoLeadsToTheLogLine(t *testing.T) {
	for name, err := range map[string]error{
		"sentinel": domain.ErrNotFound,
		"unknown":  errors.New(secret),
		"chosen":   New(codes.PermissionDenied, ReasonRole, "no", nil),
	} {
		t.Run(name, func(t *testing.T) {
			s := From(t.Context(), err, "call-7")
			if id := detail[*errdetails.RequestInfo](t, s).GetRequestId(); id != "call-7" {
				t.Errorf("request id %q", id)
			}
			detail[*errdetails.ErrorInfo](t, s)
			if has[*errdetails.RequestInfo](From(t.Context(), err, "")) {
				t.Error("RequestInfo without a request id")
			}
		})
	}
	if s := From(t.Context(), nil, "call-7"); s != nil {
		t.Errorf("status %v of no error", s)
	}
}

func TestErr1AChosenErrorKeepsItsCausePrivate(t *testing.T) {
	cause := errors.New(secret)
	err := New(codes.PermissionDenied, ReasonChannel, "use TLS", cause)
	s := From(t.Context(), fmt.Errorf("while at it: %w", err), "")
	if s.Code() != codes.PermissionDenied || s.Message() != "use TLS" {
		t.Errorf("%v %q", s.Code(), s.Message())
	}
	if reason := detail[*errdetails.ErrorInfo](t, s).GetReason(); reason != ReasonChannel {
		t.Errorf("reason %q", reason)
	}
	wantNoSecret(t, s)
	if !errors.Is(err, cause) || !strings.Contains(err.Error(), secret) {
		t.Errorf("the log does not learn the cause: %v", err)
	}
	if got := New(codes.Aborted, ReasonTakenOver, "gone", nil).Error(); got != "gone" {
		t.Errorf("text %q without a cause", got)
	}
	if got := status.Code(err); got != codes.PermissionDenied {
		t.Errorf("its gRPC code is %v", got)
	}
}

func TestSecret4AChosenErrorTellsWhyTheAttemptIsNotLive(t *testing.T) {
	err := New(codes.PermissionDenied, ReasonNotLive, "not live", fmt.Errorf("%s: %w", secret, domain.ErrSuperseded))
	info := detail[*errdetails.ErrorInfo](t, From(t.Context(), err, ""))
	if got := info.GetMetadata()["termination_reason"]; got != "superseded" {
		t.Errorf("termination_reason %q, want superseded", got)
	}
}

func TestErr3InvalidNamesTheFields(t *testing.T) {
	err := Invalid(errors.New(secret),
		&errdetails.BadRequest_FieldViolation{Field: "run_id", Description: "too short"},
		&errdetails.BadRequest_FieldViolation{Field: "tasks[0].task_id", Description: "odd"})
	s := From(t.Context(), err, "")
	if s.Code() != codes.InvalidArgument || s.Message() != "invalid request: run_id: too short" {
		t.Errorf("%v %q", s.Code(), s.Message())
	}
	bad := detail[*errdetails.BadRequest](t, s).GetFieldViolations()
	if len(bad) != 2 || bad[0].GetField() != "run_id" || bad[1].GetField() != "tasks[0].task_id" {
		t.Errorf("violations %v", bad)
	}
	if reason := detail[*errdetails.ErrorInfo](t, s).GetReason(); reason != ReasonInvalid {
		t.Errorf("reason %q", reason)
	}
	wantNoSecret(t, s)

	one := From(t.Context(), Field("key", "is odd"), "")
	if v := detail[*errdetails.BadRequest](t, one).GetFieldViolations(); len(v) != 1 || v[0].GetField() != "key" || v[0].GetDescription() != "is odd" {
		t.Errorf("violations %v", v)
	}
	if s := From(t.Context(), Invalid(nil), ""); s.Code() != codes.InvalidArgument || s.Message() != "invalid request" {
		t.Errorf("%v %q without a field", s.Code(), s.Message())
	}
}

func TestErr1OnlyGrpcsOwnTextPassesAsTransport(t *testing.T) {
	if err := Transport(nil); err != nil {
		t.Errorf("%v of no error", err)
	}
	own := status.Error(codes.ResourceExhausted, "grpc: received message larger than max")
	if s := From(t.Context(), Transport(own), ""); s.Code() != codes.ResourceExhausted || s.Message() != "grpc: received message larger than max" {
		t.Errorf("grpc's own error becomes %v", s)
	}
	if err := Transport(own); !errors.Is(err, own) {
		t.Errorf("%v does not unwrap to its cause", err)
	}
	if err := Transport(io.EOF); !errors.Is(err, io.EOF) {
		t.Errorf("the end of a stream becomes %v", err)
	}
	for name, err := range map[string]error{
		"plain":          errors.New(secret),
		"wrapped status": fmt.Errorf("%s: %w", secret, status.Error(codes.Canceled, "x")),
		"wrapped ours":   fmt.Errorf("%s: %w", secret, New(codes.Internal, ReasonInternal, InternalMessage, errors.New(secret))),
	} {
		t.Run(name, func(t *testing.T) {
			s := From(t.Context(), Transport(err), "")
			if s.Code() != codes.Internal {
				t.Errorf("code %v, want Internal", s.Code())
			}
			wantNoSecret(t, s)
		})
	}
	chosen := New(codes.InvalidArgument, ReasonInvalid, "no", nil)
	if err := Transport(chosen); !errors.Is(err, chosen) {
		t.Errorf("a chosen error becomes %v", err)
	}
}

func TestFaultyTellsOurFailuresFromTheCallers(t *testing.T) {
	faulty := map[codes.Code]bool{codes.Internal: true, codes.Unknown: true, codes.DataLoss: true, codes.Unavailable: true}
	for code := codes.OK; code <= codes.Unauthenticated; code++ {
		if Faulty(code) != faulty[code] {
			t.Errorf("Faulty(%v) = %v", code, !faulty[code])
		}
	}
}
