package test

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"audisp-relay/audit/audittest"
	"audisp-relay/host"
	"audisp-relay/plugin"
	"audisp-relay/plugin/top"
	"audisp-relay/test/lab"
)

// manyCalls returns events with serials from first on: of ten, six are of one program and key, with
// three records each, three of another with four, and one of a program that never comes again.
func manyCalls(first, events int) []byte {
	var b strings.Builder
	for i := first; i < first+events; i++ {
		exe, key, path := "/usr/bin/loud", "files", false
		switch {
		case i%10 == 9:
			exe, key = fmt.Sprintf("/tmp/%d/%s", i, strings.Repeat("x", 200)), fmt.Sprint("key", i)
		case i%10 >= 6:
			exe, key, path = "/usr/bin/soft", "net", true
		}
		id := fmt.Sprintf("msg=audit(1795296167.053:%d): ", i)
		fmt.Fprintf(&b, "type=SYSCALL %sarch=c000003e syscall=257 success=yes exit=3 items=%d ppid=1 pid=77 auid=1000 uid=0 comm=\"x\" exe=%q key=%q\n", id, len(key)%2, exe, key)
		if path {
			fmt.Fprintf(&b, "type=PATH %sitem=0 name=\"/etc/passwd\" inode=1 nametype=NORMAL\n", id)
		}
		fmt.Fprintf(&b, "type=PROCTITLE %sproctitle=\"x\"\ntype=EOE %s\n", id, id)
	}
	return []byte(b.String())
}

// TestTopUnderLoad: a stream that comes as fast as it can, with a program and a key in every tenth
// event that never comes again. The shares are right within the margin that is given, which is a
// small one, and the sink gets every record.
func TestTopUnderLoad(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	r := start(t, dir, fileSink, nil)
	const events, each = 60_000, 100
	var total uint64
	for i := 0; i < events; i += each {
		part := manyCalls(i, each)
		total += uint64(strings.Count(string(part), "\n"))
		r.write(part)
	}
	until(t, "all records are delivered", func() bool { return r.consumer("file").Delivered == total })
	rep, err := plugin.QueryTop(filepath.Join(dir, "run"))
	if err != nil {
		t.Fatal(err)
	}
	const all = 6*3 + 3*4 + 3
	for _, want := range []struct {
		by, name string
		share    float64
	}{{"exe", "/usr/bin/loud", 18. / all}, {"exe", "/usr/bin/soft", 12. / all}, {"key", "net", 12. / all}, {"user", "auid=1000", 1}, {"type", "EOE", 10. / all}} {
		at := slices.IndexFunc(rep.By[want.by], func(row top.Row) bool { return row.Name == want.name })
		if at < 0 {
			t.Errorf("%s lacks %q", want.by, want.name)
			continue
		}
		p := rep.By[want.by][at].Start
		if p.Share < want.share-3*p.Margin-p.Over-1e-9 || p.Share > want.share+3*p.Margin+1e-9 {
			t.Errorf("%s: %+v, want a share of %.3f", want.name, p, want.share)
		}
		// The margin of a share of a half is that of the sum, too.
		if off := math.Abs(rep.Start.Records + float64(rep.Dropped) - float64(total)); want.name == "/usr/bin/loud" && off > 5*p.Margin*float64(total) {
			t.Errorf("%.0f records, %d dropped, of %d", rep.Start.Records, rep.Dropped, total)
		}
		if p.Margin+p.Over > 0.2 {
			t.Errorf("%s: %+v: the margin says nothing", want.name, p)
		}
	}
	t.Logf("%d samples of %d records, %d dropped", rep.Samples, total, rep.Dropped)
	r.end()
}

