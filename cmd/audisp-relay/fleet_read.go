package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"audisp-relay/audit/record"
	"audisp-relay/audit/stream"
	"audisp-relay/filter"
	"audisp-relay/fleet"
	"audisp-relay/fleet/wire"
	"audisp-relay/format"
)

// textFormat is the format of fleet read that is for people.
const textFormat = "text"

// maxReadHosts is how many hosts have events that are not complete at a time; beyond it those of
// all are shown as they are.
const maxReadHosts = 256

// fleetReadFlags are what the command line of fleet read says.
type fleetReadFlags struct {
	fleet.Access
	fleet.Query
	since, until string
	filter       string
	format       string
	raw          bool
}

func newFleetReadCmd() *cobra.Command {
	var f fleetReadFlags
	cmd := &cobra.Command{
		Use:   "read",
		Short: "Print records or events of hosts out of the streams",
		Long: `read prints what hosts have published: records, or events in another format, of a time
and by a filter, as tail and replay do for one host. On a terminal it shows events as
text, in a pipe records as auditd wrote them. Records that are in the stream twice come
once; how many were left out stands on stderr.

Unless exactly one --host is named, records without node= get the name of their host.`,
		Example: `  audisp-relay fleet read --host web-1 --since 2h --filter 'syscall == "execve"'
  audisp-relay fleet read --since today --format json | jq .`,
		Args: noArgs,
	}
	addAccess(cmd, &f.Access)
	flags := cmd.Flags()
	flags.StringArrayVar(&f.Hosts, "host", nil, "only this `HOST`, by machine-id or name; may be repeated")
	flags.StringVar(&f.Sink, "sink", "", "only what the sink of this `NAME` on the hosts has sent")
	flags.StringVar(&f.since, "since", "", "from `WHEN` on: 10m, 14:05, today, 2026-01-31, or RFC 3339")
	flags.StringVar(&f.until, "until", "", "up to `WHEN`")
	flags.StringVar(&f.filter, "filter", "", "only events that this `EXPR` holds for")
	flags.StringVar(&f.format, "format", "", "`FORMAT`: "+strings.Join(append(format.Names(), textFormat), ", "))
	flags.BoolVar(&f.Query.Events, "events", false, "the stream of events, which has lines of the format that the hosts' sinks have")
	flags.BoolVar(&f.raw, "raw", false, "whole batches as the hosts have sent them; no filter or format")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := f.check(time.Now()); err != nil {
			return usageError{err}
		}
		return f.run(cmd)
	}
	return cmd
}

// check reads the times and returns what makes no sense.
func (f *fleetReadFlags) check(now time.Time) (err error) {
	for _, when := range []struct {
		flag, word string
		at         *time.Time
	}{{"--since", f.since, &f.Since}, {"--until", f.until, &f.Until}} {
		if when.word == "" {
			continue
		}
		if *when.at, err = parseWhen(when.flag, when.word, now); err != nil {
			return err
		}
	}

	formed := f.format != "" || f.filter != ""
	switch {
	case !f.Until.IsZero() && f.Until.Before(f.Since):
		return errors.New("--until is before --since")
	case (f.raw || f.Query.Events) && formed:
		return errors.New("--raw and --events print lines as they are: no --filter and no --format")
	case f.format != "" && f.format != textFormat:
		if _, err := format.Parse(f.format); err != nil {
			return fmt.Errorf("--format: %w", err)
		}
	}

	if f.filter != "" {
		if _, err := filter.Compile(f.filter); err != nil {
			return fmt.Errorf("--filter: %w", err)
		}
	}
	return nil
}

// run reads and prints.
func (f *fleetReadFlags) run(cmd *cobra.Command) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if f.filter != "" {
		warnOfFilter(f.filter, nil)
	}
	engine, err := fleet.Dial(f.Access)
	if err != nil {
		return failBlind(cmd, err)
	}
	defer engine.Close()

	p := newFleetPrinter(f, cmd.OutOrStdout())
	counts, err := engine.Read(ctx, f.Query, p.batch)
	if err == nil {
		err = p.flush()
	}
	if errors.Is(err, syscall.EPIPE) { // head has had enough
		return nil
	}
	notes := cmd.ErrOrStderr()
	if counts.Repeated > 0 {
		fmt.Fprintf(notes, "%d records were in the stream twice and are shown once\n", counts.Repeated)
	}
	if counts.Bad > 0 {
		fmt.Fprintf(notes, "%d messages are not of a relay or cannot be read, the first is %s\n", counts.Bad, counts.Example)
	}
	if counts.Partial > 0 {
		fmt.Fprintf(notes, "%d batches were left out, of which parts are missing\n", counts.Partial)
	}
	if p.foreign > 0 {
		fmt.Fprintf(notes, "%d batches of format %s were left out, which no filter or format reads: without --filter and --format they are shown\n", p.foreign, p.foreignFormat)
	}
	if err != nil {
		return failBlind(cmd, err)
	}
	return nil
}

// fleetPrinter prints batches. It belongs to one goroutine.
type fleetPrinter struct {
	flags *fleetReadFlags
	out   *bufio.Writer
	hosts map[string]*eventView // by machine-id

	foreign       uint64 // batches of formats of events
	foreignFormat string
}

