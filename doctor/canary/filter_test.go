package canary

import (
	"slices"
	"testing"
	"time"

	"audisp-relay/config"
)

// sink is one of the configuration.
func (f *fake) sink(name string) *config.Sink {
	i := slices.IndexFunc(f.cfg.Sinks, func(s config.Sink) bool { return s.Name == name })
	if i < 0 {
		f.t.Fatalf("no sink %s", name)
	}
	return &f.cfg.Sinks[i]
}

// TestFilterWithoutLog: where auditd writes no log, the relay's counters say that a filter has left the canary out, also of a sink that is
// read.
func TestFilterWithoutLog(t *testing.T) {
	f := newFake(t)
	f.sink("sock").Filter, f.filtered["sock"] = `type == "LOGIN"`, true
	r, err := Run(t.Context(), Options{Config: f.cfg, RunDir: f.dir, Timeout: time.Minute, Send: f.send, Ask: f.ask})
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range r.Arrivals {
		if want := a.Place == "sinks.sock" || a.Place == "sinks.none"; (a.Fate == Filtered) != want {
			t.Errorf("%+v", a)
		}
	}
	if !r.OK {
		t.Errorf("%+v", r)
	}
}

// TestFilterThatAsksForMore than the command knows, processes and names of users: it does not say that a sink does not get what it gets
// a moment later.
func TestFilterThatAsksForMore(t *testing.T) {
	for _, filter := range []string{`parent.exe == "/bin/x"`, `user == "root"`} {
		f := newFake(t)
		f.sink("sock").Filter, f.later = filter, 3
		if _, places := f.run(t, time.Minute); places["sinks.sock"].Fate != Arrived || places["sinks.sock"].By != "read" {
			t.Errorf("%s: %+v", filter, places["sinks.sock"])
		}
	}
}
