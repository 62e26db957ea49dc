// Package replay sends stored streams through the same reader, filter, queue and sink as a live
// one.
package replay

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"go.uber.org/zap"

	"audisp-relay/audit/auditlog"
	"audisp-relay/audit/integrity"
	"audisp-relay/audit/process"
	"audisp-relay/audit/record"
	"audisp-relay/audit/stream"
	"audisp-relay/config"
	"audisp-relay/filter"
	"audisp-relay/format"
	"audisp-relay/plugin/consumer"
	"audisp-relay/plugin/nodes"
	"audisp-relay/queue"
	"audisp-relay/recovery"
	"audisp-relay/sinks"
)

// Stored is what Run reads, and what it is given to.
type Stored struct {
	// Inputs are files, compressed or not, in string or binary form, or events as the formats json, ocsf and
	// laurel have them; "-" is stdin.
	Inputs []string
	// Wrong, which may be nil, is called for each line that is no event, in an input of events. Such lines are
	// counted and skipped. Run calls it.
	Wrong  func(error)
	Log    string          // an audit.log that what the inputs lack is given from; "" is none
	Format string          // of the sink
	Filter string          // which events it gets; "" is all
	Rules  *filter.RuleSet // that the filter can ask for; nil: there are none
	Labels *process.Labels // of processes; nil: there are none
	Events bool            // it gets whole events, whatever its format is
	Serial bool            // in the order of their serials
	Sink   sinks.Sink
	// Processes is what sink and filter ask who has started what; Run fills it. Nil: they do not ask.
	Processes *process.Current
}

// Run runs stored streams without losing anything: it waits for the sink. A sink that fails is waited for
// until ctx ends. It returns how much was read.
func Run(ctx context.Context, from Stored) (Result, error) {
	var done Result
	if err := checkLog(from.Log); err != nil {
		return done, err
	}
	selected := config.Sink{Format: from.Format, Filter: from.Filter, Rules: from.Rules, Events: from.Events, Serial: from.Serial}
	selection, err := consumer.NewSelection(selected, consumer.Known{Processes: from.Processes}, "")
	if err != nil {
		return done, err
	}

	q := queue.New(queue.Options{
		Config: queue.Config{
			Depth: config.DefaultQDepth, Bytes: int64(config.DefaultQBytes), Lossless: true, Hold: true, Markers: true, Whole: selection.Events,
		},
		Name: "replay",
		Stop: ctx.Done(),
	})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		from.Sink.Run(ctx, q)
	}()
	in := consumer.NewIntake(q, selection)
	in.Stored = true
	give := giver(in, from.Processes, from.Labels)
	put, finish := give, func() {}
	if from.Log != "" {
		done.Log = new(recovery.Counts)
		put, finish = recoverFrom(give, q, from.Log, done.Log)
	}

	for _, name := range from.Inputs {
		var n stream.Counts
		var bad uint64
		n, bad, err = readInput(ctx, name, from.Wrong, put)
		done.In.Add(n)
		done.Wrong += bad
		if err != nil {
			break
		}
	}

	finish()
	in.Flush()
	q.Close()
	<-ended
	n := q.Counts()
	done.Filtered = n.Filtered
	done.Failed, done.Unread, done.Cause = in.FilterTrouble()
	if rest := n.Received - n.Filtered - n.Delivered; err == nil && rest > 0 {
		err = fmt.Errorf("%d of %d records were not delivered", rest, n.Received)
	}
	if err == nil && done.Log != nil && done.Log.LogError != "" {
		err = errors.New(done.Log.LogError)
	}
	return done, err
}

// Result says what a replay has done.
type Result struct {
	In    stream.Counts    // of all inputs
	Wrong uint64           // lines of inputs of events that are none
	Log   *recovery.Counts // of what came from the audit.log; nil without one
	// Filtered counts the records that the filter left out, Failed the events it failed
	// on and let through.
	Filtered, Failed uint64
	// Unread counts the records without a readable header, which every filter lets
	// through; Cause is likely that of the last.
	Unread uint64
	Cause  string
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
	var start [longestMagic]byte
	if n, _ := io.ReadFull(f, start[:]); packing(start[:n]) >= 0 {
		return fmt.Errorf("%s is compressed: unpack it first", name)
	}
	return nil
}

