package interceptor

import (
	"context"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
)

// TransportStats counts the calls that never reach the chain: the transport itself
// refuses an undecodable or oversized message and an unknown method.
type TransportStats struct {
	refused *prometheus.CounterVec
}

// NewTransportStats registers its counter with r.
func NewTransportStats(r prometheus.Registerer) (*TransportStats, error) {
	t := &TransportStats{refused: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "leoflow_transport_refused_total",
		Help: "Calls that the transport refused before any interceptor saw them, by status code.",
	}, []string{"grpc_code"})}
	return t, r.Register(t.refused)
}

type enteredKey struct{}

// markEntered notes that a call reached the chain.
func markEntered(ctx context.Context) {
	if entered, ok := ctx.Value(enteredKey{}).(*atomic.Bool); ok {
		entered.Store(true)
	}
}

// TagRPC implements stats.Handler.
func (t *TransportStats) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context {
	return context.WithValue(ctx, enteredKey{}, new(atomic.Bool))
}

// HandleRPC implements stats.Handler.
func (t *TransportStats) HandleRPC(ctx context.Context, s stats.RPCStats) {
	end, ok := s.(*stats.End)
	if !ok || end.Error == nil {
		return
	}
	if entered, ok := ctx.Value(enteredKey{}).(*atomic.Bool); ok && !entered.Load() {
		t.refused.WithLabelValues(status.Code(end.Error).String()).Inc()
	}
}

// TagConn implements stats.Handler.
func (t *TransportStats) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context {
	return ctx
}

// HandleConn implements stats.Handler.
func (t *TransportStats) HandleConn(context.Context, stats.ConnStats) {}
