package yggdrasil

import (
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"pantheon/gateways/yggdrasil/wire"
)

// The types and codes that have a label of their own.
var (
	countedTypes = [...]struct {
		rrtype uint16
		name   string
	}{
		{0, "other"}, {wire.TypeA, "A"}, {wire.TypeAAAA, "AAAA"}, {wire.TypeNS, "NS"}, {wire.TypeCNAME, "CNAME"},
		{wire.TypeSOA, "SOA"}, {wire.TypePTR, "PTR"}, {wire.TypeMX, "MX"}, {wire.TypeTXT, "TXT"}, {wire.TypeSRV, "SRV"},
		{wire.TypeDS, "DS"}, {wire.TypeDNSKEY, "DNSKEY"}, {wire.TypeNSEC, "NSEC"}, {wire.TypeHTTPS, "HTTPS"},
		{wire.TypeSVCB, "SVCB"}, {wire.TypeCAA, "CAA"}, {wire.TypeANY, "ANY"}, {wire.TypeAXFR, "AXFR"}, {wire.TypeIXFR, "IXFR"},
	}
	countedCodes = [...]wire.Rcode{
		wire.NoError, wire.FormErr, wire.ServFail, wire.NXDomain, wire.NotImp, wire.Refused, wire.YXDomain, wire.NotAuth,
		wire.BadVers, wire.BadCookie,
	}
)

// noZone and otherZones are the zone labels of what belongs to none, and of the
// zones beyond maxZonesCounted.
const (
	noZone     = "none"
	otherZones = "other"
)

// byTypeAndCode are the answers of one zone.
type byTypeAndCode [len(countedTypes)][len(countedCodes)]atomic.Uint64

// counts are the figures of one worker, so that workers do not share cache
// lines. Those who answer over TCP share one.
type counts struct {
	zones atomic.Pointer[map[string]*byTypeAndCode] // copied when a zone is new
	grow  sync.Mutex

	queries, silent, truncated, dropped, slipped, lost atomic.Uint64
}

func newCounts() *counts {
	c := &counts{}
	c.zones.Store(&map[string]*byTypeAndCode{noZone: {}, otherZones: {}})
	return c
}

// of gives the counters of a zone by its apex in wire form.
func (c *counts) of(apex []byte) *byTypeAndCode {
	if found := (*c.zones.Load())[string(apex)]; found != nil {
		return found
	}
	c.grow.Lock()
	defer c.grow.Unlock()
	old := *c.zones.Load()
	if found := old[string(apex)]; found != nil {
		return found
	}
	if len(old) >= maxZonesCounted {
		return old[otherZones]
	}
	fresh := make(map[string]*byTypeAndCode, len(old)+1)
	for name, counters := range old {
		fresh[name] = counters
	}
	counters := &byTypeAndCode{}
	fresh[string(apex)] = counters
	c.zones.Store(&fresh)
	return counters
}

func typeIndex(rrtype uint16) int {
	for i := 1; i < len(countedTypes); i++ {
		if countedTypes[i].rrtype == rrtype {
			return i
		}
	}
	return 0
}

func codeIndex(rcode wire.Rcode) int {
	for i, code := range countedCodes {
		if code == rcode {
			return i
		}
	}
	return 2 // SERVFAIL: every other one would be our bug
}

// count counts one answered query.
func (r *responder) count() {
	c := r.counts
	c.queries.Add(1)
	if r.header.TC {
		c.truncated.Add(1)
	}
	var counters *byTypeAndCode
	if r.zone == nil {
		counters = (*c.zones.Load())[noZone]
	} else {
		counters = c.of(r.zone.Apex())
	}
	counters[typeIndex(r.query.Type)][codeIndex(r.header.Rcode)].Add(1)
}

// metrics are the server's figures. Zones are the only label that somebody
// chooses, and their number is bounded.
type metrics struct {
	server      *Server
	answers     *prometheus.Desc
	transfers   *prometheus.CounterVec
	notifies    *prometheus.CounterVec
	refused     *prometheus.CounterVec
	logDropped  prometheus.Counter
	panics      prometheus.Counter
	connections prometheus.Gauge
	packets     *prometheus.Desc
}

func newMetrics(s *Server) *metrics {
	const namespace, subsystem = "pantheon", "yggdrasil"
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help}, labels)
	}
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(prometheus.BuildFQName(namespace, subsystem, name), help, labels, nil)
	}
	return &metrics{
		server:    s,
		answers:   desc("answers_total", "Answers by zone, type asked for, and response code.", "zone", "type", "rcode"),
		packets:   desc("packets_total", "Queries by what became of them.", "transport", "result"),
		transfers: counters("transfers_total", "Zone transfers by kind and result.", "kind", "result"),
		notifies:  counters("notifies_total", "Secondaries told of a new serial, by result.", "result"),
		refused:   counters("connections_refused_total", "TCP connections closed for a limit.", "limit"),
		logDropped: counters("query_log_dropped_total",
			"Lines of the query log dropped because the disk was too slow.").WithLabelValues(),
		panics: counters("panics_total", "Panics while answering: bugs.").WithLabelValues(),
		connections: prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Subsystem: subsystem,
			Name: "connections", Help: "Open TCP connections."}),
	}
}

// Describe and Collect make the figures a prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	ch <- m.answers
	ch <- m.packets
	for _, c := range m.own() {
		c.Describe(ch)
	}
}

func (m *metrics) own() []prometheus.Collector {
	return []prometheus.Collector{m.transfers, m.notifies, m.refused, m.logDropped, m.panics, m.connections}
}

// Collect adds the workers' figures up.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	type key struct {
		zone         string
		rrtype, code int
	}
	sums := make(map[key]uint64)
	for _, c := range m.server.workers() {
		for apex, counters := range *c.zones.Load() {
			for t := range counters {
				for code := range counters[t] {
					if n := counters[t][code].Load(); n > 0 {
						sums[key{apex, t, code}] += n
					}
				}
			}
		}
	}
	for k, n := range sums {
		name := k.zone
		if name != noZone && name != otherZones {
			name = string(wire.AppendName(nil, []byte(name)))
		}
		ch <- prometheus.MustNewConstMetric(m.answers, prometheus.CounterValue, float64(n), name, countedTypes[k.rrtype].name, countedCodes[k.code].String())
	}
	m.collectPackets(ch)
	for _, c := range m.own() {
		c.Collect(ch)
	}
}

func (m *metrics) collectPackets(ch chan<- prometheus.Metric) {
	for i, transport := range [...]string{"udp", "tcp"} {
		results := [...]string{"answered", "silent", "truncated", "rate_dropped", "rate_truncated", "lost"}
		var sums [len(results)]uint64
		for j, c := range m.server.workers() {
			if isTCP := j == 0; isTCP != (i == 1) {
				continue
			}
			for k, counter := range [...]*atomic.Uint64{&c.queries, &c.silent, &c.truncated, &c.dropped, &c.slipped, &c.lost} {
				sums[k] += counter.Load()
			}
		}
		for k, result := range results {
			ch <- prometheus.MustNewConstMetric(m.packets, prometheus.CounterValue, float64(sums[k]), transport, result)
		}
	}
}

// Metrics gives the server's figures for registration.
func (s *Server) Metrics() prometheus.Collector { return s.metrics }
