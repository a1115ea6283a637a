// Package rpcstatus is the one place where errors become gRPC statuses.
//
// Whatever is not named here reaches a client as INTERNAL without a word of its
// cause (ERR-1). It may import internal/domain, internal/auth, internal/xcom, gen
// and grpc.
package rpcstatus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/neochaotic/leoflow/internal/auth"
	"github.com/neochaotic/leoflow/internal/domain"
	"github.com/neochaotic/leoflow/internal/xcom"
)

// ErrorDomain is the domain of every google.rpc.ErrorInfo that we send (ERR-3).
const ErrorDomain = "leoflow"

// InternalMessage is all that a client learns of an internal error.
const InternalMessage = "internal server error"

// Reasons are stable: clients may switch on them.
const (
	ReasonUnauthenticated = "UNAUTHENTICATED"
	ReasonInvalid         = "INVALID_REQUEST"
	ReasonRole            = "ROLE_TOO_LOW"
	ReasonChannel         = "CHANNEL_NOT_CONFIDENTIAL"
	ReasonNotConfigured   = "NOT_CONFIGURED"
	ReasonUndeclared      = "NOT_DECLARED"
	ReasonNotFound        = "NOT_FOUND"
	ReasonConflict        = "CONFLICT"
	ReasonPrecondition    = "PRECONDITION"
	ReasonOtherCaller     = "LAUNCHED_BY_ANOTHER"
	ReasonNotLive         = "ATTEMPT_NOT_LIVE"
	ReasonTakenOver       = "TAKEN_OVER"
	ReasonOverloaded      = "OVERLOADED"
	ReasonRate            = "RATE_EXCEEDED"
	ReasonQuota           = "QUOTA_EXCEEDED"
	ReasonUnavailable     = "UNAVAILABLE"
	ReasonShuttingDown    = "SHUTTING_DOWN"
	ReasonInternal        = "INTERNAL"
)

// retryAfter is what a refusal for load advises.
const retryAfter = time.Second

// Error is a failure whose public part was chosen on purpose, beside a private
// cause that is only logged.
type Error struct {
	public *status.Status
	cause  error
}

// New returns a failure that clients see as code, message and reason. cause is
// private; it may be nil.
func New(code codes.Code, reason, message string, cause error) *Error {
	return &Error{public: describe(code, reason, message, termination(cause)), cause: cause}
}

// Invalid returns INVALID_ARGUMENT that names the fields at fault (ERR-3).
func Invalid(cause error, violations ...*errdetails.BadRequest_FieldViolation) *Error {
	message := "invalid request"
	if len(violations) > 0 {
		message = "invalid request: " + violations[0].GetField() + ": " + violations[0].GetDescription()
	}
	return &Error{
		public: describe(codes.InvalidArgument, ReasonInvalid, message, nil,
			&errdetails.BadRequest{FieldViolations: violations}),
		cause: cause,
	}
}

// Field returns INVALID_ARGUMENT for one field.
func Field(field, description string) *Error {
	return Invalid(nil, &errdetails.BadRequest_FieldViolation{Field: field, Description: description})
}

// OverRate returns the refusal of a call that its caller may make again after a while,
// which it is told (LIMIT-2).
func OverRate(after time.Duration) *Error {
	after = max(after.Round(time.Millisecond), time.Millisecond)
	return &Error{public: describe(codes.ResourceExhausted, ReasonRate,
		fmt.Sprintf("this attempt, or its tenant, makes more calls than it may: try again in %v", after), nil,
		&errdetails.RetryInfo{RetryDelay: durationpb.New(after)})}
}

// Transport marks an error of a gRPC stream as grpc's own text, which holds
// nothing of ours and may go out as it is. What is no bare status, io.EOF among
// it, is not grpc's text and is returned as it came.
func Transport(err error) error {
	own, ok := err.(interface{ GRPCStatus() *status.Status }) // wrapped, the text would not be grpc's alone
	if _, ours := err.(*Error); ours || !ok {                 //nolint:errorlint // as above
		return err
	}
	return &Error{public: own.GRPCStatus(), cause: err}
}

// Error returns the public text and the private cause, for the log.
func (e *Error) Error() string {
	if e.cause == nil {
		return e.public.Message()
	}
	return e.public.Message() + ": " + e.cause.Error()
}

// Unwrap returns the private cause.
func (e *Error) Unwrap() error { return e.cause }

// GRPCStatus returns the public part.
func (e *Error) GRPCStatus() *status.Status { return e.public }

// public pairs a sentinel with what a client sees of it.
type public struct {
	sentinel error
	code     codes.Code
	reason   string
	message  string
}

