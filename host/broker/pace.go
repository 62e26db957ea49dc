package broker

import "time"

// pace lets a worker ask no faster than it may. It belongs to one goroutine at a time.
type pace struct {
	burst, perSecond float64
	left             float64 // requests that need not wait; below 0: those that wait
	at               time.Time
}

func newPace(burst, perSecond float64, now time.Time) pace {
	return pace{burst: burst, perSecond: perSecond, left: burst, at: now}
}

func (p *pace) refill(now time.Time) {
	p.left = min(p.burst, p.left+now.Sub(p.at).Seconds()*p.perSecond)
	p.at = now
}

// next counts a request, and says how long it has to wait.
func (p *pace) next(now time.Time) time.Duration {
	p.refill(now)
	if p.left--; p.left >= 0 {
		return 0
	}
	return time.Duration(-p.left / p.perSecond * float64(time.Second))
}

// may counts a request that does not have to wait, and reports whether it is one.
func (p *pace) may(now time.Time) bool {
	p.refill(now)
	if p.left < 1 {
		return false
	}
	p.left--
	return true
}
