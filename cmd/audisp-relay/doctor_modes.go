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
}

// chosen reports whether one of the flags is set, and what is wrong with them.
func (m *doctorModes) chosen(cmd *cobra.Command, f doctor.Format) (bool, error) {
	flags := cmd.Flags()
	var set []string
	for _, name := range []string{"sink", "canary", "bundle", "profile"} {
		if flags.Changed(name) && (name != "canary" || m.canary) {
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
	case f == doctor.Prometheus, f == doctor.Nagios && set[len(set)-1] != "--sink": // Nagios takes one line, of one service
		return true, fmt.Errorf("--format %s is not one of %s", f, set[len(set)-1])
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
	return true, m.try(ctx, out, cfg, facts, f)
}

// try tries a sink, a record, or both, one after the other.
func (m *doctorModes) try(ctx context.Context, out io.Writer, cfg *config.Config, facts *doctor.Facts, f doctor.Format) error {
	var tried *probe.Result
	var flown *canary.Result
	var err error
	code := 0
	if m.sink != "" {
		if tried, err = m.trySink(ctx, out, cfg, f); err != nil {
			return err
		}
		code = tried.ExitCode(f)
	}

	if m.canary {
		o := canary.Options{Config: cfg, RunDir: cfg.RunDir, Timeout: m.timeout, Log: canaryLog(facts)}
		if flown, err = canary.Run(ctx, o); err == nil && !flown.OK {
			code = max(code, doctor.ExitFinding)
		}
	}
	err = cmp.Or(err, writeTried(out, f, tried, flown)) // the sink's steps are printed even so
	return cmp.Or(err, exitWith(code))
}

// writeTried prints what came out of --sink and --canary, nil where there is none, but for the steps, which as text are
// printed already. JSON is one object, that of the canary within that of the sink.
func writeTried(out io.Writer, f doctor.Format, tried *probe.Result, flown *canary.Result) error {
	switch {
	case f == doctor.Nagios && tried != nil:
		return tried.WriteNagios(out)
	case f == doctor.JSON && tried != nil:
		return doctor.WriteJSON(out, struct {
			*probe.Result
			Canary *canary.Result `json:"canary,omitempty"`
		}{tried, flown})
	case flown == nil:
		return nil
	case f == doctor.JSON:
		return flown.WriteJSON(out)
	}
	return flown.WriteText(out)
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

// trySink tries one sink. As text its steps are shown as they end.
func (m *doctorModes) trySink(ctx context.Context, out io.Writer, cfg *config.Config, f doctor.Format) (*probe.Result, error) {
	o := probe.Options{Timeout: m.timeout}
	if f == doctor.Text {
		fmt.Fprintf(out, "sink %s of %s\n", doctor.Printable(m.sink), cmp.Or(cfg.File, config.BuiltIn))
		o.OnStep = func(s sinks.Step) { probe.WriteStep(out, s) }
	}
	return probe.Run(ctx, cfg, m.sink, o)
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
