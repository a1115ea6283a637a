package otherplane

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"
)

// refusal is an error that clients may read.
type refusal struct {
	code    codes.Code
	reason  string
	text    string
	details []protoadapt.MessageV1
}

func (r *refusal) Error() string { return r.text }

func refuse(code codes.Code, reason, format string, args ...any) *refusal {
	return &refusal{code: code, reason: reason, text: fmt.Sprintf(format, args...)}
}

func (r *refusal) with(details ...protoadapt.MessageV1) *refusal {
	r.details = append(r.details, details...)
	return r
}

var errWho = refuse(codes.Unauthenticated, "who-are-you", "Sign in, please.")

// unwell is what is told of a store that fails.
func (s *service) unwell() *refusal {
	if s.plane.choices.WhenDown == codes.Internal {
		return refuse(codes.Internal, "fault", "Something is wrong on this side.")
	}
	return refuse(codes.Unavailable, "come-back", "Not now. Try again soon.").
		with(&errdetails.RetryInfo{RetryDelay: durationpb.New(time.Second)})
}

// told makes the status of an error: what the transport said, what a client may read, or
// that something is wrong.
func (s *service) told(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	r := new(refusal)
	if _, isStatus := status.FromError(err); isStatus {
		return err
	} else if !errors.As(err, &r) {
		switch {
		case errors.Is(ctx.Err(), context.Canceled):
			return status.FromContextError(ctx.Err()).Err()
		case errors.Is(err, errDown), errors.Is(err, context.DeadlineExceeded), errors.Is(err, errKilled):
			r = s.unwell()
		default:
			r = refuse(codes.Internal, "fault", "Something is wrong on this side.")
		}
	}
	details := append([]protoadapt.MessageV1{
		&errdetails.RequestInfo{RequestId: rand.Text(), ServingData: "kept for a week"},
		&errdetails.ErrorInfo{Reason: r.reason, Domain: "other.example", Metadata: map[string]string{"handbook": "chapter 4"}},
	}, r.details...)
	st, attachErr := status.New(r.code, r.text).WithDetails(details...)
	if attachErr != nil {
		return status.Error(codes.Internal, "Something is wrong on this side.")
	}
	return st.Err()
}
