// Package probe tries one sink of the configuration step by step, from the name of its server to the
// acknowledgement of a message, and says how long each step takes and what failed.
//
// The connections of the running relay are not used and not disturbed. The steps are made by the
// sinks' own code (sinks.Try).
package probe

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"audisp-relay/config"
	"audisp-relay/doctor"
	"audisp-relay/plugin"
	"audisp-relay/sinks"
	"audisp-relay/suggest"
)

// DefaultTimeout is how long a step may take.
const DefaultTimeout = 5 * time.Second

// Result is what was found of a sink. The caller owns it.
type Result struct {
	Time  time.Time    `json:"time"`
	Host  string       `json:"host"`
	Sink  string       `json:"sink"`
	Type  string       `json:"type"`
	ID    string       `json:"id"` // of the test message, if one was sent
	OK    bool         `json:"ok"` // no step failed or raised a doubt
	Steps []sinks.Step `json:"steps"`
}

// Options say how a sink is tried.
type Options struct {
	Timeout time.Duration    // of each step, 0: DefaultTimeout
	OnStep  func(sinks.Step) // called after each, in the caller's goroutine; nil: not
	// Ask asks the running relay for its report, nil: plugin.Query.
	Ask func(runDir string) (*plugin.Report, error)
}

// Run tries the sink of that name. The error says that there is no such sink; what is wrong with one
// that there is stands in the Result.
func Run(ctx context.Context, cfg *config.Config, name string, o Options) (*Result, error) {
	sink, err := find(cfg, name)
	if err != nil {
		return nil, err
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Ask == nil {
		o.Ask = plugin.Query
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	r := &Result{Time: time.Now(), Host: doctor.Printable(host), Sink: sink.Name, Type: sink.Type, ID: rand.Text()[:12]}
	t := &sinks.Trial{Timeout: o.Timeout, Sink: sink, ID: r.ID, Host: r.Host}
	t.OnStep = func(s sinks.Step) {
		s = clean(s)
		r.Steps = append(r.Steps, s)
		if o.OnStep != nil {
			o.OnStep(s)
		}
	}

	sinks.Try(ctx, t)
	t.Do(ctx, "relay", func(_ context.Context, s *sinks.Step) error { return askRelay(cfg, sink.Name, o.Ask, s) })
	r.OK = !slices.ContainsFunc(r.Steps, func(s sinks.Step) bool { return s.Verdict == sinks.Failed || s.Verdict == sinks.Doubt })
	return r, nil
}

// find returns the sink of that name.
func find(cfg *config.Config, name string) (config.Sink, error) {
	var names []string
	for i := range cfg.Sinks {
		if cfg.Sinks[i].Name == name {
			return cfg.Sinks[i], nil
		}
		names = append(names, cfg.Sinks[i].Name)
	}
	file := cfg.File
	if file == "" {
		file = config.BuiltIn
	}

	hint := "it has " + strings.Join(names, ", ")
	if near := suggest.Nearest(name, names); near != "" {
		hint = "did you mean " + near + "?"
	}
	if len(names) == 0 {
		hint = "it has none: see audisp-relay check"
	}
	return config.Sink{}, fmt.Errorf("there is no sink %q in %s: %s", name, file, hint)
}

// askRelay adds how the sink is in the running relay: what was tried here is not what runs there.
func askRelay(cfg *config.Config, name string, ask func(string) (*plugin.Report, error), s *sinks.Step) error {
	r, err := ask(cfg.RunDir)
	switch {
	case errors.Is(err, plugin.ErrNotRunning):
		s.Doubt("see why with audisp-relay doctor", "no relay runs with run_dir %s: nothing is delivered now", cfg.RunDir)
		return nil
	case err != nil:
		s.Verdict, s.Text = sinks.Unknown, err.Error()
		return nil
	}

	c := r.Consumer(name)
	if c == nil {
		s.Doubt(fmt.Sprintf("kill -HUP %d, and see audisp-relay status", r.Pid), "the running relay (pid %d) does not have this sink", r.Pid)
		return nil
	}
	s.Text = fmt.Sprintf("the running relay (pid %d) has delivered %d records to it, %d are queued, %d lost", r.Pid, c.Delivered, c.Queued, c.LostTotal)
	addDetails(s, c.Sink.Details)
	switch {
	case c.Suspended:
		s.Doubt("kill -USR2 "+fmt.Sprint(r.Pid), "it is suspended")
	case c.Stopped:
		s.Doubt("kill -USR2 "+fmt.Sprint(r.Pid), "it is stopped, as network_failure_action asks, after: %s", c.Sink.Error)
	case c.Sink.Degraded:
		s.Doubt("", "it has been degraded there since %s: %s", c.Sink.Since.Format(time.RFC3339), c.Sink.Error)
	}
	return nil
}

// addDetails adds what the status has of a sink of that type: its clients, or messages sent again.
func addDetails(s *sinks.Step, d sinks.Details) {
	if d == nil {
		return
	}
	d.WriteText(func(key string, value any) {
		text := fmt.Sprint(value)
		if more := s.Facts[key]; more != "" {
			text = more + "; " + text
		}
		s.Fact(key, "%.2000s", text)
	})
}

// clean makes the texts of a step printable: servers, paths and processes choose them.
func clean(s sinks.Step) sinks.Step {
	s.Text, s.Fix = doctor.Printable(s.Text), doctor.Printable(s.Fix)
	facts := make(map[string]string, len(s.Facts))
	for name, value := range s.Facts {
		facts[name] = doctor.Printable(value)
	}
	s.Facts = facts
	return s
}
