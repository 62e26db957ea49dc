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
		{"a loss at the end of the run before", StateLosing,
			Report{Consumers: []consumer.Report{{Name: "siem", LostLately: map[string]uint64{"shutdown": 7}, Lost1h: map[string]uint64{"shutdown": 7, "spool": 3}}}},
			[]string{"sinks.siem: 7 records lost in the last hour (shutdown 7), before the relay was started last"}},
		{"the kernel's, in the run before", StateLosing,
			Report{Consumers: []consumer.Report{{Name: "siem", LostLately: map[string]uint64{"kernel": 1}, Lost1h: map[string]uint64{"kernel": 1}}}},
			[]string{"input: 1 records lost in the last hour (kernel 1), before"}},
		{"a loss of this run that is over", StateOK,
			Report{Consumers: []consumer.Report{{Name: "siem", Lost: map[string]consumer.LossReport{"spool": {Records: 9, At: now.Add(-6 * time.Minute)}},
				LostLately: map[string]uint64{"spool": 9}, Lost1h: map[string]uint64{"spool": 9}}}}, nil},
		{"the kernel's, once for all", StateLosing,
			Report{Consumers: []consumer.Report{losing("kernel", time.Minute), losing("kernel", time.Minute)}},
			[]string{"input: 9 records lost in the last hour (kernel 9)"}},
		{"a sink without a place", StateDegraded,
			Report{Consumers: []consumer.Report{{Name: "siem", Sink: sinks.Status{Degraded: true, Error: "refused\nand more"}}}},
			[]string{"sinks.siem: degraded since"}},
		{"reading waits", StateDegraded, Report{Consumers: []consumer.Report{{Name: "siem", StalledLately: 3 * time.Second}}},
			[]string{"sinks.siem: reading has waited for it for 3s"}},
		{"nothing is kept", StateDegraded, Report{StateFault: "state_dir /x: permission denied"}, []string{"state_dir: state_dir /x: permission denied"}},
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
