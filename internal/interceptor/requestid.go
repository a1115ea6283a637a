package interceptor

import (
	"context"
	"encoding/binary"
	"math/rand/v2"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// requestIDKey is the metadata that carries a call's id, in and out.
const requestIDKey = "x-request-id"

// maxRequestIDBytes bounds an id that a caller chose.
const maxRequestIDBytes = 128

// requestID gives the call a name, the caller's where it sent a proper one. The header says
// it back to who chose it, on every stream, and with every failure; a call that went well and
// that nobody named is not looked for, and there are very many of them. A stream has a header no
// sooner than it needs one: very many are open, and quiet.
func (c Chain) requestID() step {
	name := c.newID
	if name == nil {
		name = newRequestID
	}
	return step{
		enter: func(ctx context.Context, p *pass) (context.Context, error) {
			id := chosenRequestID(ctx)
			chosen := id != ""
			if !chosen {
				id = name()
			}
			p.call = Call{Method: p.full, RequestID: id, method: p.method}
			if chosen && p.unary {
				p.tellRequestID(ctx)
			}
			return withCall(ctx, &p.call), nil
		},
		sending: func(ctx context.Context, p *pass) { p.tellRequestID(ctx) },
		leave: func(ctx context.Context, p *pass, err error) error {
			if err != nil || !p.unary {
				p.tellRequestID(ctx)
			}
			return err
		},
	}
}

// tellRequestID puts the id into the header, once. It fails only where the header is out already,
// and then costs the caller nothing but the id. A stream may be sent to while it is left.
func (p *pass) tellRequestID(ctx context.Context) {
	if !p.told.Swap(true) {
		_ = grpc.SetHeader(ctx, metadata.MD{requestIDKey: []string{p.call.RequestID}})
	}
}

// newRequestID is a random UUID. Nothing is kept by its being secret, so that it costs no
// call of the system.
func newRequestID() string {
	var id uuid.UUID
	binary.NativeEndian.PutUint64(id[:8], rand.Uint64()) //nolint:gosec // as above
	binary.NativeEndian.PutUint64(id[8:], rand.Uint64()) //nolint:gosec // as above
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80      // version 4, of the usual variant
	return id.String()
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
