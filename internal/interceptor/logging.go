package interceptor

import (
	"log/slog"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
)

// finished writes one line for a finished call: method, code, duration, peer and
// request id, never a payload, and of metadata nothing but the request id (AUTH-8).
func (c Chain) finished(p *pass, err error) {
	code := codeOf(err)
	level := levelOf(code)
	call := p.current()
	if call.overRate {
		level = slog.LevelDebug // the log is no way to starve the others; the first of them is told by Rates
	}
	if !c.Logger.Enabled(p, level) {
		return // as is the everyday: nothing is made of a line that nobody keeps
	}
	attrs := []slog.Attr{
		slog.String("protocol", "grpc"),
		slog.String("grpc.component", "server"),
		slog.String("grpc.service", p.method.service),
		slog.String("grpc.method", p.method.name),
		slog.String("grpc.method_type", string(p.method.kind)),
		slog.String("grpc.start_time", p.began.Format(time.RFC3339)),
		slog.String("grpc.code", code.String()),
		slog.String("request_id", call.RequestID()),
	}
	if from, ok := peer.FromContext(p); ok {
		attrs = append(attrs, slog.String("peer.address", from.Addr.String()))
	}
	if deadline, ok := p.Deadline(); ok {
		attrs = append(attrs, slog.String("grpc.request.deadline", deadline.Format(time.RFC3339)))
	}
	if err != nil {
		attrs = append(attrs, slog.String("grpc.error", err.Error()))
	}
	attrs = append(attrs, slog.Float64("grpc.time_ms", float64(p.took())/float64(time.Millisecond)))
	c.Logger.LogAttrs(p, level, "finished call", attrs...)
}

// levelOf keeps the everyday call out of the ordinary log: a thousand agents beat
// every few seconds.
func levelOf(code codes.Code) slog.Level {
	switch code { //nolint:exhaustive // the rest is the everyday
	case codes.Internal, codes.Unknown, codes.DataLoss:
		return slog.LevelError
	case codes.Unavailable, codes.ResourceExhausted:
		return slog.LevelWarn
	case codes.Unauthenticated, codes.PermissionDenied:
		return slog.LevelInfo
	default:
		return slog.LevelDebug
	}
}
