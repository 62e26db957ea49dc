package main

import (
	"bufio"
	"fmt"
	"time"

	"audisp-relay/audit/event"
	"audisp-relay/audit/record"
	"audisp-relay/audit/users"
	"audisp-relay/filter"
	"audisp-relay/format"
	"audisp-relay/format/human"
	"audisp-relay/format/json"
)

const (
	// tailPatience is how long an event may wait for its next record. auditd writes those of
	// an event within a few milliseconds; the usual 2 s are too long for one who watches.
	tailPatience = 500 * time.Millisecond
	// tailTick is how often it is looked for events that have waited for long enough.
	tailTick = 100 * time.Millisecond
	// Bounds of the events that are not complete.
	tailMaxEvents = 1024
	tailMaxBytes  = 8 << 20
)

// eventView puts records together to events and shows those that all filters keep. It belongs
// to one goroutine.
type eventView struct {
	out     *bufio.Writer
	left    int // events still to show, records where these are shown; 0 means no limit
	filters []*filter.Matcher
	// ofSink is the sink's filter, nil without. What the sink sends has passed it, and may have lost its node= since: it is for
	// what the log has, which is marked FromLog where withLog is true.
	ofSink  *filter.Matcher
	withLog bool
	// encode appends an event; records says how much it counts as.
	encode  func(dst []byte, b *record.Batch, i, j int) []byte
	records bool
	// notice shows what has to be seen: among the events, or apart where nothing but records may be.
	notice func(text string)

	asm *event.Assembler
	buf []byte
	err error // of a write, or errDone
}

// start is to be called before anything is added.
func (v *eventView) start() {
	v.asm = event.NewAssembler(event.AssemblerOptions{
		Timeout: tailPatience, MaxEvents: tailMaxEvents, MaxBytes: tailMaxBytes, Out: v.show,
	})
}

// asText shows events for people.
func (v *eventView) asText(names users.Names, local string, onTerminal bool) {
	o := human.Options{Zone: time.Local, Users: names, Local: local}
	if onTerminal {
		o.Colour, o.Width = hasColours(), terminalWidth()
	}
	p := human.New(o)
	v.encode = func(dst []byte, b *record.Batch, i, j int) []byte {
		if onTerminal {
			p.SetWidth(terminalWidth())
		}
		return p.AppendEvent(dst, b, i, j)
	}
	v.notice = func(text string) { v.write(p.AppendNotice(nil, time.Now(), text)) }
}

// asJSON shows events in the format json.
func (v *eventView) asJSON(names users.Names, local string) {
	enc := format.Encoder{Format: format.Events, Raw: json.Kind.Raw, NewEvents: func() format.EventEncoder {
		return json.New(json.Options{Users: names, Local: local})
	}}
	v.encode = func(dst []byte, b *record.Batch, i, _ int) []byte { return enc.Append(dst, *b, i) }
}

// asRecords shows the records of events as enc has them, painted where there is a painter.
func (v *eventView) asRecords(enc format.Encoder, p *painter) {
	v.records = true
	var line []byte
	v.encode = func(dst []byte, b *record.Batch, i, j int) []byte {
		for k := i; k < j; k++ {
			if p == nil {
				dst = enc.Append(dst, *b, k)
				continue
			}
			line = enc.Append(line[:0], *b, k)
			dst = append(dst, p.show(line, b.Recs[k].Flags&record.Cont == 0)...)
		}
		return dst
	}
}

// add takes records in that came at a time. The error is errDone when enough was shown, else one
// of writing.
func (v *eventView) add(b *record.Batch, at time.Time) error {
	v.asm.Add(b, at)
	return v.flushOut()
}

// patience returns after what time expire is to be called, 0 if only with further
// records.
func (v *eventView) patience() time.Duration {
	if v.asm.Counts().Open > 0 {
		return tailTick
	}
	return 0
}

// expire shows the events that have waited for long enough.
func (v *eventView) expire(now time.Time) error {
	v.asm.Expire(now)
	return v.flushOut()
}

// flush shows the events that are held: nothing more comes for them.
func (v *eventView) flush() error {
	v.asm.Flush()
	return v.flushOut()
}

// show shows events, which the Assembler gives.
func (v *eventView) show(b *record.Batch) {
	for i, j := 0, 0; i < len(b.Recs) && v.err == nil; i = j {
		j = format.EventEnd(b, i)
		fromLog := v.withLog && takeMark(b.Recs[i:j])
		if !v.wants(b, i, j) || (fromLog && v.ofSink != nil && !keeps(&v.ofSink, b, i, j)) {
			continue
		}
		v.buf = v.encodeSafely(v.buf[:0], b, i, j)
		v.write(v.buf)
		v.count(j - i)
	}
}

// takeMark reports whether records are from audit.log, and takes the mark off: the sink may well have sent them, too.
func takeMark(recs []record.Record) (fromLog bool) {
	fromLog = recs[0].Flags&record.FromLog != 0
	for k := range recs {
		recs[k].Flags &^= record.FromLog
	}
	return fromLog
}

// encodeSafely is encode, but that an event which that panics over is shown as its records.
func (v *eventView) encodeSafely(dst []byte, b *record.Batch, i, j int) (out []byte) {
	defer func() {
		if fault := recover(); fault != nil {
			for k := i; k < j; k++ {
				dst = append(escape(dst, record.TrimEnd(b.Bytes(k))), '\n')
			}
			out = dst
		}
	}()
	return v.encode(dst, b, i, j)
}

// wants reports whether all filters keep an event. One that a filter fails on is kept, and so is a
// loss: what was lost may have been what the filter is for.
func (v *eventView) wants(b *record.Batch, i, j int) bool {
	if human.IsLoss(b, i, j) {
		return true
	}
	for k := range v.filters {
		if !keeps(&v.filters[k], b, i, j) {
			return false
		}
	}
	return true
}

// keeps asks a filter. One that panics is replaced by one that remembers nothing.
func keeps(m **filter.Matcher, b *record.Batch, i, j int) (kept bool) {
	defer func() {
		if fault := recover(); fault != nil {
			*m, kept = (*m).Renew(), true
		}
	}()
	kept, _ = (*m).Keep(b, i, j)
	return kept
}

func (v *eventView) write(text []byte) {
	if _, err := v.out.Write(text); err != nil && v.err == nil {
		v.err = errStream{fmt.Errorf("write events to stdout: %w", err)}
	}
}

// count counts an event of so many records.
func (v *eventView) count(records int) {
	if v.left == 0 || v.err != nil {
		return
	}
	if !v.records {
		records = 1
	}
	if v.left = max(v.left-records, 0); v.left == 0 {
		v.err = errDone
	}
}

func (v *eventView) flushOut() error {
	if err := v.out.Flush(); err != nil {
		return errStream{fmt.Errorf("write events to stdout: %w", err)}
	}
	return v.err
}
