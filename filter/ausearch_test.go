package filter

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"audisp-relay/audit/record"
	"audisp-relay/test/lab"
	"audisp-relay/testdata/captures"
)

// asked are options of ausearch and the filter that selects the same; docs/filter.md has
// them as a table.
var asked = []struct{ option, filter string }{
	{"-k exec", `any(keys, # contains "exec")`},
	{"-k fi", `any(keys, # contains "fi")`},
	{"-k priv", `any(keys, # contains "priv")`},
	{"-w -k fim", `key == "fim"`},
	{"-m EXECVE", `type == "EXECVE"`},
	{"-m USER_AUTH,ADD_USER,CONFIG_CHANGE", `type in ["USER_AUTH", "ADD_USER", "CONFIG_CHANGE"]`},
	{"-m PATH", `type == "PATH"`},
	// ausearch 3.0.9 does not see the uid of an ANOM_ABEND, whose gid it sees.
	{"-ui 0", `uid == 0 and type != "ANOM_ABEND"`},
	{"-ui 65534", `uid == 65534`},
	{"-ul 1000", `auid == 1000`},
	{"-ul -1", `auid == unset and field("auid") != ""`},
	{"-ue 65534", `euid == 65534`},
	{"-gi 0", `gid == 0`},
	{"-sc openat", `syscall == "openat"`},
	{"-sc execve", `syscall == "execve"`},
	{"-sc 42", `syscall_number == 42`},
	{"-x /usr/bin/su", `exe contains "/usr/bin/su"`},
	{"-x bash", `exe contains "bash"`},
	{"-c rm", `comm contains "rm"`},
	{"-f /etc/shadow", `path contains "/etc/shadow" or cwd contains "/etc/shadow"`},
	{"-f shadow", `path contains "shadow" or cwd contains "shadow"`},
	{"-f /srv", `path contains "/srv" or cwd contains "/srv"`},
	{"-f /run", `path contains "/run" or cwd contains "/run" or family == "unix" and addr contains "/run"`},
	{"-sv yes", `success`},
	{"-sv no", `failed`},
	{"-e -2", `exit == -2`},
	{"-e -2", `errno == "ENOENT"`},
	{"-p PID", `pid == PID`},
	{"-pp PPID", `ppid == PPID`},
	{"--session SES", `ses == SES`},
	{"--arch x86_64", `arch == "x86_64"`},
	{"-ts SECOND -te SECOND", `time >= at("FROM") and time < at("TO")`},
	{"-n vm", `node == "vm"`},
	{"-a SERIAL", `serial == SERIAL`},
}

func TestAusearchSelectsTheSame(t *testing.T) {
	program := lab.NeedTool(t, "ausearch")
	for _, name := range captures.Names(t, "*.log.gz") {
		t.Run(strings.TrimSuffix(name, ".log.gz"), func(t *testing.T) {
			t.Parallel()
			data := captures.Read(t, name)
			file := filepath.Join(t.TempDir(), "audit.log")
			if err := os.WriteFile(file, data, 0o600); err != nil {
				t.Fatal(err)
			}
			l := read(t, data)
			fill := l.examples()
			for _, a := range asked {
				a.option, a.filter = fill.Replace(a.option), fill.Replace(a.filter)
				want := ausearch(t, program, file, a.option)
				got := l.kept(t, mustCompile(t, a.filter))
				if len(want) == 0 && !strings.HasPrefix(a.option, "-n ") {
					t.Errorf("ausearch %s finds nothing, which compares nothing", a.option)
				}
				if d := cmp.Diff(want, got); d != "" {
					t.Errorf("ausearch %s finds %d, the filter %s %d (-ausearch +filter):\n%s", a.option, len(want), a.filter, len(got), d)
				}
			}
		})
	}
}

// examples fills in what is another in each log: ids of a process in it, and the
// second with the most events.
func (l *log) examples() *strings.Replacer {
	seconds := make(map[int64]int)
	var at int64
	for _, e := range l.events {
		s := l.batch.Recs[e[0]].Millis / 1000
		if seconds[s]++; seconds[s] > seconds[at] {
			at = s
		}
	}
	e := l.events[len(l.events)/2]
	p, pp, ses := newPattern("pid"), newPattern("ppid"), newPattern("ses")
	text := record.Parse(&l.batch, e[0]).Body
	return strings.NewReplacer(
		"PPID", string(pp.find(text)), "PID", string(p.find(text)), "SES", string(ses.find(text)), "SERIAL", fmt.Sprint(l.batch.Recs[e[0]].Serial),
		"SECOND", time.Unix(at, 0).UTC().Format("01/02/06 15:04:05"),
		"FROM", time.Unix(at, 0).UTC().Format(time.RFC3339), "TO", time.Unix(at+1, 0).UTC().Format(time.RFC3339))
}

// kept returns the ids of the events that a filter keeps.
func (l *log) kept(t *testing.T, f *Filter) map[string]bool {
	t.Helper()
	ids := make(map[string]bool)
	m := f.New()
	for _, e := range l.events {
		keep, err := m.Keep(&l.batch, e[0], e[1])
		if err != nil {
			t.Errorf("%s: %v", f, err)
		}
		if keep {
			ids[string(record.Parse(&l.batch, e[0]).ID)] = true
		}
	}
	return ids
}

var idOf = regexp.MustCompile(`msg=audit\(([^)]*)\)`)

// ausearch returns the ids of the events that ausearch finds.
func ausearch(t *testing.T, program, file, options string) map[string]bool {
	t.Helper()
	cmd := exec.Command(program, append(strings.Fields(options), "--raw", "-if", file)...)
	cmd.Env = []string{"LC_ALL=C", "TZ=UTC"}
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !(errors.As(err, &exit) && exit.ExitCode() == 1 && (len(exit.Stderr) == 0 || bytes.Contains(exit.Stderr, []byte("<no matches>")))) {
		t.Fatalf("ausearch %s: %v", options, err)
	}
	ids := make(map[string]bool)
	for _, m := range idOf.FindAllSubmatch(out, -1) {
		ids[string(m[1])] = true
	}
	return ids
}
