package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"audisp-relay/config"
	"audisp-relay/doctor"
	"audisp-relay/doctor/bundle"
	"audisp-relay/doctor/canary"
	"audisp-relay/doctor/probe"
	"audisp-relay/doctor/stig"
	"audisp-relay/plugin"
	"audisp-relay/sinks"
)

// doctorModes are the flags by which doctor does something else than its checks.
type doctorModes struct {
	sink    string
	canary  bool
	timeout time.Duration
	bundle  string
	profile string
}

// addFlags adds the flags.
func (m *doctorModes) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&m.sink, "sink", "", "instead: try the sink of this `NAME` step by step, and send it a test message")
	flags.BoolVar(&m.canary, "canary", false, "instead: make an audit record, and time it through auditd to every sink")
	flags.DurationVar(&m.timeout, "timeout", 0, "`TIME` for each step of --sink (default 5s), and for --canary (default 10s)")
	flags.StringVar(&m.bundle, "bundle", "", "instead: write what a maintainer needs to a new `FILE`, without names, addresses, arguments and records")
	flags.StringVar(&m.profile, "profile", "", "instead: print the evidence for the rules of a profile, `NAME`: stig")

	// It fails for a flag that there is not.
	_ = cmd.RegisterFlagCompletionFunc("profile", cobra.FixedCompletions([]cobra.Completion{"stig"}, cobra.ShellCompDirectiveNoFileComp))
}

// chosen reports whether one of the flags is set, and what is wrong with them.
func (m *doctorModes) chosen(cmd *cobra.Command, f doctor.Format) (bool, error) {
	flags := cmd.Flags()
	var set []string
	for _, name := range []string{"sink", "canary", "bundle", "profile"} {
		if flags.Changed(name) {
			set = append(set, "--"+name)
		}
	}

	both := len(set) == 2 && set[0] == "--sink" && set[1] == "--canary"
	switch {
	case flags.Changed("timeout") && m.sink == "" && !m.canary:
		return true, errors.New("--timeout has an effect with --sink and --canary only")
	case m.timeout < 0:
		return true, errors.New("--timeout: want a time of more than 0")
	case len(set) == 0:
		return false, nil
	case len(set) > 1 && !both:
		return true, fmt.Errorf("%s and %s cannot be used together", set[0], set[1])
	case flags.Changed("every"), flags.Changed("list"):
		return true, fmt.Errorf("--every and --list have no effect with %s", set[0])
	case flags.Changed("profile") && m.profile != "stig":
		return true, fmt.Errorf("--profile: there is no profile %q, only stig", m.profile)
	case f == doctor.Prometheus, f == doctor.Nagios && !flags.Changed("sink"):
		return true, fmt.Errorf("--format %s is not one of %s", f, set[0])
	}
	return true, nil
}

// run does what the flags say; done is false where none of them is set.
func (m *doctorModes) run(ctx context.Context, cmd *cobra.Command, g *doctor.Gatherer, f doctor.Format) (done bool, err error) {
	done, err = m.chosen(cmd, f)
	if !done || err != nil {
		if err != nil {
			err = usageError{err}
		}
		return done, err
	}
	facts := g.Gather(ctx)
	out := cmd.OutOrStdout()
	switch {
	case m.bundle != "":
		return true, m.writeBundle(out, g, facts, f)
	case m.profile != "":
		return true, writeProfile(out, facts, f)
	}

	cfg, err := configOf(facts, g.RunDir)
	if err != nil {
		return true, err
	}
	code := 0
	if m.sink != "" {
		if code, err = m.trySink(ctx, out, cfg, f); err != nil {
			return true, err
		}
	}
	if m.canary {
		more, err := m.flyCanary(ctx, out, cfg, facts, f)
		if err != nil {
			return true, err
		}
		code = max(code, more)
	}
	return true, exitWith(code)
}

