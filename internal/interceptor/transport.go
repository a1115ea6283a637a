package interceptor

import (
	"context"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
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

type progressKey struct{}

// progress is how far a call came.
type progress struct {
	begun   atomic.Bool // grpc knows the method
	entered atomic.Bool // it reached the chain
}

// markEntered notes that a call reached the chain.
func markEntered(ctx context.Context) {
	if p, ok := ctx.Value(progressKey{}).(*progress); ok {
		p.entered.Store(true)
	}
}

// TagRPC implements stats.Handler.
func (t *TransportStats) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context {
	return context.WithValue(ctx, progressKey{}, new(progress))
}

// HandleRPC implements stats.Handler.
func (t *TransportStats) HandleRPC(ctx context.Context, s stats.RPCStats) {
	p, ok := ctx.Value(progressKey{}).(*progress)
	if !ok {
		return
	}
	switch s := s.(type) {
	case *stats.Begin:
		p.begun.Store(true)
	case *stats.OutTrailer:
		// A call of an unknown method is answered without ever beginning or ending.
		if !p.begun.Load() {
			t.refused.WithLabelValues(codes.Unimplemented.String()).Inc()
		}
	case *stats.End:
		if s.Error != nil && !p.entered.Load() {
			t.refused.WithLabelValues(status.Code(s.Error).String()).Inc()
		}
	}
}

// TagConn implements stats.Handler.
func (t *TransportStats) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context {
	return ctx
}

// HandleConn implements stats.Handler.
func (t *TransportStats) HandleConn(context.Context, stats.ConnStats) {}
