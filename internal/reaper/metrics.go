package reaper

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/neochaotic/leoflow/internal/domain"
)

// Why observations began anew.
const (
	interruptedStore   = "store"
	interruptedHearsay = "hearsay"
	interruptedClock   = "clock"
	interruptedLate    = "late"
	interruptedAlarm   = "alarm"
)

type metrics struct {
	settled       *prometheus.CounterVec // by cause
	interruptions *prometheus.CounterVec // by reason
	alarms        prometheus.Counter
	alarm         prometheus.Gauge
	swept         prometheus.Counter
	reading       prometheus.Histogram
}

func newMetrics(to prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		settled: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "leoflow_reaper_settled_total", Help: "Attempts that the reaper settled, by cause.",
		}, []string{"cause"}),
		interruptions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "leoflow_reaper_interruptions_total", Help: "How often every observation of silence began anew, by reason.",
		}, []string{"reason"}),
		alarms: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "leoflow_reaper_alarms_total", Help: "How often most attempts fell silent at once.",
		}),
		alarm: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "leoflow_reaper_alarm", Help: "1 while nothing is reaped because most attempts are silent.",
		}),
		swept: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "leoflow_xcom_expired_total", Help: "Values deleted after their life.",
		}),
		reading: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "leoflow_reaper_read_seconds", Help: "How long it took to read the live attempts, once a look.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 14), // 1 ms to 8 s
		}),
	}
	for _, cause := range []domain.Cause{domain.CauseLost, domain.CauseLaunchFailed, domain.CauseTimedOut, domain.CauseCancelled} {
		m.settled.WithLabelValues(string(cause)) // shown from the start, as 0
	}
	if to == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.settled, m.interruptions, m.alarms, m.alarm, m.swept, m.reading} {
		if err := to.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}
