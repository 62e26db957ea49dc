package main

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// row is one figure of the table.
type row struct {
	What   string  `json:"what"` // what is measured
	Who    string  `json:"who"`  // the program or chain
	Value  float64 `json:"value"`
	Unit   string  `json:"unit"`
	Goal   string  `json:"goal,omitempty"`   // as the design has it
	Met    *bool   `json:"met,omitempty"`    // only with a goal
	Detail string  `json:"detail,omitempty"` // what else was seen
}

// goal sets what the design asks for, and whether it holds.
func (r row) goal(text string, met bool) row {
	r.Goal, r.Met = text, &met
	return r
}

func (r row) verdict() string {
	switch {
	case r.Met == nil:
		return ""
	case *r.Met:
		return "ok"
	}
	return "MISS"
}

func printTable(w io.Writer, rows []row) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "what\tof\tvalue\tunit\tgoal\t\tdetail")
	last := ""
	for _, r := range rows {
		what := r.What
		if what == last {
			what = ""
		}
		last = r.What
		value := ""
		if r.Unit != "" {
			value = fmt.Sprintf("%.4g", r.Value)
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", what, r.Who, value, r.Unit, r.Goal, r.verdict(), r.Detail)
	}
	tw.Flush()
}

func mib(bytes int64) float64 { return float64(bytes) / (1 << 20) }
