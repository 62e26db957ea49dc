package top

import (
	"cmp"
	"math"
	"slices"
	"time"

	"audisp-relay/topk"
)

// Report says what makes the volume. It is the answer to "top" on the control socket.
type Report struct {
	Now time.Time `json:"now"`
	// Start is what came since the relay was started, or all of stored streams, from the time of
	// their oldest record to that of their newest.
	Start Total `json:"start"`
	// Minute is what came in the last minute, in parts of ten seconds; nil of stored streams.
	Minute *Total `json:"minute,omitempty"`
	// By has the names, by the words of By, those first that make most of the last minute, or of
	// all where nothing came in it.
	By map[string][]Row `json:"by"`
	// Remedies are ways to have less of what makes most, in the order of By.
	Remedies []Remedy `json:"remedies"`
	// Samples is how many events were picked, whole or in part, Dropped how many records the picks
	// stood for that were left out because there was no room for them.
	Samples uint64 `json:"samples"`
	Dropped uint64 `json:"records_dropped"`
	// RulesLocked says whether the kernel takes no rules until the next boot (-e 2); nil: not known.
	RulesLocked *bool `json:"rules_locked,omitempty"`
}

// Volume is how much something is, estimated.
type Volume struct {
	Records float64 `json:"records"`
	Events  float64 `json:"events"`
	Bytes   float64 `json:"bytes"`
}

// Total is all that came in a time.
type Total struct {
	Volume
	Since     time.Time `json:"since"`
	Seconds   float64   `json:"seconds"`
	PerSecond Volume    `json:"per_second"`
	Own       float64   `json:"own_share"` // of the records: what the relay or a child of it did
}

// Row is a name and what it makes.
type Row struct {
	Name   string  `json:"name"`           // empty for what has none
	Cut    bool    `json:"cut,omitempty"`  // the name is longer
	None   bool    `json:"none,omitempty"` // has no key, no program and so on
	Start  Part    `json:"start"`
	Minute *Part   `json:"minute,omitempty"`
	id     uint64  // of a topk.Item
	rank   float64 // records, of the time that rows are ordered by
}

// Part is what a name makes of all in a time.
type Part struct {
	Volume
	PerSecond Volume `json:"per_second"`
	// Share is the part of all records. Where an event has several keys it counts for each. The
	// true one is within Share - Margin and Share + Margin + Over: Margin, for 95 of 100 answers,
	// comes from picking, Over, for all, from names that were given up for others.
	Share  float64 `json:"share"`
	Margin float64 `json:"margin"`
	Over   float64 `json:"over"`
	// Messages is the part of its records that a program has sent itself, Own of those that the
	// relay or a child of it made.
	Messages float64 `json:"messages"`
	Own      float64 `json:"own"`
}

// maxRows is how many names of each kind a Report has.
const maxRows = 100

// report makes a Report of what was counted until now.
func (c *counter) report(now time.Time, dropped uint64) *Report {
	c.turn(now)
	r := &Report{Now: now, Samples: c.samples, Dropped: dropped, By: make(map[string][]Row), Remedies: []Remedy{}}
	whole := []*span{c.whole}
	r.Start = totalOf(whole, now)
	if len(c.recent) > 0 {
		minute := totalOf(c.recent, now)
		r.Minute = &minute
	}

	for by, name := range By {
		rows := make(map[uint64]*Row)
		for id, p := range c.parts(whole, by, rows, r.Start) {
			rows[id].Start, rows[id].rank = p, p.Records
		}
		if r.Minute != nil {
			for id, p := range c.parts(c.recent, by, rows, *r.Minute) {
				rows[id].Minute = &p
			}
		}
		r.By[name] = r.ordered(rows)
	}
	r.remedy()
	return r
}

// totalOf adds spans up. Every sample has one program, so the sums of these are those of all.
func totalOf(spans []*span, now time.Time) Total {
	var sum topk.Weights
	for _, s := range spans {
		sum = sum.Plus(s.by[byExe].Sum())
	}
	t := Total{Volume: volumeOf(sum), Since: spans[len(spans)-1].began}
	t.Seconds = max(now.Sub(t.Since).Seconds(), 0)
	t.PerSecond = t.Volume.per(t.Seconds)
	t.Own = ratio(sum[own], sum[records])
	return t
}

// parts returns what each name makes of spans, by its id, and adds the names that are new to rows.
func (c *counter) parts(spans []*span, by int, rows map[uint64]*Row, all Total) map[uint64]Part {
	var sketches []*topk.Sketch
	spread := 0.0
	for _, s := range spans {
		sketches = append(sketches, s.by[by])
		spread += s.spread
	}

	parts := make(map[uint64]Part)
	for _, it := range topk.Items(sketches...) {
		if rows[it.ID] == nil {
			rows[it.ID] = &Row{Name: it.Name[1:], Cut: it.Cut, None: it.Name[0] == absent, id: it.ID}
		}
		p := Part{Volume: volumeOf(it.Counted), Share: ratio(it.Counted[records], all.Records), Over: ratio(it.Over[records], all.Records)}
		p.PerSecond = p.Volume.per(all.Seconds)
		p.Messages, p.Own = ratio(it.Counted[messages], it.Counted[records]), ratio(it.Counted[own], it.Counted[records])
		p.Margin = margin(p.Share, spread, all.Records)
		parts[it.ID] = p
	}
	return parts
}

// margin is how far a share may be off because records were picked: 1.96 standard deviations. For
// a share that is about 0 or 1 the normal distribution is no guide; there it is that of as many picks
// as none of which may be of another kind.
func margin(share, spread, all float64) float64 {
	if spread == 0 || all == 0 {
		return 0
	}
	picks := all * all / spread
	return min(max(1.96*math.Sqrt(max(share*(1-share), 0)/picks), 3/picks), 1)
}

// ordered returns rows, those first that make most.
func (r *Report) ordered(rows map[uint64]*Row) []Row {
	list := make([]Row, 0, len(rows))
	for _, row := range rows {
		if row.Minute != nil {
			row.rank = row.Minute.Records
		} else if r.hasMinute() {
			row.rank = 0
		}
		list = append(list, *row)
	}
	slices.SortFunc(list, func(a, b Row) int {
		return cmp.Or(cmp.Compare(b.rank, a.rank), cmp.Compare(b.Start.Records, a.Start.Records), cmp.Compare(a.Name, b.Name), cmp.Compare(a.id, b.id))
	})
	return list[:min(len(list), maxRows)]
}

// hasMinute reports whether anything came in the last minute.
func (r *Report) hasMinute() bool { return r.Minute != nil && r.Minute.Records > 0 }

// Latest returns what a row makes now: of the last minute or, where nothing came in that, of all.
func (r *Report) Latest(row Row) Part {
	switch {
	case !r.hasMinute():
		return row.Start
	case row.Minute == nil:
		return Part{}
	}
	return *row.Minute
}

func volumeOf(w topk.Weights) Volume {
	return Volume{Records: w[records], Events: w[events], Bytes: w[size]}
}

// per returns how much it is a second.
func (v Volume) per(seconds float64) Volume {
	return Volume{ratio(v.Records, seconds), ratio(v.Events, seconds), ratio(v.Bytes, seconds)}
}

func ratio(part, of float64) float64 {
	if of <= 0 {
		return 0
	}
	return part / of
}
