package metrics

import (
	"cmp"
	"fmt"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"audisp-relay/plugin"
	"audisp-relay/plugin/consumer"
	"audisp-relay/queue"
	"audisp-relay/sinks"
)

const namespace = "audisp_relay_"

// collector reads one report for each collection, so that its numbers belong to one moment.
type collector struct {
	report func() *plugin.Report
	descs  []*prometheus.Desc

	buildInfo, reload, stateDir, ownCertificate            *prometheus.Desc
	received, events, recovered, upstream                  *prometheus.Desc
	stalled, inputBytes, inputLimit                        *prometheus.Desc
	kernelLost, kernelBacklog                              *prometheus.Desc
	logReach, auditdDepth, auditdMax, auditdLimit          *prometheus.Desc
	sinkRecords, lost, up, reconnects, certificate         *prometheus.Desc
	rollbacks, checkpoint                                  *prometheus.Desc
	queued, queuedBytes, depth, spoolBytes, spoolMax, late *prometheus.Desc
	delivery                                               *prometheus.Desc
}

func newCollector(report func() *plugin.Report) *collector {
	c := &collector{report: report}
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		d := prometheus.NewDesc(namespace+name, help, labels, nil)
		c.descs = append(c.descs, d)
		return d
	}
	c.buildInfo = desc("build_info", "Which relay runs; always 1.", "version", "go", "fips")
	c.reload = desc("config_last_reload_successful", "Whether the configuration file, when it was read last, had no error.")

	c.stateDir = desc("state_dir_usable", "Whether positions and spools can be kept in state_dir.")
	c.ownCertificate = desc("metrics_tls_not_after_timestamp_seconds", "When the certificate with which metrics are read over TLS expires; absent without one.")

	c.received = desc("records_received_total", "Records that auditd has sent.")
	c.events = desc("events_received_total", "Events that auditd has sent, by what they are.", "type_class")
	c.recovered = desc("records_recovered_total", "Records that auditd's stream lacked, given from audit.log.")
	c.upstream = desc("upstream_lost_total", "What never came to the relay, over all runs with this state_dir: records that the kernel has lost, events that auditd's stream and its log lack.", "cause")
	c.stalled = desc("input_stalled_seconds_total", "How long reading has waited for lossless sinks.")
	c.inputBytes = desc("input_buffer_bytes", "What auditd has sent and the relay has not read yet, in bytes of text.")
	c.inputLimit = desc("input_buffer_limit_bytes", "What the socket from auditd holds, as the kernel counts it: several times the text.")
	c.kernelLost = desc("kernel_lost", "The kernel's own count of lost records, which auditctl can reset.")
	c.kernelBacklog = desc("kernel_backlog", "Records that wait in the kernel for auditd.")
	c.logReach = desc("log_retention_seconds", "How long all files of audit.log last at the rate of the last five minutes; absent where auditd overwrites none, or nothing comes.")
	c.auditdDepth = desc("auditd_queue_depth", "Records that waited in auditd for its plugins, by its last state report; absent where that is older than five minutes.")
	c.auditdMax = desc("auditd_queue_max", "The most that waited there since auditd was started, by the same report.")
	c.auditdLimit = desc("auditd_queue_limit", "What may wait there, q_depth of auditd.conf, by the same report.")

	c.sinkRecords = desc("sink_records_total", "Records that came for a sink, by what became of them; those in the queue are none of these yet.", "sink", "outcome")
	c.lost = desc("records_lost_total", "Records that came for a sink and were lost, by cause; those of cause shutdown over all runs with this state_dir.", "sink", "cause")
	c.up = desc("sink_up", "Whether the sink works: neither degraded nor suspended.", "sink")
	c.rollbacks = desc("engine_rollbacks_total", "Times that the engine of the sink lacked what it had acknowledged.", "sink")
	c.checkpoint = desc("last_checkpoint_timestamp_seconds", "The time of the last checkpoint of the sink; absent where it gets none.", "sink")
	c.reconnects = desc("sink_reconnects_total", "Connections that the sink has made, but for its first.", "sink")
	c.certificate = desc("tls_not_after_timestamp_seconds", "When the first certificate of the sink's TLS connection expires, the server's or its own.", "sink")
	c.queued = desc("queue_records", "Records that wait for the sink, in memory and in the spool.", "sink")
	c.queuedBytes = desc("queue_bytes", "Their text.", "sink")
	c.depth = desc("queue_limit_records", "Records that the queue holds in memory at most.", "sink")
	c.spoolBytes = desc("spool_bytes", "Size of the spool's files.", "sink")
	c.spoolMax = desc("spool_limit_bytes", "Size that they may have, 0 for no spool.", "sink")
	c.late = desc("oldest_undelivered_timestamp_seconds", "The time of the oldest record that waits for the sink; absent while none does, or the time is not known of one on disk.", "sink")
	c.delivery = desc("delivery_seconds", "From a record's own time to the sink's acknowledgement.", "sink")
	return c
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		ch <- d
	}
}

