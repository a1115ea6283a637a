package interceptor

import (
	"context"
	"log/slog"

	"google.golang.org/grpc"

	"github.com/neochaotic/leoflow/internal/rpcstatus"
)

// RecoveryUnary turns a panic of anything further in into INTERNAL, logged with
// method and stack; the server goes on (ERR-2). A nil logger is slog.Default().
func RecoveryUnary(logger *slog.Logger) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (resp any, err error) {
		defer func() {
			if p := recover(); p != nil {
				resp, err = nil, recovered(ctx, logger, info.FullMethod, p)
			}
		}()
		return handler(ctx, req)
	}
}

// RecoveryStream is [RecoveryUnary] for streams.
func RecoveryStream(logger *slog.Logger) grpc.StreamServerInterceptor {
	return func(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
		defer func() {
			if p := recover(); p != nil {
				err = recovered(stream.Context(), logger, info.FullMethod, p)
			}
		}()
		return handler(srv, stream)
	}
}

func recovered(ctx context.Context, logger *slog.Logger, method string, p any) error {
	if logger == nil {
		logger = slog.Default()
	}
	return rpcstatus.From(ctx, logPanic(ctx, logger, method, "", p), "").Err()
}
