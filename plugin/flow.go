package plugin

import (
	"time"

	"golang.org/x/sys/unix"

	"audisp-relay/plugin/recent"
)

// Spans of time that rates are of, and how often what they need is noted.
const (
	rateSpan, rateStep         = 10 * time.Second, time.Second
	longRateSpan, longRateStep = 5 * time.Minute, 10 * time.Second
)

// flows are what had come in by recent moments. The Plugin's mu guards them.
type flows struct {
	short *recent.Window[inputFlow]
	long  *recent.Window[uint64] // records
}

// inputFlow is what had come in by a moment.
type inputFlow struct{ records, events uint64 }

// newFlows returns flows of a Plugin that starts now: what comes before the first tick counts, too.
func newFlows(now time.Time) flows {
	f := flows{recent.NewWindow[inputFlow](rateSpan, rateStep), recent.NewWindow[uint64](longRateSpan, longRateStep)}
	f.note(now, inputFlow{})
	return f
}

// note counts what has come in.
func (f *flows) note(now time.Time, flow inputFlow) {
	f.short.Note(now, flow)
	f.long.Note(now, flow.records)
}

// sample keeps what has come in and been delivered, for the rates of later reports.
func (p *Plugin) sample(now time.Time) {
	p.mu.Lock()
	p.classes.sweep(now)
	p.flows.note(now, inputFlow{p.input.Records, p.classes.total()})
	p.mu.Unlock()
	for _, c := range p.consumers() {
		c.Sample(now)
	}
}

// reportFlow adds to r how much comes in. p.mu is held.
func (p *Plugin) reportFlow(r *Report) {
	r.Input.Classes = p.classes.byName()
	r.Input.Buffer, r.Input.Waiting = p.buffer.Load(), p.waiting()
	if p.kernel != nil {
		r.Input.Kernel = p.kernel.now.Load()
	}
	if was, took, known := p.flows.short.Ago(r.Now); known {
		r.Input.Rate = recent.Rate(r.Input.Records, was.records, took)
		r.Input.Events = recent.Rate(p.classes.total(), was.events, took)
	}
	if was, took, known := p.flows.long.Ago(r.Now); known {
		r.Input.LongRate = recent.Rate(r.Input.Records, was, took)
	}
	if p.auditd != nil {
		p.auditd.report(&r.Input) // by the long rate
	}
}

// waiting returns how many bytes auditd has sent that are not read yet, -1 where that is not known.
func (p *Plugin) waiting() int64 {
	if p.opt.In != nil {
		return -1
	}
	n, err := unix.IoctlGetInt(0, unix.SIOCINQ)
	if err != nil {
		return -1
	}
	return int64(n)
}
