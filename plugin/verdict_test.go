package plugin

import (
	"strings"
	"testing"
	"time"

	"audisp-relay/plugin/consumer"
	"audisp-relay/sinks"
)

func TestStateOfAReport(t *testing.T) {
	now := time.Now()
	losing := func(cause string, ago time.Duration) consumer.Report {
		return consumer.Report{Name: "siem", Lost: map[string]consumer.LossReport{cause: {Records: 9, At: now.Add(-ago)}},
			Lost1h: map[string]uint64{cause: 9}}
	}
	for _, x := range []struct {
		name, state string
		r           Report
		why         []string // what the reasons begin with
	}{
		{"nothing amiss", StateOK, Report{Consumers: []consumer.Report{{Name: "siem"}}}, nil},
		{"a loss just now", StateLosing, Report{Consumers: []consumer.Report{losing("queue-full", time.Minute)}},
			[]string{"sinks.siem: 9 records lost in the last hour (queue-full 9)"}},
		{"a loss long ago", StateOK, Report{Consumers: []consumer.Report{losing("queue-full", time.Hour)}}, nil},
		{"the kernel's, once for all", StateLosing,
			Report{Consumers: []consumer.Report{losing("kernel", time.Minute), losing("kernel", time.Minute)}},
			[]string{"input: 9 records lost in the last hour (kernel 9)"}},
		{"a sink without a place", StateDegraded,
			Report{Consumers: []consumer.Report{{Name: "siem", Sink: sinks.Status{Degraded: true, Error: "refused\nand more"}}}},
			[]string{"sinks.siem: degraded since"}},
		{"reading waits", StateDegraded, Report{Consumers: []consumer.Report{{Name: "siem", StalledLately: 3 * time.Second}}},
			[]string{"sinks.siem: reading has waited for it for 3s"}},
		{"a loss is worse than a mistake", StateLosing,
			Report{ConfigError: "line 3: no", Consumers: []consumer.Report{losing("spool", 0)}},
			[]string{"sinks.siem: 9 records lost", "config: line 3: no"}},
	} {
		x.r.Now = now
		x.r.judge()
		if x.r.State != x.state || len(x.r.Why) != len(x.why) {
			t.Errorf("%s: %s, %q, want %s, %q", x.name, x.r.State, x.r.Why, x.state, x.why)
			continue
		}
		for i, want := range x.why {
			if got := x.r.Why[i]; !strings.HasPrefix(got, want) || strings.Contains(got, "\n") {
				t.Errorf("%s: %q, want %q", x.name, got, want)
			}
		}
	}
}
