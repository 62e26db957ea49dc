// Package human writes audit events for people: when, what, with which result, who, on
// what. It is no format of a sink: what a consumer gets has every byte of the records,
// and a line for people must leave out most. No record is left out, though: what
// is not known is shown with its type and its fields.
//
// Nothing that a record holds reaches the output but characters one sees: file names,
// arguments and messages are chosen by attackers.
package human

import (
	"strconv"
	"time"

	"audisp-relay/audit/record"
	"audisp-relay/audit/users"
)

// Options say how events are shown.
type Options struct {
	Colour bool
	// Width is how many columns there are: an event then takes as many lines as it needs,
	// and what is longer than a line is cut with the rest counted. With 0 each event is a line.
	Width int
	Zone  *time.Location
	// Now says when "today" is, whose events are shown without a date where there is a Width.
	Now func() time.Time
	// Users gives names to ids in records that carry none (log_format RAW); it may be nil.
	// Local is the node= of this host's records, see users.Local.
	Users users.Names
	Local string
}

// Printer writes events. It belongs to one goroutine.
type Printer struct {
	o     Options
	text  []byte // of the parts
	parts []part

	b     *record.Batch
	i, j  int
	head  int // the record that says what happened, -1 without
	call  int // the SYSCALL record, -1 without
	title int // the PROCTITLE record that was shown, -1 without

	subject subject // as addWho has shown it
	outcome string  // as addResult has shown it: ok, failed, "" for none

	args record.Args
	word []byte
	name []byte
}

// New returns a Printer. What Options lacks is local time and the clock; a Width of
// less than 40 is 40.
func New(o Options) *Printer {
	if o.Width > 0 {
		o.Width = max(o.Width, minWidth)
	}
	if o.Zone == nil {
		o.Zone = time.Local
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Printer{o: o}
}

// SetWidth changes the width: a terminal was resized.
func (p *Printer) SetWidth(width int) {
	if width > 0 {
		p.o.Width = max(width, minWidth)
	}
}

// AppendEvent appends the event that records i to j-1 of b are, with a newline at its
// end.
func (p *Printer) AppendEvent(dst []byte, b *record.Batch, i, j int) []byte {
	p.b, p.i, p.j = b, i, j
	p.clear()
	p.findMain()

	p.addTime(b.Recs[i].Millis, b.Recs[i].HasID())
	if p.head >= 0 && IsLoss(b, p.head, p.head+1) {
		p.addLoss()
	} else {
		p.addVerb()
		p.addResult()
		p.addIncomplete()
		p.addWho()
		p.addRecords()
	}
	if b.Recs[i].HasID() {
		p.add("", "#"+strconv.FormatUint(uint64(b.Recs[i].Serial), 10), dim)
	}

	dst = p.layOut(dst)
	p.b, p.subject = nil, subject{}
	return dst
}

// AppendNotice appends what is no event but has to be seen among them, with a newline.
func (p *Printer) AppendNotice(dst []byte, at time.Time, text string) []byte {
	p.clear()
	p.addTime(at.UnixMilli(), true)
	p.begin("")
	p.text = AppendText(append(p.text, "--- "...), []byte(text))
	p.end(alarm)
	dst = p.paint(dst, p.text[:p.parts[0].to], dim) // a notice is never cut
	dst = p.paint(append(dst, ' '), p.text[p.parts[1].from:], alarm)
	return append(dst, '\n')
}

func (p *Printer) clear() {
	p.text, p.parts = p.text[:0], p.parts[:0]
	if cap(p.text) > keptText {
		p.text, p.parts = nil, nil
	}
}

// findMain finds the records by which the event is known.
func (p *Printer) findMain() {
	p.head, p.call, p.outcome = -1, -1, ""
	for k := p.i; k < p.j; k++ {
		switch r := &p.b.Recs[k]; {
		case r.Type == record.TypeSyscall && r.HasID():
			if p.call < 0 {
				p.call = k
			}
		case p.head < 0 && isHead(r):
			p.head = k
		}
	}
}

// isHead reports whether a record says what happened, rather than more of what a system
// call did.
func isHead(r *record.Record) bool {
	switch r.Type {
	case record.TypeSocketcall, record.TypeIPC, record.TypeIPCSet, record.TypeMQOpen, record.TypeMQSendrecv, record.TypeMQNotify,
		record.TypeMQGetset, record.TypeFDPair, record.TypeObjPID, record.TypeBprmFcaps, record.TypeCapset, record.TypeMmap,
		record.TypeTaskContexts, record.TypeOpenat2:
		return false
	}
	return r.HasID() && r.Type != record.TypeSyscall && !record.IsPart(r.Type)
}

const (
	clockLayout = "15:04:05.000"
	dayLayout   = "2006-01-02 " + clockLayout
	lineLayout  = "2006-01-02T15:04:05.000Z07:00"
)

// addTime adds the time of the event: without a date where it is today's and read on a
// terminal, in full, and to be sorted, where each event is a line.
func (p *Printer) addTime(millis int64, known bool) {
	layout := lineLayout
	at := time.UnixMilli(min(max(millis, 0), record.LastMillis)).In(p.o.Zone)
	if p.o.Width > 0 {
		layout = dayLayout
		if now := p.o.Now().In(p.o.Zone); at.Year() == now.Year() && at.YearDay() == now.YearDay() {
			layout = clockLayout
		}
	}
	p.begin("")
	if known {
		p.text = at.AppendFormat(p.text, layout)
	} else {
		p.text = append(p.text, "no time"...)
	}
	p.end(dim)
}

// addIncomplete marks an event that was given before it was known to be complete.
func (p *Printer) addIncomplete() {
	if p.b.Recs[p.j-1].Flags&record.Partial != 0 {
		p.add("", "incomplete", yellow)
	}
}
