package plugin

import (
	"errors"
	"io"
	"time"

	"audisp-relay/audit/record"
	"audisp-relay/audit/stream"
	"audisp-relay/sinks"
)

// newReader returns the reader of the stream, whose socket holds buffer bytes. It continues where the worker before
// this one has ended.
func (p *Plugin) newReader(in io.Reader, buffer int) *stream.Reader {
	r := stream.NewLiveReader(in, buffer)
	r.Panicked = func(fault any) { p.faults.Note("splitting", nil, 0, 0, fault) }
	r.Continue(p.facts.Framing)
	return r
}

// read hands everything that comes to every consumer. It is the only goroutine
// that touches r.
func (p *Plugin) read(r *stream.Reader) error {
	var b record.Batch
	var began time.Time // when the first records came
	framing := r.Framing()
	for {
		if p.leaves(r) {
			return ErrRenew
		}
		had := r.Counts().Bytes
		err := r.Next(&b)
		if err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if len(b.Recs) == 0 && r.Counts().Bytes == had {
			continue // nothing has come
		}

		now := time.Now()
		p.noteInput(&b, r.Counts(), now)
		if f := r.Framing(); f != framing {
			framing = f
			p.noteFraming(f)
		}
		p.observe(&b, now)
		p.take(&b)
		if len(b.Recs) == 0 {
			continue
		}

		if began.IsZero() {
			began = now
		}
		if now.Sub(began) < p.saveEvery { // later ones are saved in time
			sinks.Poke(p.saver.first)
		}
	}
}

// noteInput takes a batch that came now, and the counts after it, into what reports show of the input.
func (p *Plugin) noteInput(b *record.Batch, counts stream.Counts, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.input.Counts, p.input.Last = counts, now
	p.classes.count(b)
	if len(b.Recs) == 0 {
		return
	}
	if last := &b.Recs[len(b.Recs)-1]; last.HasID() {
		p.input.Newest, p.input.NewestSerial = record.TimeOf(last.Millis), last.Serial
	}
	noteSerials(&p.serials, b)
}

// take gives records to the Merger, which deals with panics itself. One that it could not deal with does not end the
// process.
func (p *Plugin) take(b *record.Batch) {
	defer func() {
		if fault := recover(); fault != nil {
			p.faults.Note("reading", b, 0, len(b.Recs), fault)
		}
	}()
	p.feed.Take(b)
}
