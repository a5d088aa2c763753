package main

import (
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// newMetrics collects what the parts offer as Stats() when it is asked, under tolkyn_<part>_<what>_<unit>. Labels are
// few and bounded; no room and no user is one.
func newMetrics(n *node) *prometheus.Registry {
	registry := prometheus.NewRegistry()
	b := readBuild()
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "tolkyn_build_info",
		Help:        "1, with what this binary is as labels.",
		ConstLabels: prometheus.Labels{"version": b.version, "commit": b.commit, "go": runtime.Version()},
	})
	info.Set(1)
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		info,
		&loadCollector{
			load:    n.load,
			cpu:     describe("tolkyn_load_cpu_cores", "CPU time the process spends a second, average of a few seconds."),
			budget:  describe("tolkyn_load_cpu_budget_cores", "CPU time a second above which joins are refused."),
			packets: describe("tolkyn_load_packets_per_second", "Media packets in and out a second, average of a few seconds."),
			refused: describe("tolkyn_load_refused_joins_total", "Joins refused as BUSY.", "reason"),
		},
	)
	return registry
}

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

// loadCollector shows a load.
type loadCollector struct {
	load                          *load
	cpu, budget, packets, refused *prometheus.Desc
}

// Describe names what Collect will show.
func (c *loadCollector) Describe(out chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, out) }

// Collect reads the load now.
func (c *loadCollector) Collect(out chan<- prometheus.Metric) {
	stats := c.load.shown.Load()
	out <- prometheus.MustNewConstMetric(c.cpu, prometheus.GaugeValue, stats.CPU)
	out <- prometheus.MustNewConstMetric(c.budget, prometheus.GaugeValue, stats.CPUBudget)
	out <- prometheus.MustNewConstMetric(c.packets, prometheus.GaugeValue, stats.Packets)
	for i, reason := range []refusal{refuseCPU, refusePackets, refuseDrain} {
		out <- prometheus.MustNewConstMetric(c.refused, prometheus.CounterValue, float64(c.load.refused[i].Load()), string(reason))
	}
}
