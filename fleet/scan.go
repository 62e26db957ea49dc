package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// How a stream is read.
const (
	fetchMessages = 500
	fetchBytes    = 8 << 20
	fetchTime     = 2 * time.Second
	// stuckTime is how long a scan lasts without a message before it fails. It bridges a
	// restart of servers and the election of a leader.
	stuckTime   = 60 * time.Second
	retryPause  = 250 * time.Millisecond
	forgetAfter = 30 * time.Second // an idle consumer, by the server
)

// scanRange says what of a stream is to be read.
type scanRange struct {
	stream   string
	subject  string    // "" for all
	from, to uint64    // sequences in the stream, both included
	since    time.Time // instead of from; zero: from
	last     bool      // only the last message of each subject; to is not looked at
	headers  bool      // without bodies
}

// message is one of a stream. It belongs to the function that gets it.
type message struct {
	jetstream.Msg
	seq  uint64    // in the stream
	time time.Time // when the stream took it, by the server's clock
}

// errEnough is what a function returns that wants no more messages.
var errEnough = errors.New("enough")

// scan is one reading of a stream.
type scan struct {
	e    *Engine
	r    scanRange
	take func(message) error
	next uint64 // sequence that the next message has at least
	read uint64 // messages
	done bool

	// of the present consumer
	consumer jetstream.Consumer
	expected uint64 // number of the next message
	whole    uint64 // how many messages there are for it, as the server has counted them
	single   bool   // ask for one message, however large
}

// scan gives the messages of r in their order, each once, and returns how many there were. A
// consumer that is lost, with a server or a connection, is replaced by one that continues. The end
// is what the stream said at the beginning (r.to), or what it counts for a subject; an answer that
// is empty is no end. Messages that expire meanwhile do not come.
func (e *Engine) scan(ctx context.Context, r scanRange, take func(message) error) (uint64, error) {
	s := &scan{e: e, r: r, take: take, next: max(r.from, 1)}
	defer s.forget()
	moved := time.Now()

	for !s.done {
		before := s.next
		err := s.step(ctx)
		switch {
		case errors.Is(err, errEnough):
			return s.read, nil
		case ctx.Err() != nil:
			return s.read, ctx.Err()
		case s.next != before:
			moved = time.Now()
		}
		if _, own := errors.AsType[takeError](err); own {
			return s.read, err
		}
		if err == nil || s.done {
			continue
		}

		s.consumer = nil
		if time.Since(moved) > stuckTime || hopeless(err) || e.denied.Load() != nil {
			return s.read, e.failed("read stream "+r.stream, err)
		}
		select {
		case <-time.After(retryPause):
		case <-ctx.Done():
		}
	}
	return s.read, nil
}

// forget removes the consumer, which the server would keep for a while: there may be one for each
// of many hosts.
func (s *scan) forget() {
	if s.consumer == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), retryPause)
	defer cancel()
	s.e.js.DeleteConsumer(ctx, s.r.stream, s.consumer.CachedInfo().Name) // or the server does, in time
}

// takeError is an error of the function that gets the messages.
type takeError struct{ error }

func (t takeError) Unwrap() error { return t.error }

// hopeless reports whether an error will not pass by itself.
func hopeless(err error) bool {
	return errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount)
}

// step gets some messages, with a new consumer where there is none.
func (s *scan) step(ctx context.Context) error {
	if s.consumer == nil {
		if err := s.begin(ctx); err != nil || s.done {
			return err
		}
	}
	if s.expected > s.whole {
		return s.lookForEnd(ctx)
	}
	options := []jetstream.FetchOpt{jetstream.FetchMaxWait(fetchTime)}
	count := int(min(fetchMessages, s.whole+1-s.expected)) // an answer waits until it is full
	if s.single {
		count = 1
	} else {
		options = append(options, jetstream.FetchMaxBytes(fetchBytes))
	}
	batch, err := s.consumer.Fetch(count, options...)
	if err != nil {
		return err
	}

	got := 0
	for m := range batch.Messages() {
		if err == nil && !s.done {
			err = s.accept(m)
		}
		got++
	}
	s.single = got == 0 && !s.single
	switch {
	case err != nil || s.done:
		return err
	case batch.Error() != nil:
		return batch.Error()
	case got == 0:
		return s.lookForEnd(ctx)
	}
	return nil
}

// begin makes a consumer that continues at next.
func (s *scan) begin(ctx context.Context) error {
	if !s.r.last && s.r.since.IsZero() && s.next > s.r.to {
		s.done = true
		return nil
	}
	cfg := jetstream.ConsumerConfig{
		AckPolicy: jetstream.AckNonePolicy, HeadersOnly: s.r.headers, FilterSubject: s.r.subject,
		InactiveThreshold: forgetAfter, MemoryStorage: true, Replicas: 1,
	}
	switch {
	case s.r.last:
		cfg.DeliverPolicy = jetstream.DeliverLastPerSubjectPolicy
		if s.r.subject == "" {
			cfg.FilterSubject = ">"
		}
	case s.next == max(s.r.from, 1) && !s.r.since.IsZero():
		cfg.DeliverPolicy, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, &s.r.since
	default:
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, s.next
	}

	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	c, err := s.e.js.CreateConsumer(ctx, s.r.stream, cfg)
	if err != nil {
		return err
	}
	s.consumer, s.expected, s.whole = c, 1, c.CachedInfo().NumPending
	s.done = s.whole == 0
	return nil
}

// accept gives one message to take. A message that the server has sent and that did not come shows
// in the numbers of the consumer.
func (s *scan) accept(m jetstream.Msg) error {
	meta, err := m.Metadata()
	if err != nil {
		return err
	}
	if meta.Sequence.Consumer != s.expected {
		return fmt.Errorf("message %d came instead of %d", meta.Sequence.Consumer, s.expected)
	}
	s.expected++
	seq := meta.Sequence.Stream
	past := !s.r.last && s.r.to > 0 && seq > s.r.to
	if seq >= s.next && !past {
		if err := s.take(message{m, seq, meta.Timestamp}); err != nil {
			return takeError{err}
		}
		s.next = seq + 1
		s.read++
	}

	all := s.expected > s.whole
	s.done = past || (all && s.r.last) || (!s.r.last && seq == s.r.to)
	return nil
}

// lookForEnd asks the server whether there is more: after a while without a message, and when all
// have come that there were at the beginning.
func (s *scan) lookForEnd(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	info, err := s.consumer.Info(ctx)
	if err != nil {
		return err
	}
	if info.Delivered.Consumer >= s.expected {
		return errors.New("messages were sent and did not come")
	}
	if s.e.denied.Load() != nil {
		return errors.New("not permitted")
	}
	s.whole = s.expected - 1 + info.NumPending
	s.done = info.NumPending == 0
	return nil
}

// sortByAge sorts streams, the oldest first.
func sortByAge(list []*jetstream.StreamInfo) {
	slices.SortStableFunc(list, func(a, b *jetstream.StreamInfo) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.Config.Name, b.Config.Name))
	})
}
