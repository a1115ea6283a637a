package interceptor

import (
	"context"

	"google.golang.org/grpc"

	"github.com/neochaotic/leoflow/internal/rpcstatus"
)

// step is one concern of the chain. Each function may be nil.
type step struct {
	// enter runs before what is further in, and may refuse the call.
	enter func(ctx context.Context, method string) (context.Context, error)
	// message runs for each message from the client, and may refuse it.
	message func(ctx context.Context, message any) error
	// leave runs after, with the result of what is further in or of enter. It turns
	// a panic further in (panicked is then not nil) into an error as well.
	leave func(ctx context.Context, err error, panicked any) error
}

// unary makes an interceptor of the step.
func (s step) unary() grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (resp any, err error) {
		if s.enter != nil {
			if ctx, err = s.enter(ctx, info.FullMethod); err != nil {
				return nil, err
			}
		}
		if s.leave != nil {
			defer func() {
				if err = s.leave(ctx, err, recover()); err != nil {
					resp = nil
				}
			}()
		}
		if s.message != nil {
			if err := s.message(ctx, req); err != nil {
				return nil, err
			}
		}
		return handler(ctx, req)
	}
}

// stream makes an interceptor of the step for streams.
func (s step) stream() grpc.StreamServerInterceptor {
	return func(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
		ctx := stream.Context()
		if s.enter != nil {
			if ctx, err = s.enter(ctx, info.FullMethod); err != nil {
				return err
			}
		}
		if s.leave != nil {
			defer func() { err = s.leave(ctx, err, recover()) }()
		}
		return handler(srv, &steppedStream{ServerStream: stream, ctx: ctx, message: s.message})
	}
}

// steppedStream carries a step's context, and looks at each message received.
type steppedStream struct {
	grpc.ServerStream
	ctx     context.Context //nolint:containedctx // a stream is the carrier of its context
	message func(ctx context.Context, message any) error
}

func (s *steppedStream) Context() context.Context { return s.ctx }

func (s *steppedStream) RecvMsg(m any) error {
	if err := s.ServerStream.RecvMsg(m); err != nil {
		// The generated code of a server stream returns it as it is.
		return rpcstatus.Transport(err)
	}
	if s.message == nil {
		return nil
	}
	return s.message(s.ctx, m)
}
