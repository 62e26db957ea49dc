package fleet

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"audisp-relay/fleet/wire"
)

// Options are how a Verifier looks.
type Options struct {
	// Full reads the header of every batch; otherwise only the last one of each host.
	Full bool
	// Behind is how far behind a host may be.
	Behind time.Duration
	// Since leaves out what was before: holes, states that were lost, losses. Zero: nothing.
	Since time.Time
	// Inventory may be nil.
	Inventory *Inventory
}

// Verifier looks at the streams of a fleet, once or again and again. Each time it continues where
// it was. It belongs to one goroutine.
type Verifier struct {
	e       *Engine
	o       Options
	t       *table
	streams map[string]*progress
	asked   map[hostID]epoch  // hosts whose checkpoints were all read, and the epochs that they had then
	recent  map[hostID]uint64 // hosts with several sinks, and up to which message their checkpoints were read
}

// progress is how far a stream was read.
type progress struct {
	next    uint64 // sequence that comes next
	created time.Time
	bad     uint64 // messages that are no batches
	example string
	short   uint64 // messages that the stream counts and that did not come
}

// NewVerifier returns a Verifier of what an engine has.
func NewVerifier(e *Engine, o Options) *Verifier {
	return &Verifier{e: e, o: o, t: newTable(), streams: make(map[string]*progress), asked: make(map[hostID]epoch), recent: make(map[hostID]uint64)}
}

// Look reads what has come since the last time, calls each with the report on every host,
// then returns remarks on the streams. It fails only where it could not judge anything.
func (v *Verifier) Look(ctx context.Context, each func(Host) error) (*Summary, error) {
	began := time.Now()
	sum := &Summary{Streams: []StreamNote{}}
	ckpt, err := v.e.stream(ctx, wire.StreamCheckpoints)
	if err != nil {
		return nil, err
	}
	seen := view{now: ckpt.TimeStamp, behind: v.o.Behind, partial: !v.o.Full || !v.o.Since.IsZero()}
	if seen.now.IsZero() {
		seen.now = time.Now() // a server before 2.10 does not say
	}
	if err := v.readCheckpoints(ctx, ckpt, sum); err != nil {
		return nil, err
	}
	streams, err := v.e.streams(ctx)
	if err != nil {
		return nil, err
	}
	for k, info := range streams {
		if err := v.readBatches(ctx, info, k == 0, sum); err != nil {
			return nil, err
		}
		seen.expired = seen.expired || info.State.FirstSeq > 1
	}
	if err := v.readHistories(ctx, ckpt.State.LastSeq, seen.now); err != nil {
		return nil, err
	}
	if err := v.readBaselines(ctx, ckpt.State.LastSeq); err != nil {
		return nil, err
	}

	for i := range int32(v.t.count) {
		h := v.t.judge(i, seen)
		sum.count(&h)
		if err := each(h); err != nil {
			return nil, err
		}
	}
	never, unlisted := v.o.Inventory.never(v.t)
	sum.Unlisted = unlisted
	for _, h := range never {
		sum.count(&h)
		if err := each(h); err != nil {
			return nil, err
		}
	}
	sum.Hosts, sum.Time, sum.Took = v.t.hosts, seen.now, time.Since(began)
	return sum, nil
}

// readCheckpoints reads the last checkpoint of each host.
func (v *Verifier) readCheckpoints(ctx context.Context, info *jetstream.StreamInfo, sum *Summary) error {
	p := v.progress(info, sum)
	if info.State.Msgs == 0 || info.State.LastSeq < p.next {
		return nil
	}

	r := scanRange{stream: info.Config.Name, from: p.next, last: true}
	read, err := v.e.scan(ctx, r, func(m message) error {
		p.next = max(p.next, m.seq+1)
		_, host, ok := wire.SplitSubject(m.Subject())
		if !ok {
			p.foreign(m, "no subject of a host")
			return nil
		}
		c, err := wire.ParseCheckpoint(m.Data())
		switch {
		case err != nil:
		case c.Host != host:
			err = fmt.Errorf("it says it is of host %s", c.Host)
		default:
			err = v.t.checkpoint(hostOf(host), c, m.time)
		}
		if err != nil {
			p.foreign(m, err.Error())
		}
		return nil
	})

	sum.Checkpoints += read
	p.report(info.Config.Name, sum)
	return err
}

