package interceptor

import (
	"context"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// requestIDKey is the metadata that carries a call's id, in and out.
const requestIDKey = "x-request-id"

// maxRequestIDBytes bounds an id that a caller chose.
const maxRequestIDBytes = 128

// requestID gives the call a name, the caller's where it sent a proper one, and
// says it back in the header.
func requestID() step {
	return step{enter: func(ctx context.Context, method string) (context.Context, error) {
		markEntered(ctx)
		id := chosenRequestID(ctx)
		if id == "" {
			id = uuid.NewString()
		}
		// It fails only where the header is out already, and then costs the caller
		// nothing but the id.
		_ = grpc.SetHeader(ctx, metadata.Pairs(requestIDKey, id))
		return withCall(ctx, &Call{Method: method, RequestID: id}), nil
	}}
}

// chosenRequestID returns the caller's own id if it can forge nothing in a log.
func chosenRequestID(ctx context.Context) string {
	values := metadata.ValueFromIncomingContext(ctx, requestIDKey)
	if len(values) != 1 || values[0] == "" || len(values[0]) > maxRequestIDBytes {
		return ""
	}
	for _, c := range []byte(values[0]) {
		if c <= ' ' || c > '~' {
			return ""
		}
	}
	return values[0]
}
