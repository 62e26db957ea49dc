package plugin

import (
	"time"

	"golang.org/x/sys/unix"

	"audisp-relay/plugin/recent"
)

// inputFlow is what had come in by a moment.
type inputFlow struct{ records, events uint64 }

// sample takes note of what has come in and been delivered, for the rates of later reports.
func (p *Plugin) sample(now time.Time) {
	p.mu.Lock()
	p.classes.sweep(now)
	p.flow.Note(now, inputFlow{p.input.Records, p.classes.total()})
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
	if p.auditd != nil {
		p.auditd.report(&r.Input)
	}
	if was, took, known := p.flow.Ago(r.Now); known {
		r.Input.Rate = recent.Rate(r.Input.Records, was.records, took)
		r.Input.Events = recent.Rate(p.classes.total(), was.events, took)
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