// readBatches reads the headers of a stream of batches: all of them, or the last of each host.
func (v *Verifier) readBatches(ctx context.Context, info *jetstream.StreamInfo, oldest bool, sum *Summary) error {
	p := v.progress(info, sum)
	state := info.State
	first := p.next
	if state.Msgs == 0 || state.LastSeq < first {
		p.report(info.Config.Name, sum)
		return nil
	}

	if state.NumDeleted > 0 {
		sum.note(info.Config.Name, true, "%d messages were deleted from within it", state.NumDeleted)
	}
	whole := oldest && state.FirstSeq <= 1 && v.o.Since.IsZero()
	r := scanRange{stream: info.Config.Name, from: first, to: state.LastSeq, headers: true, last: !v.o.Full}
	if v.o.Full && first == 1 {
		r.from, r.since = max(state.FirstSeq, 1), v.o.Since
	}

	read, err := v.e.scan(ctx, r, func(m message) error {
		p.next = max(p.next, m.seq+1)
		host, h, err := headerOf(m)
		switch {
		case err != nil:
		case v.o.Full:
			err = v.t.batch(host, h, whole)
		default:
			err = v.t.lastBatch(host, h)
		}
		if err != nil {
			p.foreign(m, err.Error())
		}
		return nil
	})

	sum.Batches += read
	if err == nil && !r.since.IsZero() {
		err = v.readEarlier(ctx, info.Config.Name)
	}
	if err == nil && v.o.Full {
		err = v.compare(ctx, info, p, first, read)
		p.next = max(p.next, state.LastSeq+1)
	}

	p.report(info.Config.Name, sum)
	return err
}

// readEarlier reads the last batch of hosts that have sent none since Options.Since.
func (v *Verifier) readEarlier(ctx context.Context, stream string) error {
	_, err := v.e.scan(ctx, scanRange{stream: stream, headers: true, last: true}, func(m message) error {
		host, h, err := headerOf(m)
		if err != nil {
			return nil // what came before does not matter
		}
		if i, err := v.t.find(host, h.Sink); err != nil || v.t.row(i).next > 0 {
			return nil
		}
		return v.t.lastBatch(host, h)
	})
	return err
}

// headerOf returns the host and the header of a batch.
func headerOf(m message) (hostID, *wire.Header, error) {
	_, host, ok := wire.SplitSubject(m.Subject())
	if !ok {
		return hostID{}, nil, errors.New("no subject of a host")
	}
	h := new(wire.Header)
	if err := h.Parse(m.Headers().Get); err != nil {
		return hostID{}, nil, err
	}
	if h.Host != host {
		return hostID{}, nil, fmt.Errorf("it says it is of host %s", h.Host)
	}
	return hostOf(host), h, nil
}

// compare holds what was read against what the stream counted when reading began. What has expired
// meanwhile does not count: the stream's first message says how much that is at most.
func (v *Verifier) compare(ctx context.Context, before *jetstream.StreamInfo, p *progress, first, read uint64) error {
	state := before.State
	if first > 1 || !v.o.Since.IsZero() || read >= state.Msgs {
		return nil // the stream counts all of its messages, not those from one on
	}
	now, err := v.e.stream(ctx, before.Config.Name)
	if err != nil {
		return err
	}
	expired := now.State.FirstSeq - min(state.FirstSeq, now.State.FirstSeq)
	if short := state.Msgs - read; short > expired {
		p.short += short - expired
	}
	return nil
}

// progress returns how far a stream was read. One that was made again, or put back to an older copy,
// begins again.
func (v *Verifier) progress(info *jetstream.StreamInfo, sum *Summary) *progress {
	name := info.Config.Name
	p := v.streams[name]
	switch {
	case p == nil:
	case info.State.LastSeq+1 < p.next:
		sum.note(name, true, "it ended at message %d and now ends at %d: the engine was put back to an older copy", p.next-1, info.State.LastSeq)
	case !info.Created.Equal(p.created):
		sum.note(name, true, "it was removed and made again")
	default:
		p.bad, p.short = 0, 0
		return p
	}

	if p != nil && name == wire.StreamCheckpoints {
		clear(v.asked)
		clear(v.recent)
	}
	p = &progress{next: 1, created: info.Created}
	v.streams[name] = p
	return p
}

// foreign counts a message that no relay has sent, and keeps why.
func (p *progress) foreign(m message, why string) {
	if p.bad == 0 {
		p.example = fmt.Sprintf("message %d on %s: %s", m.seq, wire.Clean(m.Subject(), 100), why)
	}
	p.bad++
}

// report notes what was wrong with a stream.
func (p *progress) report(name string, sum *Summary) {
	if p.bad > 0 {
		sum.note(name, true, "%d messages are not of a relay, the first is %s", p.bad, p.example)
	}
	if p.short > 0 {
		sum.note(name, true, "%d messages that it counts could not be read: read again", p.short)
	}
}
