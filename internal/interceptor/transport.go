package interceptor

import (
	"context"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Refusals counts calls that never reach the chain: the transport itself refuses an
// undecodable or oversized message and an unknown method. It sees them where services are
// registered, rather than by a handler of statistics, for which gRPC copies the metadata
// of every call; so it does not count what gRPC answers before it looks for a handler, as
// it does a message in an encoding that it does not know (grpc-encoding).
type Refusals struct {
	counted *prometheus.CounterVec
}

// NewRefusals registers its counter with r.
func NewRefusals(r prometheus.Registerer) (*Refusals, error) {
	t := &Refusals{counted: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "leoflow_transport_refused_total",
		Help: "Calls that the transport refused before any interceptor saw them, by status code; but for those in an encoding unknown to it.",
	}, []string{"grpc_code"})}
	return t, r.Register(t.counted)
}

func (t *Refusals) count(code codes.Code) { t.counted.WithLabelValues(code.String()).Inc() }

// ServerOption has the server count calls of unknown methods.
func (t *Refusals) ServerOption() grpc.ServerOption {
	return grpc.UnknownServiceHandler(func(any, grpc.ServerStream) error {
		t.count(codes.Unimplemented)
		return status.Error(codes.Unimplemented, "unknown service or method")
	})
}

// Of returns where services are to be registered in place of r, so that refused messages
// of their unary methods are counted. On a stream the chain learns of them.
func (t *Refusals) Of(r grpc.ServiceRegistrar) grpc.ServiceRegistrar {
	return watchedRegistrar{r, t}
}

type watchedRegistrar struct {
	grpc.ServiceRegistrar
	refusals *Refusals
}

// RegisterService implements grpc.ServiceRegistrar.
func (w watchedRegistrar) RegisterService(desc *grpc.ServiceDesc, implementation any) {
	watched := *desc
	watched.Methods = slices.Clone(desc.Methods)
	for i := range watched.Methods {
		watched.Methods[i].Handler = w.refusals.watch(watched.Methods[i].Handler)
	}
	w.ServiceRegistrar.RegisterService(&watched, implementation)
}

func (t *Refusals) watch(handler grpc.MethodHandler) grpc.MethodHandler {
	return func(service any, ctx context.Context, receive func(any) error, through grpc.UnaryServerInterceptor) (any, error) {
		return handler(service, ctx, func(message any) error {
			err := receive(message)
			if err != nil {
				t.count(status.Code(err))
			}
			return err
		}, through)
	}
}
