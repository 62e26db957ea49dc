package overview

import (
	"strings"
	"time"

	"audisp-relay/plugin/consumer"
)

// column is one of the table of sinks.
type column struct {
	title string
	width int // 0: what is left of the line
	right bool
}

var columns = []column{
	{"SINK", 0, false}, {"STATE", 9, false}, {"IN/S", 5, true}, {"OUT/S", 5, true}, {"QUEUED", 6, true},
	{"OLDEST", 6, true}, {"SPOOLED", 7, true}, {"ACK P99", 7, true}, {"LOST 1H", 7, true}, {"24H", 5, true},
}

// Row is a sink in the table: a text for each column.
type Row [10]string

// RowOf makes the row of a sink from its report, which was made at now.
func RowOf(c *consumer.Report, now time.Time) Row {
	return Row{
		Clean(c.Name), SinkState(c), Rate(c.RateIn), Rate(c.RateOut), Count(c.Queued),
		oldest(c, now), Bytes(c.SpoolSize), acknowledged(c), Count(Sum(c.Lost1h)), Count(Sum(c.Lost24h)),
	}
}

// SinkState returns ok, degraded, stopped or suspended.
func SinkState(c *consumer.Report) string {
	switch {
	case c.Suspended:
		return "suspended"
	case c.Stopped:
		return "stopped"
	case c.Sink.Degraded:
		return "degraded"
	}
	return "ok"
}

// Sum adds what a map has by cause.
func Sum(byCause map[string]uint64) (sum uint64) {
	for _, n := range byCause {
		sum += n
	}
	return sum
}

// oldest shows the age of the oldest record that waits. While that is on disk its time may not be
// known.
func oldest(c *consumer.Report, now time.Time) string {
	switch {
	case c.Queued == 0:
		return "-"
	case c.Oldest.IsZero():
		return "?"
	}
	return Age(now.Sub(c.Oldest))
}

// acknowledged shows in what time 99 of 100 records were delivered lately.
func acknowledged(c *consumer.Report) string {
	if c.Delivery == nil {
		return "-"
	}
	return seconds(c.Delivery.P99)
}

// Header returns the titles of the columns.
func Header(width int) string {
	var titles Row
	for i, c := range columns {
		titles[i] = c.title
	}
	return titles.Line(width)
}

// Line returns the row as a line of width columns.
func (r Row) Line(width int) string {
	rest := width - len(columns) + 1 // a blank between any two
	for _, c := range columns {
		rest -= c.width
	}
	cells := make([]string, len(columns))
	for i, c := range columns {
		if c.width == 0 {
			c.width = max(rest, 8)
		}
		cells[i] = Fit(r[i], c.width, c.right)
	}
	return Fit(strings.Join(cells, " "), width, false)
}
