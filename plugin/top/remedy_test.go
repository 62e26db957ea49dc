package top

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"audisp-relay/filter"
)

// TestRemediesAreUsable: whatever names come, a filter compiles and holds for all but what it is
// against, and a rule has no byte that a shell or auditctl treats as another.
func TestRemediesAreUsable(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		name := string(rapid.SliceOfN(rapid.SampledFrom([]byte("ab/.-_:$`'\"\\ ;&|<>=!*\x00\x01\x1b\xff\n0")), 1, 20).Draw(rt, "name"))
		name = rapid.SampledFrom([]string{"", "/", "unit=", "subj="}).Draw(rt, "prefix") + name
		for by := range By {
			if by == byUser {
				continue // these names are the relay's own
			}
			m := Remedy{By: By[by], Name: name}
			advise[by](&m, name, Part{Share: 1, Messages: float64(rapid.IntRange(0, 1).Draw(rt, "messages"))})
			for _, line := range []string{m.Load, m.RulesD} {
				for _, word := range strings.Fields(line) {
					if !plain().MatchString(strings.Replace(word, "=", "", 1)) {
						rt.Fatalf("%q: %q", name, line)
					}
				}
			}
			if m.Filter != "" {
				if _, err := filter.Compile(m.Filter); err != nil {
					rt.Fatalf("%q: %s: %v", name, m.Filter, err)
				}
			}
			if m.Load == "" && m.Note == "" {
				rt.Fatalf("%q by %s: neither a rule nor why", name, By[by])
			}
		}
	})
}

// TestInterpreters are recognised with their versions, and others that begin alike are none.
func TestInterpreters(t *testing.T) {
	for name, want := range map[string]bool{"/usr/bin/python3.11": true, "/usr/bin/php8.2": true, "/usr/bin/ruby3.1": true, "/usr/bin/lua5.4": true, "/bin/bash": true, "/usr/bin/mawk": true,
		"/usr/bin/pythonista": false, "/usr/bin/ssh": false, "/opt/7.0": false} {
		m := Remedy{}
		adviseExe(&m, name, Part{})
		if got := strings.HasPrefix(m.Hides, "all that anyone runs with it, "); got != want {
			t.Errorf("%s: %v: %+v", name, got, m)
		}
	}
}

// TestRemedies names the rules for what there is on a host.
func TestRemedies(t *testing.T) {
	for _, c := range []struct {
		by                  int
		name                string
		messages            float64
		rule, load, filters string
	}{
		{byExe, "/usr/bin/foo", 0, "-a never,exit -S all -F exe=/usr/bin/foo", "auditctl -A never,exit -S all -F exe=/usr/bin/foo", `exe != "/usr/bin/foo"`},
		{byExe, "/usr/sbin/cron", 1, "-a never,user -F exe=/usr/sbin/cron", "auditctl -A never,user -F exe=/usr/sbin/cron", `exe != "/usr/sbin/cron"`},
		{byExe, "/opt/a b (deleted)", 0, "", "", `exe != "/opt/a b (deleted)"`},
		{byKey, "exec", 0, "", "auditctl -D -k exec", `key != "exec"`},
		{byUser, "auid=1000", 0, "-a never,exit -S all -F auid=1000", "auditctl -A never,exit -S all -F auid=1000", "auid != 1000"},
		{byUser, "auid=unset uid=33", 0, "-a never,exit -S all -F auid=unset -F uid=33", "auditctl -A never,exit -S all -F auid=unset -F uid=33", "not (auid == unset and uid == 33)"},
		{byUser, "auid=unset uid=0", 0, "", "", ""},
		{byUnit, "unit=cron", 1, "", "", `unit != "cron"`},
		{byUnit, "subj=system_u:system_r:httpd_t:s0", 0, "-a never,exit -S all -F subj_type=httpd_t", "auditctl -A never,exit -S all -F subj_type=httpd_t", `subj != "system_u:system_r:httpd_t:s0"`},
		{byType, "PROCTITLE", 0, "-a never,exclude -F msgtype=PROCTITLE", "auditctl -A never,exclude -F msgtype=PROCTITLE", ""},
		{byType, "SERVICE_START", 1, "-a never,exclude -F msgtype=SERVICE_START", "auditctl -A never,exclude -F msgtype=SERVICE_START", `main_type != "SERVICE_START"`},
		{byType, "SYSCALL", 0, "", "", ""},
	} {
		m := Remedy{}
		advise[c.by](&m, c.name, Part{Messages: c.messages})
		if m.RulesD != c.rule || m.Load != c.load || m.Filter != c.filters {
			t.Errorf("%s: %+v", c.name, m)
		}
		if m.Load != "" && m.Hides == "" {
			t.Errorf("%s: what the rule hides is not said", c.name)
		}
		m.By = By[c.by]
		m.Name = c.name
		r := Report{Remedies: []Remedy{m}}
		r.DropMissing(func(path string) bool { return path == c.name })
		if r.LockRules(true); r.Remedies[0].Load != "" || r.Remedies[0].RulesD != c.rule || !*r.RulesLocked {
			t.Errorf("%s: locked: %+v", c.name, r.Remedies[0])
		}
		r.DropMissing(func(string) bool { return false })
		if left := r.Remedies[0]; c.by == byExe && (left.RulesD != "" || left.Note == "" || left.Filter == "") {
			t.Errorf("%s: missing: %+v", c.name, left)
		}
	}
}
