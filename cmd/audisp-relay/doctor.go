package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"audisp-relay/doctor"
)

// doctorRun is what the flags of doctor say.
type doctorRun struct {
	gatherer doctor.Gatherer
	format   string
	every    time.Duration
	list     bool
	modes    doctorModes
}

// newDoctorCmd is `audisp-relay doctor`.
func newDoctorCmd() *cobra.Command {
	run := doctorRun{gatherer: doctor.Gatherer{Version: version, Limits: doctor.DefaultLimits()}}
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Look for what is wrong between the kernel and the sinks, and say what to do",
		Long: `doctor looks at the kernel's audit, at auditd, its plugin files and its log, at the
running relay and its sinks, and at what stands beside them: disks, journald, the
sandbox of auditd's unit, denials of SELinux. For each thing that is wrong it prints a
finding: a stable code (a section of audisp-relay-doctor(8) each), a text, where it was
seen, and the command that ends it. What follows from another finding is left out.
It changes nothing and makes auditd do nothing. It should run as root.

Exit code 0 when nothing is worse than info, 1 when there are findings, 2 for a wrong
command line. With --format nagios: 0 ok, 1 warning, 2 critical, 3 unknown, which is
also what a failure or a wrong option after it is.`,
		Args: func(cmd *cobra.Command, args []string) error { return run.answer(cmd, noArgs(cmd, args)) },
		RunE: func(cmd *cobra.Command, _ []string) error { return run.answer(cmd, run.run(cmd)) },
	}
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return run.answer(cmd, wrongFlag(cmd, err)) })
	flags := cmd.Flags()
	flags.StringVar(&run.format, "format", "text", "text, json, nagios or prometheus")
	flags.DurationVar(&run.every, "every", 0, "look again after this `TIME`, until stopped; with --format json a report a line")
	flags.BoolVar(&run.list, "list", false, "print the codes of all findings there can be")
	g := &run.gatherer
	flags.StringVar(&g.Config, "config", "", "the relay's configuration, a `FILE` or its directory (default: that of the plugin file)")
	flags.StringVar(&g.RunDir, "run-dir", "", "run_dir of the relay, a `DIR` (default: that of the relay that runs)")
	flags.StringVar(&g.ConfDir, "conf-dir", "", "auditd's configuration `DIR` where no auditd runs (default /etc/audit)")
	run.modes.addFlags(cmd)
	addLimitFlags(cmd, &g.Limits)
	return cmd
}

// answer is err, but that a server of Nagios gets one of its own kind: it reads stdout, and would take the exit code of a failure for a
// warning, and that of a wrong command line for a critical state of the host.
func (d *doctorRun) answer(cmd *cobra.Command, err error) error {
	if err == nil || doctor.Format(d.format) != doctor.Nagios || errors.As(err, new(exitError)) {
		return err
	}
	return exitWith(doctor.WriteNagiosUnknown(cmd.OutOrStdout(), err))
}

// addLimitFlags adds the numbers from which on something is a finding.
func addLimitFlags(cmd *cobra.Command, l *doctor.Limits) {
	flags := cmd.Flags()
	flags.IntVar(&l.Backlog, "min-backlog", l.Backlog, "`RECORDS` that the kernel's queue has to hold")
	flags.IntVar(&l.BacklogFilled, "max-backlog-use", l.BacklogFilled, "`PERCENT` of the kernel's queue that may be used")
	flags.IntVar(&l.Lost, "max-lost", l.Lost, "`RECORDS` that the kernel may have lost")
	flags.DurationVar(&l.Retention, "min-retention", l.Retention, "`TIME` that audit.log has to reach back at the present rate")
	flags.DurationVar(&l.Spool, "min-spool", l.Spool, "`TIME` that a spool has to last at the present rate")
	flags.IntVar(&l.SpoolUse, "max-spool-use", l.SpoolUse, "`PERCENT` of a spool that may be used")
	flags.DurationVar(&l.Delay, "max-delay", l.Delay, "`TIME` that the oldest record may wait for a sink")
	flags.DurationVar(&l.StreamBehind, "max-behind", l.StreamBehind, "`TIME` that the stream may be behind audit.log")
	flags.DurationVar(&l.Certificate, "min-certificate", l.Certificate, "`TIME` that certificates have to be valid")
	flags.DurationVar(&l.ClockStep, "max-clock-step", l.ClockStep, "`TIME` by which the clock may have been changed")
	flags.IntVar(&l.Loop, "max-feedback", l.Loop, "`PERCENT` of the records of audit.log that may be about the relay")
	flags.IntVar(&l.DiskFree, "min-free", l.DiskFree, "`PERCENT` of the disk that full spools have to leave free")
	flags.DurationVar(&l.LostWithin, "lost-within", l.LostWithin, "losses and crashes of the last `TIME` are findings")
	flags.DurationVar(&l.DeniedWithin, "denied-within", l.DeniedWithin, "denials of the last `TIME` are findings")
}

// run looks once, or again and again.
func (d *doctorRun) run(cmd *cobra.Command) error {
	out := cmd.OutOrStdout()
	format, err := doctor.ParseFormat(d.format)
	switch {
	case d.list:
		return doctor.WriteList(out)
	case err != nil:
		return usageError{fmt.Errorf("--format: %w", err)}
	case d.every < 0 || (d.every > 0 && d.every < time.Second):
		return usageError{errors.New("--every: want a second at least")}
	}

	style := doctor.Style{Format: format, Line: d.every > 0}
	if t := terminalOf(out); t != nil && hasColours() {
		style.Colour = true
		out = t.w // a report is printable but for its colours
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends what does not come to its end, as on a disk that hangs
	if done, err := d.modes.run(ctx, cmd, &d.gatherer, format); done {
		return err
	}
	if d.every > 0 {
		return d.repeat(ctx, out, style)
	}
	stop() // a signal ends a single look at once
	r := doctor.Diagnose(d.gatherer.Gather(context.Background()), doctor.Checks())
	if err := r.Write(out, style); err != nil {
		return err
	}
	return exitWith(r.ExitCode(format))
}

// repeat looks every so often until ctx ends. Its exit code is that of the last report. A look that was
// under way then is left out: what it asks may have ended with ctx.
func (d *doctorRun) repeat(ctx context.Context, out io.Writer, style doctor.Style) error {
	var history doctor.History
	tick := time.NewTicker(d.every)
	defer tick.Stop()
	code := 0

	for {
		facts := d.gatherer.Gather(ctx)
		if ctx.Err() != nil {
			return exitWith(code)
		}
		r := doctor.Diagnose(facts, doctor.Checks())
		history.Settle(r)
		code = r.ExitCode(style.Format)
		if style.Format == doctor.Text {
			fmt.Fprintf(out, "%s\n", r.Time.Format(time.DateTime))
		}
		if err := r.Write(out, style); err != nil {
			return err
		}

		select {
		case <-ctx.Done():
			return exitWith(code)
		case <-tick.C:
		}
	}
}

// exitWith is an error that ends the program with the code, nil for 0.
func exitWith(code int) error {
	if code == 0 {
		return nil
	}
	return exitError{code}
}
