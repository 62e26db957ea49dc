package live

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"audisp-relay/plugin/consumer"
	"audisp-relay/plugin/overview"
)

// row is a sink.
type row = consumer.Report

// order is a column that rows are sorted by: the least first, or the largest first.
type order struct {
	name    string
	largest bool
	less    func(a, b *row) int
}

// orders are those that s goes through.
var orders = []order{
	{"sink", false, func(a, b *row) int { return strings.Compare(a.Name, b.Name) }},
	{"state", true, func(a, b *row) int { return cmp.Compare(badness(a), badness(b)) }},
	{"in", true, func(a, b *row) int { return cmp.Compare(a.RateIn, b.RateIn) }},
	{"out", true, func(a, b *row) int { return cmp.Compare(a.RateOut, b.RateOut) }},
	{"queued", true, func(a, b *row) int { return cmp.Compare(a.Queued, b.Queued) }},
	{"oldest", true, func(a, b *row) int { return since(b).Compare(since(a)) }},
	{"spooled", true, func(a, b *row) int { return cmp.Compare(a.SpoolSize, b.SpoolSize) }},
	{"ack p99", true, func(a, b *row) int { return cmp.Compare(late(a), late(b)) }},
	{"lost 1h", true, func(a, b *row) int { return cmp.Compare(overview.Sum(a.Lost1h), overview.Sum(b.Lost1h)) }},
	{"lost 24h", true, func(a, b *row) int { return cmp.Compare(overview.Sum(a.Lost24h), overview.Sum(b.Lost24h)) }},
}

// badness orders states.
func badness(r *row) int {
	switch {
	case r.Suspended:
		return 2
	case r.Sink.Degraded, r.Stopped:
		return 1
	}
	return 0
}

// since is the time of the oldest record that waits. Where it is not known the record is on
// disk, and older than all in memory; where nothing waits it is later than any.
func since(r *row) time.Time {
	if r.Queued == 0 {
		return time.Unix(1<<50, 0)
	}
	return r.Oldest
}

func late(r *row) float64 {
	if r.Delivery == nil {
		return 0
	}
	return r.Delivery.P99
}

// rows returns the sinks that the filter leaves, sorted.
func (m *model) rows() (rows []*row) {
	if m.report == nil {
		return nil
	}
	for i := range m.report.Consumers {
		if c := &m.report.Consumers[i]; m.keeps(c) {
			rows = append(rows, c)
		}
	}
	o := orders[m.sorted]
	slices.SortStableFunc(rows, func(a, b *row) int {
		n := o.less(a, b)
		if o.largest != m.reversed {
			n = -n
		}
		return cmp.Or(n, strings.Compare(a.Name, b.Name))
	})
	return rows
}

// keeps says whether the filter leaves a sink.
func (m *model) keeps(r *row) bool {
	want := strings.ToLower(m.filter)
	for _, text := range []string{r.Name, r.Type, overview.SinkState(r)} {
		if strings.Contains(strings.ToLower(text), want) {
			return true
		}
	}
	return false
}
