package unix

import "time"

// Connections that are accepted at once, and one for each paceTime after that. A storm of
// them then costs a few percent of a core, and one who comes in the midst of it waits for as long
// as what is in front of him in the backlog takes.
const (
	paceBurst = 100
	paceTime  = time.Millisecond
)

// pace says how long to wait before the next connection. It belongs to one goroutine.
type pace struct {
	free float64 // connections that may come at once
	last time.Time
}

// next counts a connection at the time now and returns how long to wait before another.
func (p *pace) next(now time.Time) time.Duration {
	if p.last.IsZero() {
		p.free = paceBurst
	} else if d := now.Sub(p.last); d > 0 {
		p.free = min(paceBurst, p.free+float64(d)/float64(paceTime))
	}
	p.last = now
	p.free--
	if p.free >= 1 {
		return 0
	}
	return time.Duration((1 - p.free) * float64(paceTime))
}
