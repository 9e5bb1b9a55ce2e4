package styx

import "github.com/prometheus/client_golang/prometheus"

// outcome is how a request ended, as a label.
type outcome uint8

const (
	served    outcome = iota // by a DROP
	paged                    // Styx answered itself
	checked                  // health check
	abandoned                // the visitor left before there was an answer
	broken                   // the response broke off
	outcomes
)

var outcomeNames = [outcomes]string{"served", "page", "healthcheck", "abandoned", "broken"}

// statusAbandoned is what the log says of a request whose visitor left before
// the answer; nginx' word for it.
const statusAbandoned = 499

// metrics are the router's figures. No label is ever a host name or anything
// else that visitors or customers choose, so their number is bounded.
type metrics struct {
	requests    *prometheus.CounterVec
	duration    prometheus.Histogram
	retries     *prometheus.CounterVec
	wakes       *prometheus.CounterVec
	pages       *prometheus.CounterVec
	refused     *prometheus.CounterVec
	logDropped  prometheus.Counter
	panics      prometheus.Counter
	inFlight    prometheus.GaugeFunc
	connections prometheus.GaugeFunc
	unhealthy   prometheus.GaugeFunc

	// Resolved once: a look-up by label for each request costs more than
	// counting it.
	byResult    [outcomes][6]prometheus.Counter // status/100
	refusals    prometheus.Counter
	statusRetry prometheus.Counter
}

func newMetrics(s *Server) *metrics {
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "pantheon", Subsystem: "styx", Name: name, Help: help}, labels)
	}
	gauge := func(name, help string, value func() float64) prometheus.GaugeFunc {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "pantheon", Subsystem: "styx", Name: name, Help: help}, value)
	}
	m := &metrics{
		requests: counters("requests_total", "Requests by outcome and class of status.", "outcome", "class"),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "pantheon", Subsystem: "styx", Name: "request_duration_seconds",
			Help:    "Time from a request's head to the end of its response.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120},
		}),
		retries:     counters("retries_total", "Further attempts by what the one before did.", "after"),
		wakes:       counters("wakes_total", "Pings of health checks by result.", "result"),
		pages:       counters("pages_total", "Fixed pages answered by the router itself.", "page"),
		refused:     counters("refused_total", "What was refused for a limit.", "limit"),
		logDropped:  counters("access_log_dropped_total", "Lines of the access log dropped because the disk was too slow.").WithLabelValues(),
		panics:      counters("panics_total", "Panics below the router: bugs.").WithLabelValues(),
		inFlight:    gauge("requests_in_flight", "Requests being answered.", func() float64 { return float64(s.watch.count.Load()) }),
		connections: gauge("connections", "Open connections.", func() float64 { return float64(s.gate.open.Load()) }),
		unhealthy:   gauge("failures_remembered", "DROPs with a remembered failure.", func() float64 { return float64(s.memory.Load().Len()) }),
	}
	for o, name := range outcomeNames {
		for class, label := range [...]string{"none", "1xx", "2xx", "3xx", "4xx", "5xx"} {
			m.byResult[o][class] = m.requests.WithLabelValues(name, label)
		}
	}
	m.refusals = m.retries.WithLabelValues("refusal")
	m.statusRetry = m.retries.WithLabelValues("status")
	return m
}

// Describe and Collect make the figures a prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range m.all() {
		c.Describe(ch)
	}
}

// Collect: see Describe.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	for _, c := range m.all() {
		c.Collect(ch)
	}
}

func (m *metrics) all() []prometheus.Collector {
	return []prometheus.Collector{m.requests, m.duration, m.retries, m.wakes, m.pages, m.refused,
		m.logDropped, m.panics, m.inFlight, m.connections, m.unhealthy}
}

// ended counts one request.
func (m *metrics) ended(o outcome, status int, seconds float64) {
	class := status / 100
	if class > 5 {
		class = 0
	}
	m.byResult[o][class].Inc()
	m.duration.Observe(seconds)
}

// Metrics gives the router's figures for registration.
func (s *Server) Metrics() prometheus.Collector { return s.metrics }