// TestLiveProposedRulesAreAccepted: auditctl takes each rule that top proposes, as a command and as
// a line of a file, puts it before the others, and it can be taken out again.
func TestLiveProposedRulesAreAccepted(t *testing.T) {
	lab.Require(t)
	lab.Start(t, lab.Options{})
	auditctl(t, "-a", "always,exit", "-F", "arch=b64", "-S", "openat", "-F", "dir=/etc", "-k", "relay_top")
	calls := func(fields string) string {
		return "type=SYSCALL msg=audit(1795296167.053:1): arch=c000003e syscall=257 success=yes exit=3 items=0 ppid=1 pid=2 " + fields + "\n"
	}
	if locked, err := host.RulesLocked(); locked || err != nil {
		t.Errorf("rules locked: %v, %v", locked, err)
	}
	proposed := 0
	for _, c := range []struct{ by, record string }{
		{"exe", calls(`auid=1000 uid=0 exe="/usr/bin/cat"`)},
		{"exe", `type=USER_START msg=audit(1795296167.053:1): pid=2 uid=0 auid=1000 ses=1 msg='op=x exe="/usr/bin/su" res=success'` + "\n"},
		{"user", calls("auid=1000 uid=0")},
		{"user", calls("auid=4294967295 uid=33")},
		{"user", `type=USER_START msg=audit(1795296167.053:1): pid=2 uid=0 auid=1000 ses=1 msg='op=x res=success'` + "\n"},
		{"type", "type=PROCTITLE msg=audit(1795296167.053:1): proctitle=\"x\"\n"},
		{"type", "type=CWD msg=audit(1795296167.053:1): cwd=\"/\"\n"},
		{"type", "type=NETFILTER_CFG msg=audit(1795296167.053:1): table=x\n"},
		{"type", "type=BPF msg=audit(1795296167.053:1): prog-id=1\n"},
		{"type", `type=SERVICE_START msg=audit(1795296167.053:1): pid=1 uid=0 auid=4294967295 ses=4294967295 msg='unit=x res=success'` + "\n"},
		{"type", `type=CRYPTO_KEY_USER msg=audit(1795296167.053:1): pid=1 uid=0 auid=4294967295 ses=4294967295 msg='op=destroy res=success'` + "\n"},
	} {
		counts := top.NewStored("")
		counts.Put(audittest.Lines(t, c.record))
		for _, m := range counts.Report().Remedies {
			if m.By == c.by && m.Load != "" {
				proposed++
				loadAndDelete(t, m)
			}
		}
	}
	if proposed < 11 {
		t.Errorf("only %d rules proposed", proposed)
	}

	// A key has no rule of its own: the rules that have it go.
	counts := top.NewStored("")
	counts.Put(audittest.Lines(t, calls(`auid=1000 uid=0 key="relay_top"`)))
	shell(t, counts.Report().Remedies[0].Load)
	if rules, err := lab.ReadRules(); err != nil || len(rules) > 0 {
		t.Errorf("%q, %v", rules, err)
	}
}

// loadAndDelete loads a proposed rule in both ways and takes it out again.
func loadAndDelete(t *testing.T, m top.Remedy) {
	t.Helper()
	before, err := lab.ReadRules()
	if err != nil {
		t.Fatal(err)
	}
	shell(t, m.Load)
	loaded, err := lab.ReadRules()
	if err != nil || len(loaded) != len(before)+1 {
		t.Fatalf("%s: %q, %v", m.Load, loaded, err)
	}
	if first := loaded[0]; strings.Contains(m.Load, ",exit") && !strings.Contains(first, "never,exit") {
		t.Errorf("%s: the first rule is %q", m.Load, first)
	}
	shell(t, strings.Replace(m.Load, " -A ", " -d ", 1))

	file := filepath.Join(tempDir(t), "01-less.rules")
	if err := os.WriteFile(file, []byte(m.RulesD+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	auditctl(t, "-R", file)
	if again, err := lab.ReadRules(); err != nil || len(again) != len(before)+1 {
		t.Errorf("%s: %q, %v", m.RulesD, again, err)
	}
	shell(t, strings.Replace(m.Load, " -A ", " -d ", 1))
	if after, err := lab.ReadRules(); err != nil || !slices.Equal(after, before) {
		t.Errorf("%s: left %q, %v", m.RulesD, after, err)
	}
}

// shell runs a command as a person would who copies it.
func shell(t *testing.T, command string) {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", command)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", command, err, out)
	}
}

func auditctl(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command(tool(t, "auditctl"), args...).CombinedOutput(); err != nil {
		t.Fatalf("auditctl %q: %v: %s", args, err, out)
	}
}
