package fleet

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/klauspost/compress/zstd"

	"audisp-relay/fleet/wire"
)

// clockMargin is how much later than the engine's a host's clock may be, so that what it has
// recorded since a time is found by when the engine took it.
const clockMargin = 10 * time.Minute

// Bounds of parts of batches that wait for the others.
const (
	maxOpenParts = 256 // hosts' sinks
	maxPartBytes = 256 << 20
	maxSequences = 1 << 20 // epochs of hosts' sinks whose numbers are remembered
)

// Query says what is to be read.
type Query struct {
	Events       bool // of the stream of events instead of that of records
	Hosts        []string
	Sink         string    // "" for all
	Since, Until time.Time // of records; zero: no bound
}

// Batch is one of a stream, its parts joined and its body unpacked.
type Batch struct {
	wire.Header
	Body []byte // valid until the function that gets it returns
	// Repeated is how many records at its beginning have come before.
	Repeated uint64
}

// ReadCounts is what a reading has seen.
type ReadCounts struct {
	Batches  uint64 // given
	Repeated uint64 // records that came twice and are to be left out
	Bad      uint64 // messages that are no batch, or whose body cannot be unpacked
	Example  string // the first of them
	Partial  uint64 // batches of which parts are missing
}

// reader puts batches together. It belongs to one goroutine.
type reader struct {
	q      Query
	each   func(*Batch) error
	counts ReadCounts
	unzip  *zstd.Decoder
	body   []byte
	next   map[string]uint64 // by host, sink and epoch
	parts  map[string]*parts
	open   int // bytes in parts
}

// parts are those of a batch that have come.
type parts struct {
	header wire.Header
	body   []byte
}

// Read gives the batches that may have what q asks for, each host's in order. A batch at the edge
// has older or newer records as well. An error of each ends it and is returned.
func (e *Engine) Read(ctx context.Context, q Query, each func(*Batch) error) (ReadCounts, error) {
	unzip, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(wire.MaxBody), zstd.WithDecoderMaxWindow(wire.MaxBody))
	if err != nil {
		return ReadCounts{}, err
	}
	defer unzip.Close()
	r := &reader{q: q, each: each, unzip: unzip, next: make(map[string]uint64), parts: make(map[string]*parts)}
	hosts, err := e.hostsOf(ctx, q.Hosts)
	if err != nil {
		return ReadCounts{}, err
	}
	streams, err := e.streams(ctx)
	if err != nil {
		return ReadCounts{}, err
	}

	for _, info := range streams {
		name := info.Config.Name
		if (name == wire.StreamEvents) != q.Events || info.State.Msgs == 0 {
			continue
		}
		all := scanRange{stream: name, from: info.State.FirstSeq, to: info.State.LastSeq}
		if !q.Since.IsZero() {
			all.since = q.Since.Add(-clockMargin)
		}
		for _, subject := range subjectsOf(name, hosts) {
			one := all
			one.subject = subject
			if _, err := e.scan(ctx, one, r.message); err != nil {
				return r.counts, cause(err)
			}
		}
	}
	r.counts.Partial += uint64(len(r.parts))
	return r.counts, nil
}

// cause returns the error of the function that got the messages as it was.
func cause(err error) error {
	if own, ok := errors.AsType[takeError](err); ok {
		return own.error
	}
	return err
}

// subjectsOf returns what to read of a stream, one "" for all hosts.
func subjectsOf(stream string, hosts []string) (list []string) {
	if len(hosts) == 0 {
		return []string{""}
	}
	for _, host := range hosts {
		switch stream {
		case wire.StreamEvents:
			list = append(list, wire.Subject(wire.Events, host))
		case wire.StreamRecords:
			list = append(list, wire.Subject(wire.Records, host))
		default:
			list = append(list, "audit."+wire.Records+".*."+host)
		}
	}
	return list
}

// hostsOf returns the machine-ids of hosts, some of which may be named by what their last checkpoint
// calls them.
func (e *Engine) hostsOf(ctx context.Context, hosts []string) (ids []string, err error) {
	names := make(map[string]bool)
	for _, h := range hosts {
		if wire.ValidHost(h) {
			ids = append(ids, h)
		} else {
			names[h] = true
		}
	}
	if len(names) == 0 {
		return ids, nil
	}

	found := make(map[string]bool)
	r := scanRange{stream: wire.StreamCheckpoints, last: true}
	_, err = e.scan(ctx, r, func(m message) error {
		c, err := wire.ParseCheckpoint(m.Data())
		if err != nil || !names[c.Name] || m.Subject() != wire.Subject(wire.Checkpoints, c.Host) {
			return nil
		}
		found[c.Name] = true
		ids = append(ids, c.Host)
		return nil
	})
	if err != nil {
		return nil, err
	}

	for name := range names {
		if !found[name] {
			return nil, fmt.Errorf("no checkpoint is of a host called %q: name it by its machine-id (audisp-relay fleet status lists them)", wire.Clean(name, shownName))
		}
	}
	return ids, nil
}

