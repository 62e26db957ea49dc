package probe

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"audisp-relay/config"
	"audisp-relay/doctor"
	"audisp-relay/plugin"
	"audisp-relay/plugin/consumer"
	"audisp-relay/sinks"
	_ "audisp-relay/sinks/all"
	"audisp-relay/sinks/unix"
)

func parse(t *testing.T, text string) *config.Config {
	t.Helper()
	c, err := config.Parse("test.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// reports returns an Ask that answers with one consumer.
func reports(c consumer.Report) func(string) (*plugin.Report, error) {
	return func(string) (*plugin.Report, error) {
		return &plugin.Report{Pid: 42, Consumers: []consumer.Report{c}}, nil
	}
}

// TestRun: the steps of the sink and what the running relay says of it, in each output.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	cfg := parse(t, fmt.Sprintf("[sinks.p]\ntype = \"program\"\npath = %q\n", dir+"/absent"))
	var steps []string
	r, err := Run(context.Background(), cfg, "p", Options{
		Timeout: time.Minute,
		OnStep:  func(s sinks.Step) { steps = append(steps, s.Name) },
		Ask:     reports(consumer.Report{Name: "p", Delivered: 7}),
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(steps, " "); got != "program relay" || r.OK || r.Sink != "p" || len(r.ID) != 12 {
		t.Errorf("steps %q of %+v", got, r)
	}
	if r.ExitCode(doctor.Text) != 1 || r.ExitCode(doctor.JSON) != 1 || r.ExitCode(doctor.Nagios) != 2 {
		t.Errorf("exit codes %d %d %d", r.ExitCode(doctor.Text), r.ExitCode(doctor.JSON), r.ExitCode(doctor.Nagios))
	}

	var nagios, asJSON, text bytes.Buffer
	if err := errors.Join(r.WriteNagios(&nagios), r.WriteJSON(&asJSON)); err != nil {
		t.Fatal(err)
	}
	if got := nagios.String(); !strings.HasPrefix(got, "AUDISP-RELAY CRITICAL - sink p: program: ") || strings.Count(got, "\n") != 1 || !strings.Contains(got, "| 'program'=") {
		t.Errorf("nagios %q", got)
	}
	var back Result
	if err := json.Unmarshal(asJSON.Bytes(), &back); err != nil || len(back.Steps) != 2 || back.Steps[0].Verdict != sinks.Failed {
		t.Errorf("json %v: %s", err, asJSON.Bytes())
	}
	for _, s := range r.Steps {
		WriteStep(&text, s)
	}
	if !strings.Contains(text.String(), "absent") || !strings.Contains(text.String(), "delivered 7 records") {
		t.Errorf("text %s", text.String())
	}
}

// TestNagiosBar: what a server says adds no performance data.
func TestNagiosBar(t *testing.T) {
	r := &Result{Sink: "siem", Steps: []sinks.Step{{Name: "tls", Verdict: sinks.Failed, Text: "subject \"CN=x | 'tls'=0ms\"", Took: 7}}}
	var b bytes.Buffer
	if err := r.WriteNagios(&b); err != nil || strings.Count(b.String(), "|") != 1 || !strings.HasSuffix(b.String(), "| 'tls'=7.0ms\n") {
		t.Errorf("%v: %q", err, b.String())
	}
}

// TestRelayStep: what the running relay says of the sink counts, too.
func TestRelayStep(t *testing.T) {
	cfg := parse(t, "[sinks.p]\ntype = \"program\"\npath = \"/bin/true\"\n")
	for _, tt := range []struct {
		name, want string
		ask        func(string) (*plugin.Report, error)
		verdict    sinks.Verdict
	}{
		{"well", "delivered 3", reports(consumer.Report{Name: "p", Delivered: 3}), sinks.Passed},
		{"degraded", "no\\x1b[31m server", reports(consumer.Report{Name: "p", Sink: sinks.Status{Degraded: true, Error: "no\x1b[31m server"}}), sinks.Doubt},
		{"suspended", "suspended", reports(consumer.Report{Name: "p", Suspended: true}), sinks.Doubt},
		{"unknown to it", "does not have this sink", reports(consumer.Report{Name: "other"}), sinks.Doubt},
		{"not running", "no relay runs", func(string) (*plugin.Report, error) { return nil, plugin.ErrNotRunning }, sinks.Doubt},
		{"not root", "only root", func(string) (*plugin.Report, error) { return nil, errors.New("only root may ask") }, sinks.Unknown},
	} {
		r, err := Run(context.Background(), cfg, "p", Options{Ask: tt.ask})
		if err != nil {
			t.Fatal(err)
		}
		if s := r.Steps[len(r.Steps)-1]; s.Name != "relay" || s.Verdict != tt.verdict || !strings.Contains(s.Text, tt.want) {
			t.Errorf("%s: %+v", tt.name, s)
		}
	}
}

// TestRelayStepHasClients: who is connected to a socket is shown.
func TestRelayStepHasClients(t *testing.T) {
	cfg := parse(t, "[sinks.u]\ntype = \"unix\"\npath = \"/tmp/absent/s\"\n")
	d := &unix.Details{Clients: []unix.Client{{Pid: 11, UID: 5}, {Pid: 12, UID: 6}}}
	r, err := Run(context.Background(), cfg, "u", Options{Ask: reports(consumer.Report{Name: "u", Sink: sinks.Status{Details: d}})})
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Steps[len(r.Steps)-1].Facts["client"]; !strings.Contains(got, "pid 11 uid 5") || !strings.Contains(got, "; pid 12") {
		t.Errorf("client %q", got)
	}
}

func TestNoSuchSink(t *testing.T) {
	cfg := parse(t, "[sinks.siem]\ntype = \"program\"\npath = \"/bin/true\"\n")
	for name, want := range map[string]string{"simm": "did you mean siem?", "other": "it has siem"} {
		if _, err := Run(context.Background(), cfg, name, Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
