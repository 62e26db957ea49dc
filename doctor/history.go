package doctor

import (
	"slices"
	"time"
)

// History leaves out of repeated reports what has not held for the time that its check asks
// for (Finding.After), so that a moment's trouble raises no alarm. The zero value is ready. One
// goroutine uses it.
type History struct {
	since map[string]time.Time // code and subject of what the last report had
}

// Settle moves the findings of r that are too young to Pending. A finding that a report lacks
// begins again. Time is that of the reports; where the clock was set back, a finding begins
// again, too.
func (h *History) Settle(r *Report) {
	now := make(map[string]time.Time)
	r.Findings = slices.DeleteFunc(r.Findings, func(f Finding) bool {
		key := f.Code + "\x00" + f.Subject
		begin, known := h.since[key]
		if !known || begin.After(r.Time) {
			begin = r.Time
		}
		now[key] = begin
		young := r.Time.Sub(begin) < f.After
		if young {
			r.Pending = append(r.Pending, f)
		}
		return young
	})
	h.since = now
}