// message takes one message.
func (r *reader) message(m message) error {
	_, host, ok := wire.SplitSubject(m.Subject())
	var h wire.Header
	err := h.Parse(m.Headers().Get)
	switch {
	case err != nil:
	case !ok || h.Host != host:
		err = fmt.Errorf("it says it is of host %s", h.Host)
	case r.unwanted(&h):
		return nil
	default:
		body, whole := r.join(&h, m.Data())
		if !whole {
			return nil
		}
		if body, err = r.unpack(&h, body); err == nil {
			return r.give(&h, body)
		}
	}

	if r.counts.Bad++; r.counts.Bad == 1 {
		r.counts.Example = fmt.Sprintf("message %d on %s: %v", m.seq, wire.Clean(m.Subject(), 100), err)
	}
	return nil
}

// unwanted reports whether a batch has none of what is asked for.
func (r *reader) unwanted(h *wire.Header) bool {
	switch {
	case r.q.Sink != "" && h.Sink != r.q.Sink:
		return true
	case !r.q.Since.IsZero() && !h.Until.IsZero() && h.Until.Before(r.q.Since.Truncate(time.Millisecond)):
		return true
	case !r.q.Until.IsZero() && !h.First.IsZero() && h.First.After(r.q.Until):
		return true
	}
	return false
}

// join returns the body of a batch once all of its parts are there.
func (r *reader) join(h *wire.Header, data []byte) (body []byte, whole bool) {
	if h.Part.N <= 1 {
		return data, true
	}
	key := h.Host + h.Epoch + h.Sink
	p := r.parts[key]
	follows := p != nil && p.header.Seq == h.Seq && p.header.Part.N == h.Part.N && h.Part.K == p.header.Part.K+1
	switch {
	case p != nil && p.header.Seq == h.Seq && h.Part.K <= p.header.Part.K:
		return nil, false // sent twice
	case !follows && p != nil:
		r.drop(key)
		r.counts.Partial++
		p = nil
	}
	if p == nil {
		if h.Part.K != 1 || len(r.parts) >= maxOpenParts {
			r.counts.Partial++
			return nil, false
		}
		p = new(parts)
		r.parts[key] = p
	}

	if r.open += len(data); r.open > maxPartBytes || len(p.body)+len(data) > wire.MaxBody {
		r.open -= len(data)
		r.drop(key)
		r.counts.Partial++
		return nil, false
	}
	p.header, p.body = *h, append(p.body, data...)
	if h.Part.K < h.Part.N {
		return nil, false
	}
	r.drop(key)
	return p.body, true
}

func (r *reader) drop(key string) {
	r.open -= len(r.parts[key].body)
	delete(r.parts, key)
}

// unpack returns a body as the sink's format made it.
func (r *reader) unpack(h *wire.Header, body []byte) ([]byte, error) {
	switch h.Encoding {
	case "":
		return body, nil
	case wire.Zstd:
		text, err := r.unzip.DecodeAll(body, r.body[:0])
		if err != nil {
			return nil, fmt.Errorf("unpack: %w", err)
		}
		if r.body = text; cap(text) > fetchBytes {
			r.body = nil // one that was very large is not kept
		}
		return text, nil
	}
	return nil, fmt.Errorf("encoding %q is not known", h.Encoding)
}

// give hands a batch on, and says what of it has come before.
func (r *reader) give(h *wire.Header, body []byte) error {
	b := &Batch{Header: *h, Body: body}
	key := h.Host + h.Epoch + h.Sink
	if next := r.next[key]; next > h.Seq {
		b.Repeated = min(next-h.Seq, h.Count)
		r.counts.Repeated += b.Repeated
	}
	if len(r.next) >= maxSequences {
		clear(r.next)
	}
	r.next[key] = max(r.next[key], h.Next())
	if b.Repeated == h.Count {
		return nil
	}
	r.counts.Batches++
	return r.each(b)
}