// Collect implements prometheus.Collector. A panic is the error of this collection: the registry would
// make it one too, but with the stack, which is not for whoever reads metrics.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	defer func() {
		if fault := recover(); fault != nil {
			ch <- prometheus.NewInvalidMetric(c.buildInfo, fmt.Errorf("panic: %v", fault))
		}
	}()
	r := c.report()
	if r == nil {
		panic("no report: see the relay's log")
	}
	s := series{ch}
	s.gauge(c.buildInfo, 1, r.Version, runtime.Version(), cmp.Or(r.FIPS, "off"))
	s.gauge(c.reload, number(r.ConfigError == ""))
	s.gauge(c.stateDir, number(r.StateFault == ""))
	s.time(c.ownCertificate, r.MetricsCert)
	c.collectInput(s, r)
	for i := range r.Consumers {
		c.collectConsumer(s, &r.Consumers[i])
	}
}

func (c *collector) collectInput(s series, r *plugin.Report) {
	s.counter(c.received, float64(r.Input.Records))
	for class, n := range r.Input.Classes {
		s.counter(c.events, float64(n), class)
	}

	s.counter(c.recovered, float64(r.Recovery.Recovered))
	s.counter(c.upstream, float64(r.Input.Totals["lost upstream"]), "auditd")
	if n, asked := r.Input.Totals["lost kernel"]; asked {
		s.counter(c.upstream, float64(n), "kernel")
	}
	s.counter(c.stalled, r.Input.Stalled.Seconds())

	if r.Input.Waiting >= 0 { // stdin is auditd's
		s.gauge(c.inputLimit, float64(r.Input.Buffer))
		s.gauge(c.inputBytes, float64(r.Input.Waiting))
	}
	if k := r.Input.Kernel; k != nil {
		s.gauge(c.kernelLost, float64(k.Lost))
		s.gauge(c.kernelBacklog, float64(k.Backlog))
	}
	if r.Input.LogReach > 0 {
		s.gauge(c.logReach, r.Input.LogReach)
	}
	if q := r.Input.AuditdQueue; q != nil {
		s.gauge(c.auditdDepth, float64(q.Depth))
		s.gauge(c.auditdMax, float64(q.MaxDepth))
		s.gauge(c.auditdLimit, float64(q.Limit))
	}
}

func (c *collector) collectConsumer(s series, r *consumer.Report) {
	s.counter(c.sinkRecords, float64(r.Delivered), r.Name, "delivered")
	s.counter(c.sinkRecords, float64(r.Filtered), r.Name, "filtered")
	s.counter(c.sinkRecords, float64(r.Discarded), r.Name, "discarded")
	s.counter(c.sinkRecords, float64(r.LostTotal), r.Name, "lost")
	for cause := range queue.Upstream { // all of them: an increase shows only where there was a 0
		n := r.Lost[cause.String()].Records
		if cause == queue.Shutdown { // of the runs before: no one can read the numbers of a run that has ended
			n = r.Ledger["lost "+cause.String()]
		}
		s.counter(c.lost, float64(n), r.Name, cause.String())
	}
	s.gauge(c.up, number(!r.Sink.Degraded && !r.Suspended && !r.Stopped), r.Name)
	if server, ok := r.Sink.Details.(sinks.Connection); ok {
		s.counter(c.reconnects, float64(server.Reconnects()), r.Name)
		s.time(c.certificate, server.CertificateEnd(), r.Name)
	}
	if engine, ok := r.Sink.Details.(sinks.Rollbacks); ok {
		s.counter(c.rollbacks, float64(engine.EngineRollbacks()), r.Name)
		s.counter(c.lost, float64(r.Lost[queue.Engine.String()].Records), r.Name, queue.Engine.String())
	}

	s.gauge(c.queued, float64(r.Queued), r.Name)
	s.gauge(c.queuedBytes, float64(r.Bytes), r.Name)
	s.gauge(c.depth, float64(r.Depth), r.Name)
	s.gauge(c.spoolBytes, float64(r.SpoolSize), r.Name)
	s.gauge(c.spoolMax, float64(r.SpoolMax), r.Name)
	s.time(c.late, r.Oldest, r.Name)
	s.time(c.checkpoint, r.Checkpoint, r.Name)
	s.histogram(c.delivery, r.Delivery, r.Name)
}

// series sends metrics to a registry.
type series struct{ ch chan<- prometheus.Metric }

func (s series) counter(d *prometheus.Desc, v float64, labels ...string) {
	s.ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
}

func (s series) gauge(d *prometheus.Desc, v float64, labels ...string) {
	s.ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

// time sends a time, nothing if it is zero.
func (s series) time(d *prometheus.Desc, at time.Time, labels ...string) {
	if !at.IsZero() {
		s.gauge(d, float64(at.UnixMilli())/1000, labels...)
	}
}

func (s series) histogram(d *prometheus.Desc, r *consumer.DeliveryReport, labels ...string) {
	buckets := make(map[float64]uint64, len(r.Buckets))
	for _, b := range r.Buckets {
		buckets[b.LE] = b.Count
	}
	s.ch <- prometheus.MustNewConstHistogram(d, r.Count, r.Sum, buckets, labels...)
}

// number returns 1 for true.
func number(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
