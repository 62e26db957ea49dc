package filter

import (
	"strings"
	"testing"

	"audisp-relay/audit/record"
)

// TestSELinuxVerdictIsFound: what SELinux says in the words of a record can be asked for.
func TestSELinuxVerdictIsFound(t *testing.T) {
	const fields = `pid=1 comm="x" scontext=a:b:c:s0 tcontext=d:e:f:s0 tclass=process permissive=0`
	for _, c := range []struct {
		of   []string
		srcs []string
	}{
		{event(`AVC avc:  denied  { execmem } for  ` + fields), []string{
			`seresult == "denied"`, `"execmem" in seperms`, `seresult != "granted"`, `len(seperms) == 1`, `seperms[0] == "execmem"`, `any(seperms, # startsWith "exec")`,
			`seresult in ["denied", "granted"]`, `seresult startsWith "den"`, `field("seresult") == "denied"`, `field("seperms") == "execmem"`, `"read" not in seperms`, `pid == 1`}},
		{event(`AVC avc:  granted  { read write   open 0x400 } for  ` + fields), []string{
			`seresult == "granted"`, `"write" in seperms`, `"0x400" in seperms`, `len(seperms) == 4`, `field("seperms") == "read,write,open,0x400"`}},
		{event(`AVC avc: denied {read} for pid=1`), []string{`seresult == "denied"`, `"read" in seperms`, `len(seperms) == 1`}},
		{event(`AVC avc:  denied  null for  pid=1`), []string{`seresult == "denied"`, `len(seperms) == 0`, `field("seperms") == ""`}},
		{event(`SYSCALL arch=c000003e syscall=9 success=no exit=-13`, `AVC avc:  denied  { read } for  `+fields, `AVC avc:  granted  { write } for  `+fields), []string{
			`seresult == "denied"`, `seresult == "granted"`, `"read" in seperms and "write" in seperms`, `field("seresult") == "denied"`, `field("seperms") == "read"`}},
		{event(`USER_AVC pid=600 uid=81 auid=4294967295 msg='avc:  denied  { send_msg } for msgtype=method_call dest=org.x tclass=dbus permissive=0 exe="/usr/bin/dbus-daemon" sauid=81'`), []string{
			`seresult == "denied"`, `"send_msg" in seperms`, `field("seresult") == "denied"`, `uid == 81`}},
		{event(`USER_AVC pid=1 uid=0 msg='Unknown permission x for class y avc:  denied  { start } for auid=n/a uid=0'`), []string{`seresult == ""`}},
		{event(`USER_AVC pid=1 uid=0 msg='avc:  received setenforce notice (enforcing=1) exe="/x"'`), []string{`seresult == ""`, `len(seperms) == 0`}},
		{event(`SELINUX_ERR op=security_bounded_transition seresult=denied oldcontext=a:b:c newcontext=d:e:f`), []string{
			`seresult == "denied"`, `len(seperms) == 0`, `field("seresult") == "denied"`}},
		{event(`SELINUX_ERR op=security_compute_av reason=bounds scontext=a tclass=b perms=read`), []string{`seresult == ""`, `seresult != "denied"`, `field("seresult") == ""`}},
		{event(`AVC apparmor="DENIED" operation="open" profile="/usr/sbin/x" name="/etc/y" pid=1 requested_mask="r" denied_mask="r"`), []string{
			`seresult == ""`, `apparmor == "DENIED"`, `len(seperms) == 0`}},
		{event(`USER_LOGIN pid=1 uid=0 msg='avc:  denied  { x } for a=b'`), []string{`seresult == ""`}}, // no SELinux
		{event(`AVC avc:  denied  { read for  pid=1`), []string{`seresult == ""`}},
	} {
		for _, src := range c.srcs {
			if !kept(t, src, c.of) {
				t.Errorf("%s does not hold for\n%s", src, strings.Join(c.of, "\n"))
			}
			if kept(t, "not ("+src+")", c.of) {
				t.Errorf("not (%s) holds for\n%s", src, strings.Join(c.of, "\n"))
			}
		}
	}
}

