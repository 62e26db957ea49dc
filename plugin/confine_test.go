package plugin

import (
	"errors"
	"os"
	"strings"
	"testing"

	"audisp-relay/config"
)

// TestRunsPrograms: only what starts a program keeps the sandbox from refusing all of them.
func TestRunsPrograms(t *testing.T) {
	for _, tt := range []struct{ name, config, directory, want string }{
		{"the default", "q_depth = 7\n", "", ""},
		{"the default, with a directory", "q_depth = 7\n", "sss", ""},
		{"lines", "[sinks.f]\ntype = 'file'\npath = '/x'\n", "sss", ""},
		{"a format with names", "[sinks.f]\ntype = 'file'\npath = '/x'\nformat = 'json'\n", "", ""},
		{"names of a directory", "[sinks.f]\ntype = 'file'\npath = '/x'\nformat = 'json'\n", "sss", "sinks.f may need names of users from sss"},
		{"in a filter", "[sinks.f]\ntype = 'file'\npath = '/x'\nfilter = 'uid == 0'\n", "ldap", "from ldap"},
		{"a program", "[sinks.p]\ntype = 'program'\npath = '/sbin/x'\n", "", "sinks.p runs /sbin/x"},
		{"halt", "[sinks.f]\ntype = 'file'\npath = '/x'\noverflow_action = 'halt'\n", "", "an action of sinks.f runs /sbin/init"},
		{"single, of all", "overflow_action = 'single'\n", "", "an action of sinks.local runs /sbin/init"},
		{"a full disk", "[sinks.f]\ntype = 'file'\npath = '/x'\ndisk_full_action = 'exec /sbin/x'\n", "", "sinks.f runs /sbin/x"},
		{"no server", "[sinks.s]\ntype = 'syslog'\nnetwork_failure_action = 'single'\n", "", "sinks.s runs /sbin/init"},
		{"actions without programs", "[sinks.s]\ntype = 'syslog'\nnetwork_failure_action = 'suspend'\ndisk_full_action = 'syslog'\n", "", ""},
		{"halt that never comes", "[sinks.f]\ntype = 'file'\npath = '/x'\noverflow_action = 'halt'\nqos = 'lossless'\n", "", ""},
	} {
		cfg, err := config.Parse("t.toml", []byte(tt.config))
		if err != nil {
			t.Fatal(tt.name, err)
		}
		got := runsPrograms(cfg, tt.directory)
		if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// TestErrorsLeavePrograms: what a wrong configuration left out may be a program, which a reload brings.
func TestErrorsLeavePrograms(t *testing.T) {
	p := &Plugin{cfg: config.Default()}
	if why := p.programs(); why != "" {
		t.Errorf("the default: %s", why)
	}
	p.cfgErr = errors.New("t.toml:1: x")
	if p.programs() == "" {
		t.Error("with errors no program may be started")
	}
}

// TestHeritage: what is left is taken, once, and what is none is nothing.
func TestHeritage(t *testing.T) {
	left := heritage{NoPrograms: true, Auditd: "3.0.9", Buffer: 7, Worker: true, Early: 3}
	name, text, _ := strings.Cut(left.leave()[0], "=")
	t.Setenv(name, text)
	if h := takeHeritage(); h != left || os.Getenv(heritageEnv) != "" {
		t.Errorf("%+v from %q", h, text)
	}
	for _, text := range []string{"", "{", "1", `{"buffer": "x", "no_programs": true}`, "\xff"} {
		t.Setenv(heritageEnv, text)
		if h := takeHeritage(); h != (heritage{}) {
			t.Errorf("%q: %+v", text, h)
		}
	}
}

// TestNotConfinedHere: a plugin whose stream is given to it leaves its process as it is.
func TestNotConfinedHere(t *testing.T) {
	p, w, end := run(t, "[sinks.f]\ntype = 'file'\npath = 'DIR/out'\n", nil)
	w.Write(records(1)) // it reads, so it has begun
	r := p.Report()
	end()
	if r.Sandbox.On || r.Sandbox.Parts == nil || len(r.Sandbox.Parts) > 0 {
		t.Errorf("%+v", r.Sandbox)
	}
}
