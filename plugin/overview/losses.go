package overview

import (
	"fmt"
	"maps"
	"slices"

	"audisp-relay/plugin"
	"audisp-relay/queue"
)

// remedies say what to do about each cause of a loss, in few words; docs/messages.md says more.
var remedies = map[string]string{
	queue.Full.String():       "a faster consumer; a larger spool (max_size), or more q_depth and q_bytes",
	queue.SlowClient.String(): "a faster client; a larger spool (max_size), or more q_depth and q_bytes",
	queue.Suspended.String():  "repair the consumer, then send the relay SIGUSR2",
	queue.Shutdown.String():   "repair the sink if it was degraded; give it a spool",
	queue.Spool.String():      "look at the disk; audisp-relay spool NAME says where",
	queue.Refused.String():    "see the sink's error; correct the receiver or the configuration",
	queue.Upstream.String():   "see whether auditd logs; raise q_depth in auditd.conf",
	queue.Kernel.String():     "raise the backlog limit (auditctl -b), or audit less",
	queue.Engine.String():     "sync_interval: always and three replicas; a larger retain_acked",
}

// remedyOf says what to do about a cause.
func remedyOf(cause string) string {
	if text, known := remedies[cause]; known {
		return text
	}
	return "see docs/messages.md"
}

// allSinks is the Sink of a loss that is the same for all.
const allSinks = "all sinks"

// loss is what one cause has cost a sink lately, in records.
type loss struct {
	Sink, Cause string
	Hour, Day   uint64
}

// lossesOf lists what was lost within a day, by sink and cause. What never came to the relay is
// listed once, first.
func lossesOf(r *plugin.Report) []loss {
	shared := make(map[string]loss)
	var list []loss
	for i := range r.Consumers {
		c := &r.Consumers[i]
		for _, cause := range slices.Sorted(maps.Keys(c.Lost24h)) {
			l := loss{Sink: c.Name, Cause: cause, Hour: c.Lost1h[cause], Day: c.Lost24h[cause]}
			switch {
			case l.Day == 0:
			case queue.BeforeRelay(cause):
				l.Sink, l.Hour, l.Day = allSinks, max(l.Hour, shared[cause].Hour), max(l.Day, shared[cause].Day)
				shared[cause] = l
			default:
				list = append(list, l)
			}
		}
	}

	var all []loss
	for _, cause := range slices.Sorted(maps.Keys(shared)) {
		all = append(all, shared[cause])
	}
	return append(all, list...)
}

// LossLines shows what was lost within a day, with remedies, in a table of at most most rows.
func LossLines(r *plugin.Report, width, most int) []string {
	losses := lossesOf(r)
	if len(losses) == 0 {
		return nil
	}
	const head = 12 + 1 + 11 + 1 + 5 + 1 + 5 + 2 // the columns before the remedy
	line := func(sink, cause, hour, day, text string) []string {
		texts := Wrap(text, width-head, 0, 2)
		lines := []string{fmt.Sprintf("%s %s %s %s  %s",
			Fit(sink, 12, false), Fit(cause, 11, false), Fit(hour, 5, true), Fit(day, 5, true), texts[0])}
		for _, more := range texts[1:] {
			lines = append(lines, Fit("", head, false)+more)
		}
		return lines
	}

	lines := line("LOST BY", "CAUSE", "1H", "24H", "WHAT TO DO")
	for n, l := range losses {
		if n == most {
			lines = append(lines, fmt.Sprintf("and %d more: status --json", len(losses)-most))
			break
		}
		lines = append(lines, line(Clean(l.Sink), Clean(l.Cause), Count(l.Hour), Count(l.Day), remedyOf(l.Cause))...)
	}
	return lines
}