// table maps the sentinels. The first that matches counts.
var table = []public{
	{auth.ErrRefused, codes.Unauthenticated, ReasonUnauthenticated, "unauthenticated"},
	{domain.ErrNoTenant, codes.Internal, ReasonInternal, InternalMessage},
	{domain.ErrUnavailable, codes.Unavailable, ReasonUnavailable, "temporarily unavailable; try again"},
	{domain.ErrOverloaded, codes.ResourceExhausted, ReasonOverloaded, "too much at once; try again later"},
	{
		domain.ErrQuota, codes.ResourceExhausted, ReasonQuota,
		fmt.Sprintf("all variables of a tenant may take %d MiB together, and so may its connections: "+
			"delete what no task needs, or store large values elsewhere", domain.MaxSecretsBytes>>20),
	},
	{domain.ErrNotLive, codes.FailedPrecondition, ReasonNotLive, "the attempt is not live"},
	{domain.ErrAborted, codes.Aborted, ReasonTakenOver, "taken over by a newer call"},
	{domain.ErrUndeclared, codes.PermissionDenied, ReasonUndeclared, "the task does not declare it"},
	{domain.ErrNotFound, codes.NotFound, ReasonNotFound, "not found"},
	{xcom.ErrNotFound, codes.NotFound, ReasonNotFound, "not found"},
	{domain.ErrConflict, codes.AlreadyExists, ReasonConflict, "already exists with other content"},
	{
		domain.ErrOtherCaller, codes.FailedPrecondition, ReasonOtherCaller,
		"idempotency_key is not the one that this try was launched with, so another caller runs it: " +
			"watch the run for its end, or launch the next try with supersede",
	},
	{domain.ErrPrecondition, codes.FailedPrecondition, ReasonPrecondition, "not possible in the present state"},
}

// From returns the status that a client sees of err; nil for nil. requestID, where
// there is one, goes out as google.rpc.RequestInfo so that a report of a failure
// leads to its log line (ERR-1).
func From(ctx context.Context, err error, requestID string) *status.Status {
	if err == nil {
		return nil
	}
	s := find(ctx, err)
	if requestID == "" {
		return s
	}
	return withDetails(s, &errdetails.RequestInfo{RequestId: requestID})
}

func find(ctx context.Context, err error) *status.Status {
	var chosen *Error
	if errors.As(err, &chosen) {
		return chosen.public
	}
	// Only the call's own context ends a call as cancelled or late; the same error
	// of some inner context is a fault of ours.
	cause := ctx.Err()
	over := cause != nil && errors.Is(err, cause)
	for _, p := range table {
		switch {
		case !errors.Is(err, p.sentinel):
		// Who hung up left the store, which is there; of one that was late it may well not be.
		case over && p.code == codes.Unavailable && errors.Is(cause, context.Canceled):
			return status.FromContextError(cause)
		default:
			return fromSentinel(p, err)
		}
	}
	if over {
		return status.FromContextError(cause)
	}
	return describe(codes.Internal, ReasonInternal, InternalMessage, nil)
}

func fromSentinel(p public, err error) *status.Status {
	metadata := termination(err)
	if errors.Is(p.sentinel, domain.ErrOverloaded) { // a quota is not cured by waiting
		return describe(p.code, p.reason, p.message, metadata,
			&errdetails.RetryInfo{RetryDelay: durationpb.New(retryAfter)})
	}
	return describe(p.code, p.reason, p.message, metadata)
}

// termination says why an attempt is not live, where err says so (BEAT-3).
func termination(err error) map[string]string {
	if reason, ok := domain.TerminationOf(err); ok {
		return map[string]string{"termination_reason": string(reason)}
	}
	return nil
}

func describe(code codes.Code, reason, message string, metadata map[string]string, more ...protoadapt.MessageV1) *status.Status {
	info := &errdetails.ErrorInfo{Reason: reason, Domain: ErrorDomain, Metadata: metadata}
	return withDetails(status.New(code, message), append([]protoadapt.MessageV1{info}, more...)...)
}

// withDetails adds details. Packing our own messages cannot fail; if it ever does,
// the bare status is still right.
func withDetails(s *status.Status, details ...protoadapt.MessageV1) *status.Status {
	if detailed, err := s.WithDetails(details...); err == nil {
		return detailed
	}
	return s
}

// Faulty reports whether code means that we failed, rather than the caller: such
// an error is logged with its cause.
func Faulty(code codes.Code) bool {
	switch code { //nolint:exhaustive // every other code is the caller's
	case codes.Internal, codes.Unknown, codes.DataLoss, codes.Unavailable:
		return true
	default:
		return false
	}
}