func newFleetPrinter(f *fleetReadFlags, out io.Writer) *fleetPrinter {
	return &fleetPrinter{flags: f, out: bufio.NewWriterSize(out, tailBuffer), hosts: make(map[string]*eventView)}
}

// batch prints one batch, but for its records that have come before.
func (p *fleetPrinter) batch(b *fleet.Batch) error {
	ofEvents := b.Format != "" && b.Format != "string" && b.Format != "binary"
	asked := p.flags.filter != "" || p.flags.format != ""
	switch {
	case p.flags.raw, p.flags.Query.Events, ofEvents && !asked:
		return p.lines(b)
	case ofEvents:
		p.foreign++
		p.foreignFormat = b.Format
		return nil
	}

	v, err := p.viewOf(b)
	if err != nil {
		return err
	}
	return cutBody(b.Body, func(recs *record.Batch) error {
		p.wanted(recs, b)
		return v.add(recs, time.Now())
	})
}

// lines prints a body as it is, but for the lines that have come before.
func (p *fleetPrinter) lines(b *fleet.Batch) error {
	body := b.Body
	if b.Format != "binary" {
		// A header may say that there are more than there are.
		for left := b.Repeated; left > 0 && len(body) > 0; left-- {
			_, body, _ = bytes.Cut(body, []byte{'\n'})
		}
	}
	_, err := p.out.Write(body)
	if n := len(body); err == nil && n > 0 && b.Format != "binary" && body[n-1] != '\n' {
		err = p.out.WriteByte('\n') // else the next batch, perhaps of another host, would continue its last line
	}
	return err
}

// wanted leaves the records of a batch that have not come before and are of the time asked for.
// Those without an id have no time and stay.
func (p *fleetPrinter) wanted(recs *record.Batch, b *fleet.Batch) {
	since, until := int64(0), int64(record.LastMillis)
	if !p.flags.Since.IsZero() {
		since = p.flags.Since.UnixMilli()
	}
	if !p.flags.Until.IsZero() {
		until = p.flags.Until.UnixMilli()
	}
	recs.Recs = slices.DeleteFunc(recs.Recs, func(r record.Record) bool {
		if b.Repeated > 0 {
			if r.Flags&record.Open == 0 { // the last piece of it
				b.Repeated--
			}
			return true
		}
		return r.HasID() && (r.Millis < since || r.Millis > until)
	})
}

// cutBody cuts the body of a batch into records.
func cutBody(body []byte, take func(*record.Batch) error) error {
	cut := stream.NewSplitter()
	var b record.Batch
	for len(body) > 0 {
		n := copy(cut.Space(), body)
		body = body[n:]
		cut.Cut(&b, n)
		if err := take(&b); err != nil {
			return err
		}
	}
	cut.End(&b)
	return take(&b)
}

// asFormat shows events, or their records, in a format of sinks, "" for string.
func (v *eventView) asFormat(name, node string) error {
	kind, err := format.Parse(cmp.Or(name, "string"))
	if err != nil {
		return err
	}
	enc := format.Encoder{Format: kind.Format, Node: node, Raw: kind.Raw}
	if kind.Format.Events() {
		enc.NewEvents = func() format.EventEncoder { return kind.New(format.Options{Node: node}) }
		v.encode = func(dst []byte, b *record.Batch, i, _ int) []byte { return enc.Append(dst, *b, i) }
		return nil
	}
	v.asRecords(enc, nil)
	return nil
}

// viewOf returns what puts the records of a host together.
func (p *fleetPrinter) viewOf(b *fleet.Batch) (*eventView, error) {
	if v := p.hosts[b.Host]; v != nil {
		return v, nil
	}
	if len(p.hosts) >= maxReadHosts {
		if err := p.flush(); err != nil {
			return nil, err
		}
		clear(p.hosts)
	}
	v := &eventView{out: p.out}
	if p.flags.filter != "" {
		compiled, err := filter.Compile(p.flags.filter)
		if err != nil {
			return nil, err
		}
		v.filters = append(v.filters, compiled.New())
	}

	shape := p.flags.format
	if shape == "" && isTerminal(os.Stdout) {
		shape = textFormat
	}
	if shape == textFormat {
		v.asText(nil, "", false)
	} else if err := v.asFormat(shape, p.node(b)); err != nil {
		return nil, err
	}
	v.start()
	p.hosts[b.Host] = v
	return v, nil
}

// node returns what is put in front of records without node=, "" for nothing.
func (p *fleetPrinter) node(b *fleet.Batch) string {
	if len(p.flags.Hosts) == 1 {
		return ""
	}
	name := strings.Map(func(r rune) rune {
		if r <= ' ' || r == '"' || r == '=' {
			return '_'
		}
		return r
	}, wire.Clean(b.Name, 255))
	if name == "" {
		return b.Host
	}
	return name
}

// flush shows what is held.
func (p *fleetPrinter) flush() error {
	for _, id := range slices.Sorted(maps.Keys(p.hosts)) {
		if err := p.hosts[id].flush(); err != nil {
			return err
		}
	}
	return p.out.Flush()
}
