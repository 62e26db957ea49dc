package integrity

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"audisp-relay/audit/audittest"
	"audisp-relay/audit/record"
	"audisp-relay/testdata/captures"
)

// cuts returns lines that are text cut at many places, with next after each.
func cuts(t testing.TB, text, next string) *record.Batch {
	var all []byte
	for n := 1; n < len(strings.TrimRight(text, " \n")); n += 1 + n/500 {
		all = append(append(all, text[:n]...), next...)
	}
	return audittest.Lines(t, string(all))
}

// TestMostCutsAreSeen cuts every line at every byte, its newline kept, and with
// the next line run into it, and says how many of the cuts show. Each line has
// the same weight. What does not show is an even number of hex digits, or an
// end that an older kernel would have written.
func TestMostCutsAreSeen(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	type tally struct{ share, lines float64 }
	for _, name := range captures.Names(t, "*.string.gz") {
		if strings.HasPrefix(name, "audit-4.2.1-raw") {
			continue
		}
		for _, together := range []bool{false, true} {
			b := audittest.Capture(t, name)
			tr := NewTracker(Options{})
			tr.Observe(b, audittest.Epoch) // it knows how they end
			types, sum := make(map[string]*tally), tally{}
			for i := 0; i < len(b.Recs)-1; i += 13 { // a prime: all types
				next := "\n"
				if together {
					next = string(b.Bytes(i + 1))
				}
				c := cuts(t, string(b.Bytes(i)), next)
				seen := 0
				for k := range c.Recs {
					one := &record.Batch{Buf: c.Buf, Recs: c.Recs[k : k+1]}
					if tr.Observe(one, audittest.Epoch) == 0 {
						seen++
						if !IsTruncated(one, 0) {
							t.Errorf("Observe stops at %q, Cut does not", one.Bytes(0))
						}
					}
				}
				typ := string(record.AppendTypeName(nil, b.Recs[i].Type))
				if types[typ] == nil {
					types[typ] = new(tally)
				}
				share := float64(seen) / float64(len(c.Recs))
				types[typ].share += share
				types[typ].lines++
				sum.share += share
				sum.lines++
			}
			var list []string
			for _, typ := range slices.Sorted(maps.Keys(types)) {
				list = append(list, fmt.Sprintf("%s %.1f%%", typ, 100*types[typ].share/types[typ].lines))
			}
			share := sum.share / sum.lines
			t.Logf("%s, next line run in: %v: %.2f%% of the cuts show: %s", name, together, 100*share, strings.Join(list, ", "))
			if want := map[bool]float64{false: 0.93, true: 0.999}[together]; share < want {
				t.Errorf("%s, next line run in: %v: %.2f%% of the cuts show", name, together, 100*share)
			}
		}
	}
}

// TestARecordRunIntoOneOfItsTypeShows: it ends as it should, so that only the
// header within shows.
func TestARecordRunIntoOneOfItsTypeShows(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	for _, name := range captures.Names(t, "*.string.gz") {
		if strings.HasPrefix(name, "audit-4.2.1-raw") {
			continue
		}
		b := audittest.Capture(t, name)
		last := make(map[uint32]int)
		for i := range b.Recs {
			typ := b.Recs[i].Type
			before, ok := last[typ]
			last[typ] = i
			if !ok || i%29 != 0 {
				continue
			}
			c := cuts(t, string(b.Bytes(before)), string(b.Bytes(i)))
			for k := range c.Recs {
				if !IsTruncated(c, k) {
					t.Errorf("%s: does not look cut: %q", name, c.Bytes(k))
				}
			}
		}
	}
}

