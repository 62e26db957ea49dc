package plugin

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"go.uber.org/zap"

	"audisp-relay/config"
	"audisp-relay/event"
	"audisp-relay/format"
	"audisp-relay/queue"
	"audisp-relay/recovery"
	"audisp-relay/sinks"
	"audisp-relay/stream"
)

// Replay runs stored streams through the same reader, queue and sink as a live
// one, without losing anything: it waits for the sink. Inputs are files, gzip
// or not, in string or binary form; "-" is stdin. It returns how much was read.
// A sink that fails is waited for until ctx ends. What the inputs lack is given
// from log, an audit.log, unless that is "".
func Replay(ctx context.Context, inputs []string, log string, sink sinks.Sink) (Replayed, error) {
	var done Replayed
	if err := checkLog(log); err != nil {
		return done, err
	}
	q := queue.New(queue.Options{
		Config: queue.Config{Depth: config.DefaultQDepth, Bytes: int64(config.DefaultQBytes), Lossless: true, Hold: true, Markers: true},
		Name:   "replay",
		Stop:   ctx.Done(),
	})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		sink.Run(ctx, q)
	}()
	put, finish := q.Put, func() {}
	if log != "" {
		done.Log = new(recovery.Counts)
		put, finish = mending(q, log, done.Log)
	}
	var err error
	for _, name := range inputs {
		var n stream.Counts
		n, err = replayOne(ctx, name, put)
		done.In.Add(n)
		if err != nil {
			break
		}
	}
	finish()
	q.Close()
	<-ended
	if n := q.Counts(); err == nil && n.Delivered != n.Received {
		err = fmt.Errorf("%d of %d records were not delivered", n.Received-n.Delivered, n.Received)
	}
	if err == nil && done.Log != nil && done.Log.LogError != "" {
		err = errors.New(done.Log.LogError)
	}
	return done, err
}

// Replayed says what a Replay has done.
type Replayed struct {
	In  stream.Counts    // of all inputs
	Log *recovery.Counts // of what came from the audit.log; nil without one
}

// checkLog refuses what cannot be an audit.log before anything is delivered.
func checkLog(name string) error {
	if name == "" {
		return nil
	}
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() { // opening a FIFO would wait
		return fmt.Errorf("%s is not a regular file: --log takes a file that auditd has written", name)
	}
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	var magic [2]byte
	if n, _ := f.Read(magic[:]); n == 2 && isGzip(magic[:]) {
		return fmt.Errorf("%s is compressed: unpack it first", name)
	}
	return nil
}

func isGzip(magic []byte) bool { return bytes.Equal(magic, []byte{0x1f, 0x8b}) }

// mending puts recovery from an audit.log that does not grow in front of q. The
// counts are there when finish has returned.
func mending(q *queue.Queue, log string, counts *recovery.Counts) (put func(*stream.Batch), finish func()) {
	feed := recovery.New(recovery.Options{Log: recovery.NewLog(log), Static: true, Tracker: event.NewTracker(event.Options{}), Out: replayed{q}, Say: zap.NewNop()})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		feed.Run(ctx)
	}()
	return feed.Take, func() {
		cancel()
		<-ended
		feed.Finish(time.Now().Add(time.Minute))
		*counts = feed.Show().Counts
	}
}

// replayed gives records to the one queue of a replay.
type replayed struct{ q *queue.Queue }

func (r replayed) Put(b *stream.Batch) { r.q.Put(b) }

func (r replayed) Lost(t event.Trouble) { r.q.Note(queue.Upstream, lossOf(t)) }

func replayOne(ctx context.Context, name string, put func(*stream.Batch)) (stream.Counts, error) {
	in, err := openInput(name)
	if err != nil {
		return stream.Counts{}, err
	}
	defer in.Close()
	r := stream.NewReader(in)
	var b stream.Batch
	for ctx.Err() == nil {
		err := r.Next(&b)
		if errors.Is(err, io.EOF) {
			return r.Counts(), nil
		}
		if err != nil {
			return r.Counts(), fmt.Errorf("%s: %w", name, err)
		}
		put(&b)
	}
	return r.Counts(), ctx.Err()
}

type input struct {
	io.Reader
	io.Closer
}

// openInput opens a stored stream, unpacking it when it is gzip.
func openInput(name string) (io.ReadCloser, error) {
	f := os.Stdin
	if name != "-" {
		var err error
		if f, err = os.Open(name); err != nil {
			return nil, err
		}
	}
	r := bufio.NewReaderSize(f, 64<<10)
	if magic, _ := r.Peek(2); !isGzip(magic) {
		return input{r, f}, nil
	}
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return input{z, f}, nil
}

// SinkOf returns the sink that cfg names, for Replay.
func SinkOf(cfg *config.Config, name string, log *zap.Logger) (sinks.Sink, error) {
	var names []string
	for _, sc := range cfg.Sinks {
		if sc.Name == name {
			return newSink(sc, log), nil
		}
		names = append(names, sc.Name)
	}
	return nil, fmt.Errorf("%s has no sink %q: it has %q", cfg.File, name, names)
}

// WriterSink returns a sink that writes to w, for Replay. The first error ends
// the replay through fail.
func WriterSink(w io.Writer, enc format.Encoder, fail context.CancelCauseFunc) sinks.Sink {
	return sinks.NewPump("stdout", &writerSink{w: w, enc: enc, fail: fail}, zap.NewNop())
}

type writerSink struct {
	w    io.Writer
	enc  format.Encoder
	fail context.CancelCauseFunc
}

func (s *writerSink) Write(_ context.Context, b stream.Batch) (int, error) {
	e := s.enc.Encode(b)
	n, err := s.w.Write(e.Bytes)
	if err != nil {
		s.fail(err)
		recs, _ := e.Records(n)
		return recs, err
	}
	return len(b.Recs), nil
}

func (s *writerSink) Tick(context.Context) error { return nil }
func (s *writerSink) Reopen() error              { return nil }
func (s *writerSink) Close() error               { return nil }
