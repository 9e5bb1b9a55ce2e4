package api

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	requests  *prometheus.HistogramVec
	followers prometheus.Gauge
	failures  prometheus.Counter
}

func newMetrics(registerer prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "pantheon_api_request_seconds",
			Help:    "Time from a request's header to the end of its answer, by route and status.",
			Buckets: []float64{.001, .005, .01, .05, .1, .5, 1, 5, 30},
		}, []string{"route", "status"}),
		followers: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "pantheon_api_event_followers",
			Help: "Event streams open now.",
		}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "pantheon_api_login_failures_total",
			Help: "Machine tokens and sessions that were not valid.",
		}),
	}
	if registerer == nil {
		return m, nil
	}
	for _, collector := range []prometheus.Collector{m.requests, m.followers, m.failures} {
		if err := registerer.Register(collector); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) observe(route string, status int, took time.Duration) {
	m.requests.WithLabelValues(route, strconv.Itoa(status)).Observe(took.Seconds())
}
