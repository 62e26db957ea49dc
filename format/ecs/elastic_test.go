package ecs

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"

	"audisp-relay/audit/process"
	"audisp-relay/format"
	"audisp-relay/testdata/captures"
)

// TestPublishedRules counts of how many of Elastic's rules that take audit data this format can write every field, where AUDISP_ELASTIC names
// a directory of them (rules/linux of elastic/detection-rules): they are not ours to keep here. A rule may still lack its events: it asks for
// values, too, and for audit rules.
func TestPublishedRules(t *testing.T) {
	dir := os.Getenv("AUDISP_ELASTIC")
	if dir == "" {
		t.Skip("AUDISP_ELASTIC is not set")
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.toml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no rules in %s: %v", dir, err)
	}
	written := writtenFields(t)
	rules, whole := 0, 0
	for _, file := range files {
		var published struct {
			Rule struct {
				Index []string
				Query string
			}
		}
		if _, err := toml.DecodeFile(file, &published); err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		takesAudit := func(index string) bool {
			return strings.Contains(index, "auditbeat") || strings.Contains(index, "auditd_manager")
		}
		if !slices.ContainsFunc(published.Rule.Index, takesAudit) {
			continue
		}
		rules++
		lacks := slices.DeleteFunc(fieldsOf(published.Rule.Query), func(field string) bool { return written[field] })
		if len(lacks) == 0 {
			whole++
			continue
		}
		t.Logf("%s lacks %s", filepath.Base(file), strings.Join(lacks, ", "))
	}
	t.Logf("%d of %d rules have all their fields", whole, rules)
	if rules < 100 || whole < rules {
		t.Errorf("%d of %d rules have all their fields", whole, rules)
	}
}

var (
	quotedText = regexp.MustCompile(`"(?:\\.|[^"\\])*"`)
	// The groups of fields that the schema, auditbeat and data streams have: values of KQL stand without quotes and may have dots, too.
	fieldName = regexp.MustCompile(`\b(?:auditd|container|data_stream|destination|event|file|group|host|network|process|service|source|user)(?:\.[A-Za-z0-9_]+)+`)
)

// fieldsOf returns the fields that a query of EQL or KQL names, each once.
func fieldsOf(query string) []string {
	fields := fieldName.FindAllString(quotedText.ReplaceAllString(query, `""`), -1)
	slices.Sort(fields)
	return slices.Compact(fields)
}

// writtenFields returns the fields of all events of the captures, and of some that these have not.
func writtenFields(t *testing.T) map[string]bool {
	t.Helper()
	var known process.Current
	known.Set(process.NewTable(process.Options{}))
	e := New(Options{Processes: &known, HostID: "0123", DataStream: format.DataStream{Dataset: "auditd_manager.auditd", Namespace: "default"}})
	written := make(map[string]bool)
	encodeAll := func(text string) {
		b, ends := group(parse(t, text))
		known.Table().Note(b)
		i := 0
		for _, j := range ends {
			for path := range decodeLine(t, e.AppendEvent(nil, b, i, j)) {
				written[path] = true
			}
			i = j
		}
	}
	for _, text := range sshLogin {
		encodeAll(text)
	}
	encodeAll(sys(59, 0) + rec("BPRM_FCAPS", `fver=2 fp=0 fi=0 fe=1 old_pp=0 old_pi=0 old_pe=0 old_pa=0 pp=0000000000000009 pi=0 pe=0000000000000001 pa=0 frootid=0`))
	encodeAll(rec("USER_ACCT", `pid=1 uid=0 auid=1000 ses=3 msg='op=PAM:accounting grantors=pam_unix acct="root" exe="/usr/bin/su" hostname=h addr=192.0.2.1 terminal=pts/0 res=success'`))
	encodeAll(rec("VIRT_RESOURCE", `pid=1 uid=0 auid=1000 ses=3 msg='virt=kvm resrc=cgroup reason=allow vm="a" uuid=1 cgroup="/m" class=path path="/dev/kvm" rdev=0A:E8 acl=rw res=success'`))
	for _, saddr := range []string{"02000016C00002090000000000000000", "01002F72756E2F646F636B65722E736F636B00"} {
		encodeAll(sys(42, 0) + rec("SOCKADDR", "saddr="+saddr))
		encodeAll(sys(43, 0) + rec("SOCKADDR", "saddr="+saddr))
	}
	encodeAll(rec("SYSCALL", `arch=c000003e syscall=59 success=yes exit=0 a0=1 a1=2 a2=3 a3=4 items=0 ppid=1 pid=2 auid=1000 uid=1000 gid=1000 euid=0 suid=0 fsuid=0 egid=1000 sgid=1000 fsgid=1000 tty=pts0 ses=3 comm="su" exe="/usr/bin/su" key=(null)`))
	encodeAll(sys(257, 1) + rec("CWD", `cwd="/etc"`) + rec("PATH", `item=0 name="x.so" inode=5 mode=0100644 ouid=0 ogid=0 nametype=NORMAL`))
	for _, name := range captures.Names(t, "*.string.gz") {
		known.Set(process.NewTable(process.Options{})) // it is of another host
		encodeAll(string(captures.Read(t, name)))
	}
	return written
}
