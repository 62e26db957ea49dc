package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"audisp-relay/audit/process"
	"audisp-relay/config"
	"audisp-relay/filter"
	"audisp-relay/format"
	"audisp-relay/host"
	"audisp-relay/plugin/replay"
)

func newReplayCmd() *cobra.Command {
	var path, name, shape string
	var from replay.Stored
	var explain bool
	cmd := &cobra.Command{
		Use:   "replay [INPUT...]",
		Short: "Run log files, captured streams or stored events through the relay, to stdout or to a sink",
		Long: `replay reads log files or captured dispatcher streams, string or binary, also
compressed with gzip, xz, zstd or bzip2 ("-" or nothing: stdin), and sends them
through the same pipeline as a live stream: to stdout, or with --sink to that sink
of the configuration. A log and its rotations are read oldest first, in whatever
order they are named: audit.log* is audit.log.2, audit.log.1, audit.log.

It reads events, too, as a sink with format json, ocsf or laurel has written them,
and makes the records of them again, so that ausearch and aureport can read what
was shipped:

    audisp-relay replay events.json | ausearch -i

With --log, records that the inputs lack, or have only in part, are taken from
that audit.log, as the plugin does it from auditd's; what is missing there too is
marked as lost.`,
		Args: anyArgs,
		RunE: func(cmd *cobra.Command, inputs []string) error {
			if name == "" && !cmd.Flags().Changed("config") {
				path = "" // no configuration is needed
			}
			if len(inputs) == 0 {
				inputs = []string{"-"}
			}
			from.Inputs, from.Wrong = oldestFirst(inputs), reportWrong(safe(os.Stderr))
			if !slices.Equal(from.Inputs, inputs) {
				fmt.Fprintf(safe(os.Stderr), "reading oldest first: %s\n", strings.Join(from.Inputs, " "))
			}
			if explain {
				return explainReplay(path, name, from)
			}
			return runReplay(path, name, shape, from)
		},
	}
	cmd.Flags().StringVarP(&path, "config", "c", config.DefaultFile, "configuration `FILE`, or its directory, that --sink is looked up in, and whose rules are asked where it is named")
	cmd.Flags().StringVar(&name, "sink", "", "deliver to the sink of this `NAME` instead of stdout")
	cmd.Flags().StringVar(&shape, "format", "string", "`FORMAT` on stdout: "+strings.Join(format.Names(), ", "))
	cmd.Flags().StringVar(&from.Filter, "filter", "", "deliver only events that this `EXPR` holds for, in place of the sink's own filter")
	cmd.Flags().BoolVar(&explain, "explain", false, "deliver nothing: print what there is by key, type and executable, and what the filter leaves out and why")
	cmd.Flags().StringVar(&from.Log, "log", "", "audit.log, a `FILE`, to take what the inputs lack from")
	return cmd
}

func runReplay(path, name, shape string, from replay.Stored) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	to, err := replaySink(path, name, shape, fail)
	if err != nil {
		return err
	}

	from.Format, from.Sink, from.Rules, from.Labels, from.Events, from.Processes = to.Format, to.Sink, to.Rules, to.Labels, to.Events, to.Processes
	from.Filter = cmp.Or(from.Filter, to.Filter)
	warnOfFilter(from.Filter, from.Rules)
	done, err := replay.Run(ctx, from)
	if _, wrong := errors.AsType[*filter.Error](err); wrong {
		return err
	}

	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	if errors.Is(err, syscall.EPIPE) { // head has had enough
		return nil
	}
	in := done.In
	notes := safe(os.Stderr)
	if err == nil {
		err = wrongLines(done)
	}
	fmt.Fprintf(notes, "%d records, %d without id, %d overlong lines, %d bytes that were no record\n",
		in.Records, in.NoID, in.Oversize, in.Junk)
	if from.Filter != "" {
		fmt.Fprintf(notes, "%d records left out by the filter, %d events it failed on and let through\n", done.Filtered, done.Failed)
		if done.Unread > 0 {
			fmt.Fprintf(notes, "%d records that cannot be read pass the filter; likely cause: %s\n", done.Unread, done.Cause)
		}
	}

	if l := done.Log; l != nil {
		fmt.Fprintf(notes, "%d records from %s that the input lacks, %d that it has damaged; %d events are in neither\n",
			l.Recovered, from.Log, l.Mended, l.LostHoles)
	}
	return err
}