// TestACutArgumentListShowsInItsEvent: what the bytes of an EXECVE record do not
// show, its argc= and _len= do.
func TestACutArgumentListShowsInItsEvent(t *testing.T) {
	all := audittest.Capture(t, "audit-3.0.9-enriched.string.gz")
	tried := 0
	for i := range all.Recs {
		r := &all.Recs[i]
		if r.Type != record.TypeExecve || r.Len < 7000 {
			continue
		}
		event := audittest.Only(all, func(k int) bool { return all.SameEvent(i, k) })
		for cutBy := uint32(3); cutBy < 7000; cutBy += 998 {
			tr := NewTracker(Options{})
			tr.Observe(audittest.Lines(t, audittest.UserAt(r.Serial-1, r.Millis/1000)), audittest.Epoch)
			short := &record.Batch{Buf: event.Buf, Recs: slices.Clone(event.Recs)}
			k := slices.IndexFunc(short.Recs, func(x record.Record) bool { return x.Off == r.Off })
			short.Recs[k].Len -= cutBy
			if IsTruncated(short, k) {
				continue
			}
			tried++
			if n := tr.Observe(short, audittest.Epoch); n != len(short.Recs) {
				t.Fatalf("record %d looks cut", n)
			}
			tr.Observe(audittest.Lines(t, audittest.UserAt(r.Serial+1, r.Millis/1000)), audittest.Epoch)
			if due := tr.Due(audittest.Epoch.Add(time.Minute)); len(due) != 1 || due[0].Kind != IncompleteEvent || due[0].First != r.Serial {
				t.Errorf("%.80q cut by %d: %v", all.Bytes(i), cutBy, due)
			}
		}
	}
	if tried < 50 {
		t.Errorf("%d cuts tried", tried)
	}
}