// TestOldLoginNamesAreThoseOfToday: the ids of a LOGIN are those of the login, whatever the kernel calls them.
func TestOldLoginNamesAreThoseOfToday(t *testing.T) {
	want := []string{`auid == 701`, `old_auid == 700`, `ses == 12286`, `old_ses == 6793`, `uid == 0`, `pid == 28281`,
		`field("auid") == "701"`, `field("old-auid") == "700"`, `field("ses") == "12286"`}
	for _, body := range []string{
		`pid=28281 uid=0 old auid=700 new auid=701 old ses=6793 new ses=12286`,
		`login pid=28281 uid=0 old auid=700 new auid=701 old ses=6793 new ses=12286`,
		`login pid=28281 uid=0 old loginuid=700 new loginuid=701 old ses=6793 new ses=12286`,
		`pid=28281 uid=0 subj=a:b:c old auid=700 new auid=701 old ses=6793 new ses=12286 res=1`,
		`pid=28281 uid=0 old-auid=700 new-auid=701 old-ses=6793 new-ses=12286 res=1`,
		`pid=28281 uid=0 subj=a:b:c old-auid=700 auid=701 tty=(none) old-ses=6793 ses=12286 res=1`,
	} {
		of := event("LOGIN " + body)
		for _, src := range want {
			if !kept(t, src, of) {
				t.Errorf("%s does not hold for %s", src, body)
			}
		}
		if strings.Contains(body, "subj") && !kept(t, `subj == "a:b:c"`, of) {
			t.Errorf("subj of %s", body)
		}
	}
	first := event("LOGIN login pid=1 uid=0 old auid=4294967295 new auid=0 old ses=4294967295 new ses=1")
	for _, src := range []string{`auid == 0`, `old_auid == unset`, `ses == 1`, `old_ses == unset`} {
		if !kept(t, src, first) {
			t.Errorf("%s does not hold", src)
		}
	}
	if short := event("LOGIN login pid=1 uid=0 old auid=5 new auid=6"); !kept(t, `auid == 6 and ses == unset`, short) {
		t.Error("LOGIN without sessions")
	}
}

// TestForgedNamesAreNotBelieved: a program does not get its own names taken for auditd's.
func TestForgedNamesAreNotBelieved(t *testing.T) {
	const forged = `UID="evil" AUID="evil"`
	for _, c := range []struct{ line, user, exe string }{
		{"pid=1 uid=0 auid=0 msg='op='\x1d" + forged + " exe=\"/x\"'\x1dUID=\"root\" AUID=\"root\"", "root", "/x"},
		{"pid=1 uid=0 auid=0 msg='op='\x1d" + forged + " exe=\"/x\"'", "", "/x"},
		{"pid=1 uid=0 auid=0 msg='op='\x1d" + forged + " exe=\"/x\" res=succ", "", "/x"}, // cut
		{"pid=1 uid=0 auid=0 msg='op=\x1d" + forged + " exe=\"/x\" res=succ", "", "/x"},
		{"pid=1 uid=0 auid=0 msg='op=' UID=\"evil\" exe=\"/x\" res=succ", "", "/x"},
		{"pid=1 uid=0 auid=0 msg='op=a exe=\"/x\"'UID=\"root\" AUID=\"root\"", "root", "/x"},
		{"pid=1 uid=0 auid=0 msg='op=a exe=\"/x\"' UID=\"root\" AUID=\"root\"", "root", "/x"},
		{"pid=1 uid=0 auid=0 msg='op=a exe=\"/x\"'#035UID=\"root\" AUID=\"root\"", "root", "/x"},
	} {
		of := event("USER_LOGIN " + c.line)
		if src := `user == "` + c.user + `" and exe == "` + c.exe + `"`; !kept(t, src, of) {
			t.Errorf("%s does not hold for %q", src, c.line)
		}
	}
	device := event("ANOM_PROMISCUOUS dev=a\x1dAUID=\"root\" prom=256 old_prom=0 auid=1000 uid=1000 gid=1000 ses=7")
	for _, src := range []string{`auid == 1000 and ses == 7`, `auser == ""`, `field("prom") == "256"`} {
		if !kept(t, src, device) {
			t.Errorf("%s does not hold", src)
		}
	}
	table := `NETFILTER_CFG table=x msg='op=z' family=2 op=z comm="sshd" key="noise":5 family=1 entries=3 op=nft_register_table pid=9 subj=unconfined comm="nft"`
	for _, src := range []string{`op == "nft_register_table"`, `comm == "nft"`, `field("family") == "1"`, `field("table") startsWith "x msg=" and field("table") endsWith ":5"`, `len(keys) == 0`} {
		if !kept(t, src, event(table)) {
			t.Errorf("%s does not hold", src)
		}
	}
	if called := event(`SYSCALL arch=c000003e syscall=46 success=yes exit=9 pid=9 key="fw"`, table); !kept(t, `key == "fw" and key != "noise" and op == "nft_register_table"`, called) {
		t.Error("the name of a table gives the event a key")
	}
	lost := event(`SYSCALL arch=c000003e syscall=257 auid=1000 uid=0 comm="UID=x" exe="/x" key="fs"ARCH=x86_64 SYSCALL=openat AUID="ops" UID="root"`)
	for _, src := range []string{`key == "fs"`, `user == "root"`, `auser == "ops"`, `comm == "UID=x"`} {
		if !kept(t, src, lost) {
			t.Errorf("%s does not hold", src)
		}
	}
}

