package plugin

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"audisp-relay/plugin/consumer"
	"audisp-relay/queue"
)

// What State of a Report can be, from good to bad.
const (
	StateOK       = "ok"
	StateDegraded = "degraded" // something does not work as configured; records wait or were delivered
	StateLosing   = "losing"   // records are being lost
)

// Times that decide on the state.
const (
	losingFor   = 5 * time.Minute // after a loss the state is losing
	stalledLate = time.Second     // of the last ten that the reader waited: degraded
)

// judge sets State and Why.
func (r *Report) judge() {
	r.State, r.Why = StateOK, []string{}
	if lost := r.losing(); len(lost) > 0 {
		r.State, r.Why = StateLosing, lost
	}
	weak := r.weak()
	if r.State == StateOK && len(weak) > 0 {
		r.State = StateDegraded
	}
	r.Why = append(r.Why, weak...)
}

// losing says what was lost a short time ago. What never came here is the same for every consumer.
func (r *Report) losing() (why []string) {
	said := make(map[string]bool)
	for i := range r.Consumers {
		c := &r.Consumers[i]
		own := make(map[string]uint64)
		var last time.Time
		for _, cause := range slices.Sorted(maps.Keys(c.Lost1h)) {
			switch at, lately := r.lostLately(c, cause); {
			case !lately:
			case !queue.BeforeRelay(cause):
				own[cause] = c.Lost1h[cause]
				if at.After(last) {
					last = at
				}
			case !said[cause]:
				said[cause] = true
				why = append(why, lossText("input", map[string]uint64{cause: c.Lost1h[cause]}, at))
			}
		}
		if len(own) > 0 {
			why = append(why, lossText("sinks."+c.Name, own, last))
		}
	}
	return why
}

// lostLately reports whether a cause has cost a consumer records a short time ago, and when at last: zero where that was a run before
// this one, which is known to within five minutes. A run loses at its very end what only the next one can say.
func (r *Report) lostLately(c *consumer.Report, cause string) (at time.Time, lately bool) {
	if l, now := c.Lost[cause]; now {
		return l.At, r.Now.Sub(l.At) <= losingFor
	}
	return time.Time{}, c.LostLately[cause] > 0
}

// lossText is the sentence on the losses of a place within the last hour.
func lossText(place string, byCause map[string]uint64, last time.Time) string {
	var causes []string
	sum := uint64(0)
	for _, cause := range slices.Sorted(maps.Keys(byCause)) {
		sum += byCause[cause]
		causes = append(causes, fmt.Sprintf("%s %d", cause, byCause[cause]))
	}

	when := "the last at " + last.Local().Format(time.DateTime)
	if last.IsZero() {
		when = "before the relay was started last"
	}
	return fmt.Sprintf("%s: %d records lost in the last hour (%s), %s", place, sum, strings.Join(causes, ", "), when)
}

// weak says what does not work as it should.
func (r *Report) weak() (why []string) {
	if r.ConfigError != "" {
		why = append(why, "config: "+firstLine(r.ConfigError))
	}
	if r.LogFault != "" {
		why = append(why, "log: "+firstLine(r.LogFault))
	}
	if r.StateFault != "" {
		why = append(why, "state_dir: "+firstLine(r.StateFault))
	}
	for i := range r.Consumers {
		why = append(why, weakConsumer(&r.Consumers[i])...)
	}
	return why
}

func weakConsumer(c *consumer.Report) (why []string) {
	if c.Suspended {
		why = append(why, fmt.Sprintf("sinks.%s: suspended, SIGUSR2 resumes it", c.Name))
	}
	if c.Stopped {
		why = append(why, fmt.Sprintf("sinks.%s: stopped as network_failure_action asks, SIGUSR2 starts it", c.Name))
	}
	if c.Sink.Degraded {
		why = append(why, fmt.Sprintf("sinks.%s: degraded since %s: %s",
			c.Name, c.Sink.Since.Local().Format(time.DateTime), firstLine(c.Sink.Error)))
	}
	if c.StalledLately > stalledLate {
		why = append(why, fmt.Sprintf("sinks.%s: reading has waited for it for %s of the last ten seconds (qos = lossless)",
			c.Name, c.StalledLately.Round(time.Millisecond)))
	}
	return why
}

// firstLine returns a text up to its first newline.
func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}