// giver returns what gives records to in and, where that is asked, to a new table of processes before, which have these labels.
func giver(in *consumer.Intake, asked *process.Current, labels *process.Labels) func(*record.Batch) {
	if asked == nil {
		return in.Put
	}
	known := process.NewTable(process.Options{Labels: labels})
	asked.Set(known)
	return func(b *record.Batch) { known.Note(b); in.Put(b) }
}

// recoverFrom puts recovery from an audit.log that does not grow in front of in. The
// counts are there when finish has returned.
func recoverFrom(give func(*record.Batch), q *queue.Queue, log string, counts *recovery.Counts) (put func(*record.Batch), finish func()) {
	feed := recovery.New(recovery.Options{Log: auditlog.New(log), Static: true, Tracker: integrity.NewTracker(integrity.Options{}), Out: output{give, q}, Say: zap.NewNop()})
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

// output gives records to the one queue of a replay.
type output struct {
	give func(*record.Batch)
	q    *queue.Queue
}

func (o output) Put(b *record.Batch) { o.give(b) }

func (o output) Lost(t integrity.Gap) {
	o.q.RecordUpstreamLoss(queue.Upstream, consumer.LossOf(t))
}

// readInput gives the records of an input to put. bad is how many lines were no events, in one of events: wrong, which
// may be nil, is called for each.
func readInput(ctx context.Context, name string, wrong func(error), put func(*record.Batch)) (n stream.Counts, bad uint64, err error) {
	file, err := OpenInput(name)
	if err != nil {
		return n, 0, err
	}
	defer file.Close()
	buffered := bufio.NewReaderSize(file, 64<<10)
	in := io.Reader(buffered)
	if holdsEvents(buffered) {
		lines := &eventLines{name: name, in: buffered, wrong: wrong}
		if wrong == nil {
			lines.wrong = func(error) {}
		}
		defer func() { bad = lines.bad }()
		in = lines
	}

	r := stream.NewReader(in)
	var b record.Batch
	for ctx.Err() == nil {
		err := r.Next(&b)
		if errors.Is(err, io.EOF) {
			return r.Counts(), bad, nil
		}
		if err != nil {
			return r.Counts(), bad, fmt.Errorf("%s: %w", name, err)
		}
		put(&b)
	}
	return r.Counts(), bad, ctx.Err()
}

// SinkOf returns the sink that cfg names, with its format and filter, for Run.
func SinkOf(cfg *config.Config, name string, log *zap.Logger) (to Stored, err error) {
	var names []string
	for _, sc := range cfg.Sinks {
		if sc.Name == name {
			to = Stored{Format: sc.Format, Filter: sc.Filter, Rules: cfg.Rules, Labels: cfg.Labels, Events: sc.Events, Serial: sc.Serial}
			if cfg.ProcessContext {
				to.Processes = new(process.Current)
			}
			var rules consumer.Rules
			rules.Store(cfg.Rules)
			to.Sink = consumer.NewSink(sc, consumer.Known{Processes: to.Processes}, nodes.Now(sc, log), &rules, log, consumer.NewPanics(log))
			return to, nil
		}
		names = append(names, sc.Name)
	}
	return to, fmt.Errorf("%s has no sink %q: it has %q", cfg.File, name, names)
}

// WriterSink returns a sink that writes to w in a format, for Run. rules, which may be nil, are those that filters can ask
// for and events carry. The first error ends the replay through fail.
func WriterSink(w io.Writer, kind format.Kind, rules *filter.RuleSet, fail context.CancelCauseFunc) Stored {
	to := Stored{Format: kind.Name, Rules: rules, Processes: new(process.Current)}
	var present consumer.Rules
	present.Store(rules)
	enc := consumer.NewEncoder(kind, consumer.Known{Processes: to.Processes}, nodes.Fixed(""), &present)
	to.Sink = sinks.NewPump("stdout", &writerSink{w: w, enc: enc, fail: fail}, zap.NewNop())
	return to
}

type writerSink struct {
	w    io.Writer
	enc  format.Encoder
	fail context.CancelCauseFunc
}

func (s *writerSink) Write(_ context.Context, b record.Batch) (int, error) {
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