// configOf is the configuration that the relay would use: as far as it has no error, and the
// built-in one where there is no file. Its run_dir is that of the relay that answers.
func configOf(f *doctor.Facts, runDir string) (*config.Config, error) {
	cfg := config.Default()
	switch {
	case errors.Is(f.Config.Err, fs.ErrNotExist):
	case f.Config.Value == nil:
		return nil, f.Config.Err
	default:
		known := *f.Config.Value
		cfg = &known
	}

	if runDir != "" {
		cfg.RunDir = runDir
	} else if _, err := plugin.Query(cfg.RunDir); err != nil {
		if dir, err := plugin.Find(); err == nil {
			cfg.RunDir = dir
		}
	}
	return cfg, nil
}

// trySink tries one sink. Its steps are shown as they end.
func (m *doctorModes) trySink(ctx context.Context, out io.Writer, cfg *config.Config, f doctor.Format) (code int, err error) {
	o := probe.Options{Timeout: m.timeout}
	if f == doctor.Text {
		fmt.Fprintf(out, "sink %s of %s\n", doctor.Printable(m.sink), cmp.Or(cfg.File, config.BuiltIn))
		o.OnStep = func(s sinks.Step) { probe.WriteStep(out, s) }
	}
	r, err := probe.Run(ctx, cfg, m.sink, o)
	if err != nil {
		return 0, err
	}

	switch f {
	case doctor.JSON:
		err = r.WriteJSON(out)
	case doctor.Nagios:
		err = r.WriteNagios(out)
	}
	return r.ExitCode(f), err
}

// flyCanary makes a record, and prints where it has come.
func (m *doctorModes) flyCanary(ctx context.Context, out io.Writer, cfg *config.Config, facts *doctor.Facts, f doctor.Format) (code int, err error) {
	o := canary.Options{Config: cfg, RunDir: cfg.RunDir, Timeout: m.timeout}
	o.Log = canaryLog(facts)
	r, err := canary.Run(ctx, o)
	if err != nil {
		return 0, err
	}

	if !r.OK {
		code = doctor.ExitFinding
	}
	if f == doctor.JSON {
		return code, r.WriteJSON(out)
	}
	return code, r.WriteText(out)
}

// canaryLog is the log in which auditd writes the record, "" where it writes none.
func canaryLog(facts *doctor.Facts) string {
	if facts.Log.Value.Why != "" {
		return ""
	}
	return facts.Auditd.Value.Conf.LogFile
}

// writeBundle writes the bundle, and lists what is in it.
func (m *doctorModes) writeBundle(out io.Writer, g *doctor.Gatherer, facts *doctor.Facts, f doctor.Format) error {
	file := config.FileOf(g.Config)
	if facts.Config.Value != nil {
		file = cmp.Or(facts.Config.Value.File, file)
	}
	path, err := filepath.Abs(m.bundle)
	if err != nil {
		return err
	}

	entries, err := bundle.Write(path, bundle.New(file, facts, doctor.Diagnose(facts, doctor.Checks())))
	if err != nil {
		return err
	}
	if f == doctor.JSON {
		return bundle.WriteJSON(out, path, entries)
	}
	fmt.Fprintf(out, "%s (mode 0600) has:\n", path)
	bundle.WriteText(out, entries)
	fmt.Fprintln(out, "Look through it before you send it.")
	return nil
}

// writeProfile answers the rules of the STIGs.
func writeProfile(out io.Writer, facts *doctor.Facts, f doctor.Format) error {
	answers := stig.Evaluate(stig.New(facts))
	host, err := os.Hostname()
	if err == nil && f == doctor.JSON {
		err = stig.WriteJSON(out, answers, doctor.Printable(host), facts.Now)
	} else if err == nil {
		err = stig.WriteText(out, answers)
	}
	if err == nil && stig.Count(answers, stig.Gap) > 0 {
		err = exitWith(doctor.ExitFinding)
	}
	return err
}
