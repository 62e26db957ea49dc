package test

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"audisp-relay/host"
	"audisp-relay/test/lab"
)

// TestLiveMetrics: with the real auditd the metrics have what the kernel says, the buffer that was
// widened, an event for each that is in the log, and a delivery time for each record delivered.
func TestLiveMetrics(t *testing.T) {
	l := startLive(t, fileOnly, lab.Options{}, "string")
	l.Drain(l.path("out"))
	before := l.relay().metrics()
	load := l.StartLoad(lab.Load{Rate: 500, Duration: span(time.Second, 10*time.Second)}).Wait()
	l.Drain(l.path("out"))
	logged := l.logHas(load).Events

	r := l.relay()
	var now map[string]float64
	grown := func(series string) float64 { return now[series] - before[series] }
	const events = `audisp_relay_events_received_total{type_class="other"}`
	eventually(t, "the count of events", func() error { // one whose end is lost counts later
		if now = r.metrics(); grown(events) < float64(logged) {
			return fmt.Errorf("%v events are counted, %d are in the log", grown(events), logged)
		}
		return nil
	})
	if grown(`audisp_relay_delivery_seconds_sum{sink="file"}`) <= 0 {
		t.Error("delivery took no time")
	}
	r.bracketMetrics()
	if limit := now["audisp_relay_input_buffer_limit_bytes"]; limit < 1<<20 {
		t.Errorf("the socket from auditd holds %v bytes: it was not widened", limit)
	}
	eventually(t, "what the kernel says", func() error {
		status, err := lab.ReadStatus()
		if err != nil {
			return err
		}
		got, there := l.relay().metrics()["audisp_relay_kernel_lost"]
		if !there || got != float64(status.Lost) {
			return fmt.Errorf("kernel_lost is %v (there: %v), the kernel says %d", got, there, status.Lost)
		}
		return nil
	})
}

// TestLiveAuditdFiles: with the real auditd the metrics have how long its log lasts, and its queue as its
// own state report has it. Both are looked at soon after the start.
func TestLiveAuditdFiles(t *testing.T) {
	l := startLive(t, fileOnly, lab.Options{MaxLogFile: 64}, "string")
	signal(t, l.PID(), syscall.SIGCONT)
	l.StartLoad(lab.Load{Rate: 100, Duration: 6 * time.Second}).Wait()
	var now map[string]float64
	until(t, "the log's retention", func() bool {
		now = l.relay().metrics()
		return now["audisp_relay_log_retention_seconds"] > 0
	})

	const room = 5 * 64 << 20
	if reach := now["audisp_relay_log_retention_seconds"]; reach > room/100 || reach < 60 {
		t.Errorf("%d bytes of log last %v s at more than 100 records/s", room, reach)
	}
	state, err := host.Machine{}.ReadState()
	if err != nil {
		t.Fatal(err)
	}
	limit, there := now["audisp_relay_auditd_queue_limit"]
	if there != (state.Depth > 0) || limit != float64(state.Depth) { // 2.x says nothing of its queue
		t.Errorf("auditd's queue holds %v (there: %v), its report has %d", limit, there, state.Depth)
	}
}
