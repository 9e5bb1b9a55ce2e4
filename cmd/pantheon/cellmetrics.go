package main

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pantheon/projections/inventory"
	"pantheon/runtime/mesh"
)

// replicasTimeout bounds the question who holds the log, in a scrape.
const replicasTimeout = 2 * time.Second

// cellMetrics are those of a cell as this machine sees it; none on a platform that
// is alone. None has a label with a name of a host.
func (p *platform) cellMetrics(gauge func(name, help string, value func() float64) prometheus.Collector) []prometheus.Collector {
	if p.cell == nil {
		return nil
	}
	peers := func(count func(mesh.Health) float64) func() float64 {
		return func() (sum float64) {
			for _, peer := range p.cell.mesh.Peers() {
				sum += count(peer)
			}
			return sum
		}
	}
	return []prometheus.Collector{
		hostStates{p, prometheus.NewDesc("pantheon_hosts", "Machines of the cell by state.", []string{"state"}, nil)},
		gauge("lease_held", "1 while this machine has its lease.", func() float64 { _, held := p.cell.keeper.Held(); return boolNumber(held) }),
		gauge("leads", "1 on the control machine that runs the policies.", func() float64 { return boolNumber(p.control() && p.leads()) }),
		gauge("log_replicas", "Machines that shall hold the log; -1 where that cannot be asked now.", func() float64 { all, _ := p.replicas(); return all }),
		gauge("log_replicas_current", "Those of them that are there and have all of it; -1 where that cannot be asked now.", func() float64 { _, current := p.replicas(); return current }),
		gauge("mesh_peers", "Machines that this one has reached or tried to.", peers(func(mesh.Health) float64 { return 1 })),
		gauge("mesh_peers_connected", "Those of them that it is connected to.", peers(func(h mesh.Health) float64 { return boolNumber(h.Connected) })),
		gauge("mesh_streams", "Requests and tunnels to other machines and from them.", peers(func(h mesh.Health) float64 { return float64(h.Streams) })),
	}
}

func boolNumber(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

func (p *platform) replicas() (all, current float64) {
	ctx, cancel := context.WithTimeout(context.Background(), replicasTimeout)
	defer cancel()
	facts, err := p.cellFacts(ctx)
	if err != nil {
		return -1, -1
	}
	for _, replica := range facts.Replicas {
		current += boolNumber(replica.Current)
	}
	return float64(len(facts.Replicas)), current
}

// hostStates counts machines.
type hostStates struct {
	*platform
	states *prometheus.Desc
}

func (h hostStates) Describe(out chan<- *prometheus.Desc) { out <- h.states }

func (h hostStates) Collect(out chan<- prometheus.Metric) {
	counts := map[string]int{"ready": 0, "draining": 0, "lost": 0}
	for _, host := range h.inventory.Snapshot().Hosts() {
		switch {
		case host.Status == inventory.Lost:
			counts["lost"]++
		case host.Draining:
			counts["draining"]++
		default:
			counts["ready"]++
		}
	}
	for state, count := range counts {
		out <- prometheus.MustNewConstMetric(h.states, prometheus.GaugeValue, float64(count), state)
	}
}
