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
	draw := c.newID
	if draw == nil {
		draw = newRequestID
	}
	return step{
		enter: func(p *pass) error {
			p.call.Method, p.call.method, p.call.chosen = p.method.full, p.method, chosenRequestID(p)
			if p.call.chosen == "" {
				p.call.drawn = draw()
			}
			p.named = p.entered
			if p.call.chosen != "" && p.unary {
				p.tellRequestID()
			}
			return nil
		},
		sending: (*pass).tellRequestID,
		leave: func(p *pass, err error) error {
			if err != nil || !p.unary {
				p.tellRequestID()
			}
			return err
		},
	}
}

// tellRequestID puts the id into the header, once. It fails only where the header is out already,
// and then costs the caller nothing but the id. A stream may be sent to while it is left.
func (p *pass) tellRequestID() {
	if !p.told.Swap(true) {
		_ = grpc.SetHeader(p, metadata.MD{requestIDKey: []string{p.call.RequestID()}})
	}
}

// newRequestID is a random UUID. Nothing is kept by its being secret, so that it costs no
// call of the system.
func newRequestID() (id uuid.UUID) {
	binary.NativeEndian.PutUint64(id[:8], rand.Uint64()) //nolint:gosec // as above
	binary.NativeEndian.PutUint64(id[8:], rand.Uint64()) //nolint:gosec // as above
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80      // version 4, of the usual variant
	return id
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