// maxWrong is how many lines that are no events are reported one by one.
const maxWrong = 10

// reportWrong returns a function that reports lines that are no events, the first of them.
func reportWrong(notes io.Writer) func(error) {
	n := 0
	return func(err error) {
		switch n++; {
		case n <= maxWrong:
			fmt.Fprintf(notes, "%.500s\n", config.OneLine(err.Error())) // it may show a value of the line
		case n == maxWrong+1:
			fmt.Fprintln(notes, "more lines that are no events are counted only")
		}
	}
}

// wrongLines says how many lines of events were none, nil for none.
func wrongLines(done replay.Result) error {
	if done.Wrong == 0 {
		return nil
	}
	return fmt.Errorf("left out what is no event: %s", count(done.Wrong, "line"))
}

// warnOfFilter says what is most likely wrong with a filter. What is an error says Replay.
func warnOfFilter(src string, rules *filter.RuleSet) {
	if f, err := filter.CompileWith(src, rules); err == nil {
		for _, w := range f.Warnings() {
			fmt.Fprintf(safe(os.Stderr), "warning: filter: %v\n", w)
		}
	}
}

// explainReplay prints what a filter, the given one or that of a sink, does.
func explainReplay(path, name string, from replay.Stored) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	from.Processes = new(process.Current)
	if path != "" {
		to, err := replaySink(path, name, "string", nil)
		if err != nil {
			return err
		}
		from.Filter, from.Rules, from.Labels, from.Processes = cmp.Or(from.Filter, to.Filter), to.Rules, to.Labels, to.Processes
	}

	warnOfFilter(from.Filter, from.Rules)
	x, done, err := replay.Explain(ctx, from)
	if err != nil {
		return err
	}
	if err := wrongLines(done); err != nil {
		fmt.Fprintf(safe(os.Stderr), "warning: %v\n", err)
	}
	if done.In.NoID > 0 {
		fmt.Fprintf(safe(os.Stderr), "%d records without id, each counted as an event\n", done.In.NoID)
	}
	return x.WriteText(safe(os.Stdout))
}

// replaySink returns the sink of a configuration, or standard output. Without a path there is no configuration.
func replaySink(path, name, shape string, fail context.CancelCauseFunc) (to replay.Stored, err error) {
	var cfg *config.Config
	if path != "" {
		if cfg, _, err = config.Load(config.FileOf(path), host.AuditLogs(os.Getppid())...); err != nil {
			reportConfigError(safe(os.Stderr), err)
			return to, exitError{1}
		}
	}
	if name != "" {
		return replay.SinkOf(cfg, name, stderrLog())
	}

	kind, err := format.Parse(shape)
	if err != nil {
		return to, usageError{err}
	}
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) // an error from write instead
	if cfg == nil {
		return replay.WriterSink(safe(os.Stdout), kind, nil, fail), nil
	}
	to = replay.WriterSink(safe(os.Stdout), kind, cfg.Rules, fail)
	to.Labels = cfg.Labels
	return to, nil
}

// stderrLog writes a line for each message: no stack traces, no places in the
// code.
func stderrLog() *zap.Logger {
	enc := zapcore.NewConsoleEncoder(zap.NewDevelopmentEncoderConfig())
	return zap.New(zapcore.NewCore(enc, zapcore.Lock(zapcore.AddSync(safe(os.Stderr))), zap.DebugLevel))
}
