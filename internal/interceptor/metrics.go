package interceptor

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Metrics counts calls and their messages, under the names that gRPC servers in Go go by
// (go-grpc-middleware). It is made by [NewMetrics], and registered as a whole.
//
// It is ours for the sake of speed: what is looked up by its labels for every count there is
// looked up once a method here.
type Metrics struct {
	started, handled, received, sent *prometheus.CounterVec
	seconds                          *prometheus.HistogramVec
}

// NewMetrics returns metrics that are yet to be registered.
func NewMetrics() *Metrics {
	labels := []string{"grpc_type", "grpc_service", "grpc_method"}
	counter := func(name, help string, more ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, append(labels[:3:3], more...))
	}
	return &Metrics{
		started:  counter("grpc_server_started_total", "Total number of RPCs started on the server."),
		handled:  counter("grpc_server_handled_total", "Total number of RPCs completed on the server, regardless of success or failure.", "grpc_code"),
		received: counter("grpc_server_msg_received_total", "Total number of RPC stream messages received on the server."),
		sent:     counter("grpc_server_msg_sent_total", "Total number of gRPC stream messages sent by the server."),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "grpc_server_handling_seconds",
			Help:    "Histogram of response latency (seconds) of gRPC that had been application-level handled by the server.",
			Buckets: prometheus.DefBuckets,
		}, labels),
	}
}

func (m *Metrics) parts() []prometheus.Collector {
	return []prometheus.Collector{m.started, m.handled, m.received, m.sent, m.seconds}
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, part := range m.parts() {
		part.Describe(ch)
	}
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	for _, part := range m.parts() {
		part.Collect(ch)
	}
}

// meters are a method's.
type meters struct {
	started, received, sent, well prometheus.Counter
	seconds                       prometheus.Observer
	handled                       *prometheus.CounterVec // by code
}

func (m *Metrics) of(method *method) *meters {
	labels := prometheus.Labels{"grpc_type": string(method.kind), "grpc_service": method.service, "grpc_method": method.name}
	handled := m.handled.MustCurryWith(labels)
	return &meters{
		started: m.started.With(labels), received: m.received.With(labels), sent: m.sent.With(labels),
		seconds: m.seconds.With(labels), handled: handled, well: handled.WithLabelValues(codes.OK.String()),
	}
}

// ended counts a call that has ended.
func (m *meters) ended(code codes.Code, took time.Duration) {
	if code == codes.OK {
		m.well.Inc()
	} else {
		m.handled.WithLabelValues(code.String()).Inc()
	}
	m.seconds.Observe(took.Seconds())
}

// codeOf is the code that a client sees of an error, as gRPC itself makes it.
func codeOf(err error) codes.Code {
	if err == nil {
		return codes.OK
	}
	if s, ok := status.FromError(err); ok {
		return s.Code()
	}
	return status.FromContextError(err).Code()
}