// TestErrnoNameIsThatOfTheArch: a number that means something else on the arch has no name.
func TestErrnoNameIsThatOfTheArch(t *testing.T) {
	for src, of := range map[string][]string{
		`errno == "ECONNREFUSED"`:  event(`SYSCALL arch=c00000f3 syscall=203 success=no exit=-111`),
		`errno == ""`:              event(`SYSCALL arch=80000008 syscall=5041 success=no exit=-111`),
		`errno == "EACCES"`:        event(`SYSCALL arch=80000008 syscall=5041 success=no exit=-13`),
		`syscall == "listxattrat"`: event(`SYSCALL arch=c0000102 syscall=465 success=yes exit=0`),
	} {
		if !kept(t, src, of) {
			t.Errorf("%s does not hold for %s", src, of)
		}
	}
}

// TestKindsAreThoseOfJSON: what json shows as a number is one here.
func TestKindsAreThoseOfJSON(t *testing.T) {
	other := map[string]bool{
		"permissive": true,                                     // absent has to differ from 0
		"errno":      true,                                     // the error's name in both
		"syscall":    true,                                     // and the system call's
		"family":     true,                                     // the address family's
		"id":         true,                                     // the event's
		"records":    true,                                     // their texts
		"a0":         true, "a1": true, "a2": true, "a3": true, // hex there
	}
	n := 0
	for name, f := range fields {
		key := strings.TrimPrefix(name, "msg.")
		class := record.ClassOf([]byte(key))
		if c := record.ClassOf([]byte(strings.ReplaceAll(key, "_", "-"))); c != record.Plain {
			class = c
		}
		number := class == record.Int || class == record.UserID || class == record.Session
		if (key != name && f.kind.isNumber() != number) || (key == name && number && !f.kind.isNumber() && f.kind != flag && !other[name]) {
			t.Errorf("%s is %s, its class %d", name, f.kind, class)
		}
		n++
	}
	if n < 100 {
		t.Errorf("%d fields", n)
	}
}

// TestVerdictsAllocateNothing: one host may write thousands of them a second.
func TestVerdictsAllocateNothing(t *testing.T) {
	l := lines(t, event(`AVC avc:  denied  { read write open } for  pid=1 comm="x" scontext=a:b:c tcontext=d:e:f tclass=file permissive=0`)...)
	for _, src := range []string{`any(seperms, # == "write")`, `field("seperms") == "read,write,open"`, `seresult == "denied"`} {
		m := mustCompile(t, src).New()
		if keep, err := m.Keep(&l.batch, 0, len(l.batch.Recs)); !keep || err != nil {
			t.Errorf("%s: keep %v, %v", src, keep, err)
		}
		if n := testing.AllocsPerRun(100, func() { m.Keep(&l.batch, 0, len(l.batch.Recs)) }); n != 0 {
			t.Errorf("%s: %v allocations for an event", src, n)
		}
	}
}

// TestDamagedRecordStillMatches: what a damaged record still shows is found, so that the event is kept.
func TestDamagedRecordStillMatches(t *testing.T) {
	for _, c := range []struct{ record, src string }{
		{`SYSCALL arch=c000003e syscall=42 success=yes exit=0 pid=1 exe="/usr/bin/python3.11" key="net"type=SOCKADDR msg=audit(1.002:3): saddr=0100`, `key == "net"`},
		{`PROCTITLE proctitle="whoami"4/ld-linux-x86-64.so.2" inode=657545`, `proctitle == "whoami"`},
		{`PATH item=0 name="/etc/"obj=a:b:c:d`, `path_under("/etc")`},
		{`SYSCALL arch=1c000003e syscall=59 success=yes pid=1`, `arch != "x86_64" and syscall != "execve"`},
	} {
		if !kept(t, c.src, event(c.record)) {
			t.Errorf("%s does not hold for %s", c.src, c.record)
		}
	}
}
