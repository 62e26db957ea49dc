package fleet

import (
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// maxNamed is how many hosts with findings metrics name: labels without bound would fill the
// server that keeps them.
const maxNamed = 1000

// maxRequests is how many requests are answered at a time; others get 503.
const maxRequests = 4

// Metrics gives the last Summary, and hosts with findings, in the format of Prometheus. It is safe
// for use by several goroutines.
type Metrics struct {
	http.Handler
	sinks, lost, named, findings     *prometheus.Desc
	hosts, unlisted, streams, unsaid *prometheus.Desc
	at, took, failed                 *prometheus.Desc

	mu     sync.Mutex // guards all below
	last   *Summary
	list   []namedHost
	next   []namedHost
	left   int // findings that are not in list
	errors int // looks that failed
}

// namedHost is a label set of a host with a finding.
type namedHost struct{ host, name, sink, state string }

// NewMetrics returns metrics without a Summary yet.
func NewMetrics() *Metrics {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("audisp_fleet_"+name, help, labels, nil)
	}
	m := &Metrics{
		sinks:    desc("sinks", "Sinks of hosts, by their worst state.", "state"),
		hosts:    desc("hosts", "Hosts that have spoken."),
		unlisted: desc("hosts_unlisted", "Hosts that have spoken and are not in the inventory."),
		findings: desc("findings", "Sinks and streams with a finding."),
		named:    desc("finding", "A sink with a finding; always 1. At most 1000 are named.", "host", "name", "sink", "state"),
		unsaid:   desc("findings_unnamed", "Sinks with a finding beyond those that are named."),
		streams:  desc("stream_findings", "Findings of a stream.", "stream"),
		lost:     desc("records_lost", "Records that hosts say are lost, by cause.", "cause"),
		at:       desc("last_look_timestamp_seconds", "When the streams were read last, by the engine's clock."),
		took:     desc("last_look_seconds", "How long that took."),
		failed:   desc("looks_failed_total", "How often reading the streams has failed."),
	}

	registry := prometheus.NewRegistry()
	registry.MustRegister(m, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.Handler = promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: maxRequests})
	return m
}

// Add notes a host of the look that is under way.
func (m *Metrics) Add(h Host) {
	if !h.State.IsFinding() {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.next) < maxNamed {
		m.next = append(m.next, namedHost{h.Host, h.Name, h.Sink, h.State.String()})
	}
}

// Finish ends a look; sum is nil where it failed.
func (m *Metrics) Finish(sum *Summary) {
	m.mu.Lock()
	defer m.mu.Unlock()
	next := m.next
	m.next = nil
	if sum == nil {
		m.errors++
		return
	}
	m.last, m.list = sum, next
	m.left = sum.Findings - len(m.list)
	for _, n := range sum.Streams {
		if n.Finding {
			m.left--
		}
	}
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.sinks, m.hosts, m.unlisted, m.findings, m.named, m.unsaid, m.streams, m.lost, m.at, m.took, m.failed} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	ch <- prometheus.MustNewConstMetric(m.failed, prometheus.CounterValue, float64(m.errors))
	if m.last == nil {
		return
	}

	for state := range numStates {
		gauge(m.sinks, float64(m.last.States[state.String()]), state.String())
	}
	gauge(m.hosts, float64(m.last.Hosts))
	gauge(m.unlisted, float64(m.last.Unlisted))
	gauge(m.findings, float64(m.last.Findings))
	gauge(m.unsaid, float64(max(m.left, 0)))
	gauge(m.at, float64(m.last.Time.UnixMilli())/1000)
	gauge(m.took, m.last.Took.Seconds())
	for _, n := range m.list {
		gauge(m.named, 1, n.host, n.name, n.sink, n.state)
	}
	for _, cause := range slices.Sorted(maps.Keys(m.last.lost)) {
		gauge(m.lost, float64(m.last.lost[cause]), cause)
	}
	notes := make(map[string]int)
	for _, n := range m.last.Streams {
		if n.Finding {
			notes[n.Stream]++
		}
	}
	for stream, count := range notes {
		gauge(m.streams, float64(count), stream)
	}
}

// Serve answers requests at addr until stop is called, which waits for its goroutine. An address
// that cannot be listened at is an error.
func (m *Metrics) Serve(addr string) (stop func(), err error) {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("--listen %s: %w", addr, err)
	}
	mux := http.NewServeMux()
	mux.Handle("/metrics", m)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 30 * time.Second, MaxHeaderBytes: 16 << 10}
	done := make(chan struct{})
	go func() {
		defer close(done)
		server.Serve(listener) // until Close
	}()
	return func() { server.Close(); <-done }, nil
}