// TestEndsOfOtherKernelsAndDaemonsAreWhole: ends that other kernels, daemons and programs write.
func TestEndsOfOtherKernelsAndDaemonsAreWhole(t *testing.T) {
	const id = "msg=audit(1000.000:5): "
	for _, text := range []string{
		"type=PATH " + id + `item=0 name="/x" inode=1 dev=fe:00 mode=0100644 ouid=0 ogid=0 rdev=00:00 nametype=NORMAL`,
		"type=PATH " + id + `item=0 name="/x" inode=1 dev=fe:00 mode=0100644 ouid=0 ogid=0 rdev=00:00 obj=system_u:object_r:etc_t:s0 objtype=CREATE`,
		"type=PATH " + id + `item=0 name="/x" inode=1 nametype=NORMAL cap_fp=0 cap_fi=0 cap_fe=0 cap_fver=0`,
		"type=PATH " + id + `item=0 name="/x" inode=1 nametype=NORMAL cap_fe=? cap_fver=? cap_fp=? cap_fi=?`,
		"type=PATH " + id + `item=0 name=(null) inode=1 nametype=NORMAL cap_fp=0 cap_fi=0 cap_fe=0 cap_fver=0 cap_frootid=0`,
		"type=SYSCALL " + id + `arch=c000003e syscall=2 success=no exit=-13 items=1 exe="/x" subj=unconfined key="a"`,
		"type=SYSCALL " + id + `arch=c000003e syscall=2 success=no exit=-13 items=1 exe="/x" key=61016263`,
		"type=URINGOP " + id + `uring_op=28 success=yes exit=4 items=1 ppid=1 pid=2 uid=0 key="u"`,
		"type=LOGIN " + id + `login pid=1 uid=0 old auid=4294967295 new auid=0 old ses=4294967295 new ses=1`,
		"type=ANOM_ABEND " + id + `auid=0 uid=0 gid=0 ses=1 pid=2 comm="x" reason="memory violation" sig=11`,
		"type=ANOM_PROMISCUOUS " + id + `dev=eth0 prom=256 old_prom=0 auid=0 uid=0 gid=0 ses=1`,
		"type=SECCOMP " + id + `auid=0 uid=0 gid=0 ses=1 pid=2 comm="x" exe="/x" sig=0 arch=c000003e syscall=1 compat=0 ip=0x7f code=0x7ffc0000`,
		"type=AVC " + id + `avc:  denied  { read } for  pid=1 comm="x" name="y" dev="sda" ino=1 scontext=a tcontext=b tclass=file permissive=0`,
		"type=AVC " + id + `avc:  denied  { read } for  pid=1 comm="x" scontext=a tcontext=b tclass=file`,
		"type=AVC " + id + `apparmor="DENIED" operation="open" profile="p" name="/x" pid=1 comm="x" requested_mask="r" denied_mask="r" fsuid=0 ouid=0`,
		"type=NETFILTER_CFG " + id + `table=filter:2 family=2 entries=4 op=xt_replace pid=1 subj=u comm="iptables"`,
		"type=NETFILTER_CFG " + id + `table=filter family=2 entries=4`,
		"type=BPF " + id + `prog-id=3 op=LOAD`,
		"type=MAC_STATUS " + id + `enforcing=1 old_enforcing=0 auid=0 ses=1 enabled=1 old-enabled=1 lsm=selinux res=1`,
		"type=BPRM_FCAPS " + id + `fver=0 fp=0 fi=0 fe=0 old_pp=0 old_pi=0 old_pe=0 new_pp=0 new_pi=0 new_pe=0`,
		"type=CAPSET " + id + `pid=1 cap_pi=0 cap_pp=0 cap_pe=0 cap_pa=0`,
		"type=MMAP " + id + `fd=3 flags=0x2`,
		"type=SOCKADDR " + id + `saddr=0100`,
		"type=SOCKADDR " + id + "saddr=02000050C0A801010000000000000000\x1dSADDR={ saddr_fam=inet laddr=192.168.1.1 lport=80 }",
		"type=SOCKADDR " + id + "saddr=2B00\x1dSADDR=unknown-family(43)",
		"type=KERNEL " + id + "state=initialized audit_enabled=0 res=1",
		"type=TTY " + id + `tty pid=1 uid=0 auid=0 ses=1 major=4 minor=1 comm="bash" data=6C730D`,
		"type=USER_TTY " + id + `pid=1 uid=0 auid=0 ses=1 data="ls"`,
		"type=USER_AVC " + id + `pid=1 uid=81 auid=1 ses=1 msg='avc:  denied  { send_msg } for tclass=dbus  exe="/x" sauid=81 hostname=? addr=? terminal=?'` + "\x1dUID=\"dbus\" AUID=\"unset\" SAUID=\"dbus\"",
		"type=USER_CMD " + id + `pid=1 uid=0 auid=0 ses=1 msg='cwd="/" cmd=6C73 terminal=pts/0 res=success'`,
		"type=DAEMON_CONFIG msg=audit(1000.000:5) config changed, auid=0 pid=1 subj=? res=success",
		"type=DAEMON_ERR " + id + "op=relay-loss sink=x cause=spool records=1 events=1 first=1 last=1 res=failed",
		"type=DAEMON_ERR " + id + "op=relay-loss sink=x cause=spool records=1 events=1 first=1 last=1 res=failed mac=00112233445566778899aabbccddeeff",
		"type=DAEMON_ERR op=format-enriched msg=NULL res=failed",
		"type=SYSCALL msg=lost",
		"type=BRAND_NEW " + id + "a=b",
		"type=UNKNOWN[1999] " + id + "a=b",
		"node=h type=EOE msg=audit(1000.000:5): ",
	} {
		if b := audittest.Lines(t, text+"\n"); IsTruncated(b, 0) {
			t.Errorf("looks cut: %q", text)
		}
	}
}

// TestOddCutsShow: what is cut in ways of its own.
func TestOddCutsShow(t *testing.T) {
	for _, text := range []string{
		"", "t", "type=", "type=PA", "type=PATH", "type=PATH ", "type=EOE msg=audit(179529834",
		"type=EOE msg=audit(1000.000:5", "type=EOE msg=audit(1000.000:5)", "type=PATH msg=audit(1000.000:5):",
		`type=PATHtype=CWD msg=audit(1000.000:5): cwd="/"`, `node=hosnode=host type=CWD msg=audit(1000.000:5): cwd="/"`,
		`type=CWD msg=audit(1000.000:5): cwd="/xtype=CWD msg=audit(1000.000:5): cwd="/"`,
		"type=USER_CMD msg=audit(1000.000:5): pid=1 uid=0 msg='op=x res=suc",
		`type=SYSCALL msg=audit(1000.000:5): arch=c000003e syscall=2 fsgid=0 key="x"` + "\x1dARCH=x86_64 SYSCALL=open AUID=\"root\"",
	} {
		if b := audittest.Lines(t, text+"\n"); !IsTruncated(b, 0) {
			t.Errorf("does not look cut: %q", text)
		}
	}
}
