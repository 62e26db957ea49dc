package test

import (
	"encoding/json"
	"errors"
	"os/exec"
	"strings"
	"testing"

	"audisp-relay/doctor/canary"
	"audisp-relay/test/lab"
)

// canarySinks are one of each way in which the arrival is found out.
const canarySinks = `
[sinks.socket]
type = "unix"
path = "DIR/sock"
group = "root"
[sinks.held]
type = "unix"
path = "DIR/held"
group = "root"
when_idle = "queue"
[sinks.file]
type = "file"
path = "DIR/out"
format = "json"
[sinks.child]
type = "program"
path = "/bin/cat"
[sinks.none]
type = "file"
path = "DIR/none"
filter = "type == \"LOGIN\""
`

// TestLiveDoctorCanary: the command's record comes from the kernel through auditd to every sink, and
// what is said of each sink is true.
func TestLiveDoctorCanary(t *testing.T) {
	l := startLive(t, canarySinks, lab.Options{}, "string")
	l.Drain(l.path("out"))
	fly := func() (r canary.Result, code int) {
		cmd := exec.Command(l.path("audisp-relay"), "doctor", "--canary", "--format", "json", "--config", l.path("relay.toml"), "--run-dir", l.path("run"))
		out, err := cmd.Output()
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			code = exit.ExitCode()
		} else if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(out, &r); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return r, code
	}

	l.follow("held", "held", "client") // with a client nothing waits
	r, code := fly()
	if code != 0 || !r.OK || !strings.Contains(r.Record, "type=USER ") || !strings.Contains(r.Record, r.ID) {
		t.Fatalf("exit code %d: %+v", code, r)
	}
	want := map[string]string{
		"audit.log": "arrived read", "relay": "arrived counters", "sinks.socket": "arrived read", "sinks.held": "arrived counters",
		"sinks.file": "arrived read", "sinks.child": "arrived counters", "sinks.none": "filtered ",
	}
	for _, a := range r.Arrivals {
		if got := string(a.Fate) + " " + a.By; got != want[a.Place] {
			t.Errorf("%s: %+v, want %s", a.Place, a, want[a.Place])
		}
		if a.By != "" && a.MS <= 0 {
			t.Errorf("%s: after %v ms", a.Place, a.MS)
		}
		delete(want, a.Place)
	}
	if len(want) > 0 {
		t.Errorf("nothing was said of %v", want)
	}
}
