package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"audisp-relay/config"
	"audisp-relay/format"
	"audisp-relay/plugin"
	"audisp-relay/sinks"
)

func newReplayCmd() *cobra.Command {
	var path, name, shape, log string
	cmd := &cobra.Command{
		Use:   "replay [INPUT...]",
		Short: "Run log files or captured streams through the relay, to stdout or to a sink",
		Long: `replay reads log files or captured dispatcher streams, string or binary, gzip or
not ("-" or nothing: stdin), and sends them through the same pipeline as a live
stream: to stdout, or with --sink to that sink of the configuration.

With --log, records that the inputs lack, or have only in part, are taken from
that audit.log, as the plugin does it from auditd's; what is missing there too is
marked as lost.`,
		RunE: func(_ *cobra.Command, inputs []string) error {
			if len(inputs) == 0 {
				inputs = []string{"-"}
			}
			return replay(path, name, shape, log, inputs)
		},
	}
	cmd.Flags().StringVarP(&path, "config", "c", config.DefaultFile, "configuration `FILE` that --sink is looked up in")
	cmd.Flags().StringVar(&name, "sink", "", "deliver to the sink of this `NAME` instead of stdout")
	cmd.Flags().StringVar(&shape, "format", "string", "format on stdout: string or binary")
	cmd.Flags().StringVar(&log, "log", "", "audit.log, a `FILE`, to take what the inputs lack from")
	return cmd
}

func replay(path, name, shape, log string, inputs []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	sink, err := replaySink(path, name, shape, fail)
	if err != nil {
		return err
	}
	done, err := plugin.Replay(ctx, inputs, log, sink)
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	if errors.Is(err, syscall.EPIPE) { // head has had enough
		return nil
	}
	in := done.In
	fmt.Fprintf(os.Stderr, "%d records, %d without id, %d overlong lines, %d bytes that were no record\n",
		in.Records, in.NoID, in.Oversize, in.Junk)
	if l := done.Log; l != nil {
		fmt.Fprintf(os.Stderr, "%d records from %s that the input lacks, %d that it has damaged; %d events are in neither\n",
			l.Recovered, log, l.Mended, l.LostHoles)
	}
	return err
}

func replaySink(path, name, shape string, fail context.CancelCauseFunc) (sinks.Sink, error) {
	if name == "" {
		f, err := format.Parse(shape)
		if err != nil {
			return nil, usageError{err}
		}
		signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) // an error from write instead
		return plugin.WriterSink(os.Stdout, format.Encoder{Format: f}, fail), nil
	}
	cfg, _, err := config.Load(path)
	if err != nil {
		reportConfigError(os.Stderr, err)
		return nil, exitError{1}
	}
	log, err := stderrLog()
	if err != nil {
		return nil, err
	}
	return plugin.SinkOf(cfg, name, log)
}

// stderrLog writes a line for each message: no stack traces, no places in the
// code.
func stderrLog() (*zap.Logger, error) {
	return zap.NewDevelopment(zap.WithCaller(false), zap.AddStacktrace(zap.FatalLevel))
}
