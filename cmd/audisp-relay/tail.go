package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"audisp-relay/audit/users"
	"audisp-relay/config"
	"audisp-relay/filter"
	"audisp-relay/format"
	"audisp-relay/plugin/nodes"
)

// maxSeconds are 63 years: an int may have 32 bits, and a time.Duration overflows at 292.
const maxSeconds = 2_000_000_000

const defaultSocket = "/run/audisp-relay/events.sock"

// tailFlags are what the command line of tail says.
type tailFlags struct {
	count, seconds    int
	raw, json, events bool
	filter            string
	since, log        string
	config            string
}

// newTailCmd is `audisp-relay tail`.
func newTailCmd() *cobra.Command {
	var f tailFlags
	cmd := &cobra.Command{
		Use:   "tail [SINK|SOCKET]",
		Short: "Follow a socket: events readable on a terminal, records in a pipe",
		Long: `tail follows the unix socket of a sink, named as in the configuration or by its path
(` + defaultSocket + ` if none is named, - for stdin). On a terminal it shows events:
time, what, result, who, on what. In a pipe it passes records on byte for byte;
--events shows events there too, one a line. What records hold never reaches a
terminal but as characters one sees: other bytes are \xNN.

--since first shows what audit.log has from then on. If the socket goes away, tail
waits until it is back. NO_COLOR turns the colours off.`,
		Example: `  audisp-relay tail
  audisp-relay tail siem --filter 'syscall == "execve" and auid >= 1000'
  audisp-relay tail --since 10m --json | jq .`,
		Args: atMostOne,
	}
	cmd.Flags().IntVar(&f.count, "count", 0, "stop after so many `N` events, records with --raw or in a pipe (0: never)")
	cmd.Flags().IntVar(&f.seconds, "seconds", 0, "stop after so many seconds, `N` (0: never)")
	cmd.Flags().BoolVar(&f.raw, "raw", false, "records as they come, which is what a pipe gets anyway")
	cmd.Flags().BoolVar(&f.json, "json", false, "events as JSON, one a line")
	cmd.Flags().BoolVar(&f.events, "events", false, "events, in a pipe too: one a line, without colours")
	cmd.Flags().StringVar(&f.filter, "filter", "", "show only events that this `EXPR` holds for")
	cmd.Flags().StringVar(&f.since, "since", "", "show first what audit.log has since `WHEN`: 10m, 14:05, today, 2026-01-31, or RFC 3339")
	cmd.Flags().StringVar(&f.log, "log", "", "the audit.log that --since reads, a `FILE` (default: auditd's)")
	cmd.Flags().StringVarP(&f.config, "config", "c", config.DefaultFile, "configuration `FILE`, or its directory, that SINK is looked up in")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		source := defaultSocket
		if len(args) == 1 {
			source = args[0]
		}
		if err := f.check(source); err != nil {
			return usageError{err}
		}
		return f.run(cmd, source)
	}
	return cmd
}

// check returns what makes no sense.
func (f *tailFlags) check(source string) error {
	modes := 0
	for _, on := range []bool{f.raw, f.json, f.events} {
		if on {
			modes++
		}
	}

	switch {
	case f.count < 0:
		return errors.New("--count wants a number from 0 up")
	case f.seconds < 0 || f.seconds > maxSeconds:
		return fmt.Errorf("--seconds wants 0 to %d", maxSeconds)
	case modes > 1:
		return errors.New("--raw, --json and --events exclude each other")
	case source == "-" && f.seconds > 0:
		return errors.New("--seconds goes with a socket, not with stdin")
	case source == "-" && f.since != "":
		return errors.New("--since goes with a socket, not with stdin")
	case f.log != "" && f.since == "":
		return errors.New("--log says where --since reads: it needs --since")
	}
	return nil
}

// run follows a sink or socket as the flags say.
func (f *tailFlags) run(cmd *cobra.Command, source string) error {
	ctx := cmd.Context()
	if f.seconds > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(f.seconds)*time.Second)
		defer cancel()
	}
	from, err := findTailed(source, f.config, f.since != "")
	if err != nil {
		return err
	}
	t := &tail{out: bufio.NewWriterSize(cmd.OutOrStdout(), tailBuffer), notes: cmd.ErrOrStderr(), left: f.count}
	onTerminal := isTerminal(os.Stdout)
	if onTerminal && !f.json {
		t.out.Reset(encoded(os.Stdout)) // what is shown is escaped, and has colours
		t.painter = &painter{colour: hasColours(), zone: time.Local}
	}
	if f.json || f.events || f.filter != "" || f.since != "" || (onTerminal && !f.raw) {
		done, err := f.addEvents(t, from, onTerminal)
		if err != nil {
			return err
		}
		defer done()
	}

	if source != "-" {
		return t.follow(ctx, from.socket)
	}
	if _, err := t.copy(ctx, os.Stdin); !errors.Is(err, errDone) {
		return err
	}
	return nil
}

// addEvents makes t put records together to events. done is to be called at the end.
func (f *tailFlags) addEvents(t *tail, from tailed, onTerminal bool) (done func(), err error) {
	done = func() {}
	local := nodes.Fixed("").Load().Local
	v := &eventView{out: t.out, left: f.count, notice: t.note}
	if f.filter != "" {
		compiled, err := filter.CompileWith(f.filter, from.rules)
		if err != nil {
			return done, err
		}
		v.filters = append(v.filters, compiled.New())
		warnOfFilter(f.filter, from.rules)
	}
	if f.since != "" && from.filter != "" {
		compiled, err := filter.CompileWith(from.filter, from.rules)
		if err != nil {
			return done, err
		}
		v.ofSink = compiled.New()
	}
	if f.since != "" {
		since, err := parseWhen("--since", f.since, time.Now())
		if err != nil {
			return done, usageError{err}
		}
		if t.history, err = newHistory(f.log, since, v, local); err != nil {
			return done, err
		}
	}

	known := users.Open()
	for _, m := range append(v.filters, v.ofSink) {
		if m != nil {
			m.Users, m.Local = known, local
		}
	}
	asRecords := f.raw || (!f.json && !f.events && !onTerminal)
	switch {
	case f.json:
		v.asJSON(known, local)
	case asRecords:
		v.asRecords(format.Encoder{}, t.painter) // string
	default:
		v.asText(known, local, onTerminal)
	}
	v.start()
	t.events = v
	return known.Close, nil
}
