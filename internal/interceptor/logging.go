package interceptor

import (
	"context"
	"log/slog"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/logging"
	"google.golang.org/grpc/codes"
)

// logging writes one line for each finished call: method, code, duration, peer and
// request id, never a payload, and of metadata nothing but the request id (AUTH-8).
func (c Chain) logging() link {
	write := logging.LoggerFunc(func(ctx context.Context, level logging.Level, msg string, fields ...any) {
		if call := CallFrom(ctx); call != nil && call.overRate {
			level = logging.LevelDebug // the log is no way to starve the others; the first of them is told by Rates
		}
		c.Logger.Log(ctx, slog.Level(level), msg, fields...)
	})
	options := []logging.Option{
		logging.WithLogOnEvents(logging.FinishCall),
		logging.WithLevels(levelOf),
		logging.WithFieldsFromContext(func(ctx context.Context) logging.Fields {
			if call := CallFrom(ctx); call != nil {
				return logging.Fields{"request_id", call.RequestID}
			}
			return nil
		}),
	}
	return link{
		logging.UnaryServerInterceptor(write, options...),
		logging.StreamServerInterceptor(write, options...),
	}
}

// levelOf keeps the everyday call out of the ordinary log: a thousand agents beat
// every few seconds.
func levelOf(code codes.Code) logging.Level {
	switch code { //nolint:exhaustive // the rest is the everyday
	case codes.Internal, codes.Unknown, codes.DataLoss:
		return logging.LevelError
	case codes.Unavailable, codes.ResourceExhausted:
		return logging.LevelWarn
	case codes.Unauthenticated, codes.PermissionDenied:
		return logging.LevelInfo
	default:
		return logging.LevelDebug
	}
}
