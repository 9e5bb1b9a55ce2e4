package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"pantheon/runtime/drop"
)

// metricsTimeout bounds one scrape and its connection.
const metricsTimeout = 10 * time.Second

// registerMetrics adds what no gateway measures: the log, the views behind it,
// the actors, and the DROPs of this machine. None has a label with a name of a
// site: their number is bounded.
func (p *platform) registerMetrics() error {
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "pantheon", Name: name, Help: help}, value)
	}
	all := []prometheus.Collector{
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		gauge("log_position", "Last position of the log.", func() float64 {
			head, err := p.log.Head(context.Background())
			if err != nil {
				return -1
			}
			return float64(head)
		}),
		gauge("inventory_position", "Position that the inventory view has reached.", func() float64 { return float64(p.inventory.Position()) }),
		gauge("routing_position", "Position that the routing view has reached.", func() float64 { return float64(p.routing.Position()) }),
		gauge("drops_awake", "DROPs of this machine whose php-fpm runs.", func() float64 { return float64(p.machine.agent.Count(drop.Awake)) }),
		gauge("drops", "DROPs of this machine.", func() float64 { return float64(p.machine.agent.Total()) }),
		gauge("facts_dropped", "Facts of this machine that a full queue has dropped.", func() float64 { return float64(p.machine.agent.FactsDropped()) }),
	}
	var failed []error
	for _, collector := range slices.Concat(all, p.commandMetrics(gauge), p.cellMetrics(gauge)) {
		failed = append(failed, p.metrics.Register(collector))
	}
	return errors.Join(failed...)
}

// commandMetrics are those of the actors where they are, else those of the way to
// them.
func (p *platform) commandMetrics(gauge func(name, help string, value func() float64) prometheus.Collector) []prometheus.Collector {
	if p.remote != nil {
		return []prometheus.Collector{
			gauge("remote_commands", "Commands at control machines that are not answered yet.", func() float64 { return float64(p.remote.Statistics().UnderWay) }),
			gauge("remote_refused", "Commands answered Busy here since the start, before they went to a control machine.", func() float64 { return float64(p.remote.Statistics().Refused) }),
			gauge("remote_retried", "Attempts at a control machine since the start that gave no answer or none that lasts.", func() float64 { return float64(p.remote.Statistics().Retried) }),
		}
	}
	return []prometheus.Collector{
		gauge("actors_resident", "Actors in memory.", func() float64 { return float64(p.system.Statistics().Resident) }),
		gauge("actors_commands", "Commands that are not answered yet.", func() float64 { return float64(p.system.Statistics().UnderWay) }),
		gauge("actors_refused", "Commands answered Busy since the start.", func() float64 { return float64(p.system.Statistics().Refused) }),
		gauge("received_commands", "Commands of other machines that are not answered yet.", func() float64 { underWay, _ := p.reception.Statistics(); return float64(underWay) }),
		gauge("received_refused", "Commands of other machines answered Busy since the start.", func() float64 { _, refused := p.reception.Statistics(); return float64(refused) }),
	}
}

// serveMetrics answers /metrics in Prometheus' text form until ctx ends.
func (p *platform) serveMetrics(ctx context.Context, listener net.Listener) error {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(p.metrics, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: metricsTimeout}))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: metricsTimeout, ReadTimeout: metricsTimeout, WriteTimeout: 2 * metricsTimeout, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
