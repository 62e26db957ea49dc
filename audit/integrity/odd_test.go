package integrity

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"audisp-relay/audit/audittest"
	"audisp-relay/audit/record"
)

// oddWhole are records that are whole although they look unlike most of their type.
var oddWhole = map[string]string{
	"no argument at all":           `type=EXECVE ID argc=0`,
	"no argument but a variable":   `type=EXECVE ID argc=0 a0="HOME=/"`,
	"an empty last argument":       `type=EXECVE ID argc=2 a0="x" a1=""`,
	"a header in an argument":      `type=EXECVE ID argc=2 a0="msg=audit(1.1:1):" a1="x"`,
	"a header in a file's name":    `type=PATH ID item=0 name="/tmp/msg=audit(1.1:1):" inode=1 nametype=NORMAL cap_fp=0 cap_fi=0 cap_fe=0 cap_fver=0 cap_frootid=0`,
	"a header in a directory":      `type=CWD ID cwd="/tmp/type=CWD,msg=audit(1.1:1):"`,
	"a header as title":            `type=PROCTITLE ID proctitle="msg=audit(1.1:1):"`,
	"a header in comm":             `type=ANOM_ABEND ID auid=0 uid=0 gid=0 ses=1 pid=2 comm="msg=audit(1:1)" exe="/x" sig=11 res=1`,
	"no title":                     `type=PROCTITLE ID proctitle=(null)`,
	"the word null as title":       `type=PROCTITLE ID proctitle="(null)"`,
	"no directory":                 `type=CWD ID cwd=(null)`,
	"an empty directory":           `type=CWD ID cwd=""`,
	"a directory too long":         `type=CWD ID cwd="<too_long>"`,
	"a new field after cwd":        `type=CWD ID cwd="/x" mnt_id=5`,
	"a new field after hex":        `type=CWD ID cwd=2F6120 mnt_id=5`,
	"a new field after the title":  `type=PROCTITLE ID proctitle="x" pid=5`,
	"no name":                      `type=PATH ID item=0 name=(null) nametype=UNKNOWN cap_fp=0 cap_fi=0 cap_fe=0 cap_fver=0 cap_frootid=0`,
	"capabilities not known":       `type=PATH ID item=0 name="/x" nametype=DELETE cap_fe=? cap_fver=? cap_fp=? cap_fi=?`,
	"a new field of a path":        `type=PATH ID item=0 name="/x" nametype=DELETE cap_fp=0 cap_fi=0 cap_fe=0 cap_fver=0 cap_frootid=0 mnt_id=21`,
	"contexts of two LSMs":         `type=SYSCALL ID arch=c000003e syscall=2 success=yes exit=3 items=0 ppid=1 pid=2 uid=0 exe="/x" subj=? key="a" subj_selinux=u:r:t:s0 subj_apparmor=/usr/sbin/cupsd (enforce)`,
	"two LSMs, no key":             `type=SYSCALL ID arch=c000003e syscall=2 success=yes exit=3 items=0 ppid=1 pid=2 uid=0 exe="/x" key=(null) subj_apparmor=unconfined` + "\x1dARCH=x86_64 SYSCALL=open UID=\"root\"",
	"a record of contexts":         `type=UNKNOWN[1425] ID subj_selinux=u:r:t:s0 subj_apparmor=/usr/sbin/cupsd (enforce)`,
	"the same, the LSMs swapped":   `type=UNKNOWN[1425] ID subj_apparmor=unconfined subj_selinux=u:r:t:s0`,
	"contexts of an object":        `type=UNKNOWN[1426] ID obj_selinux=u:r:t:s0 obj_smack=_`,
	"a context with a mode":        `type=IPC ID ouid=0 ogid=0 mode=0600 obj=/usr/sbin/cupsd (complain)`,
	"a quoted end with blanks":     `type=AVC ID apparmor="DENIED" operation="mount" class="mount" info="failed mntpnt match" error=-13 profile="p" name="/" pid=1 comm="x" fstype="tmpfs" flags="rw, nosuid, strictatime"`,
	"a raw context with a blank":   `type=AVC ID avc:  denied  { read } for  pid=1 comm="x" scontext=a tcontext=b tclass=file permissive=0 srawcon="a:b" trawcon="x y"`,
	"a new field of an AVC":        `type=AVC ID avc:  denied  { read } for  pid=1 comm="x" scontext=a tcontext=b tclass=file permissive=0 node_sid=4`,
	"a policy rule":                `type=UNKNOWN[1420] ID ipe_op=EXECUTE enforcing=1 pid=1 comm="x" path="/x" rule="DEFAULT action=DENY"`,
	"a rule without '='":           `type=UNKNOWN[1420] ID ipe_op=EXECUTE rule="DEFAULT DENY"`,
	"smack":                        `type=AVC ID lsm=SMACK fn=smack_inode_permission action=denied subject="A B" object="_" requested=w pid=8 comm="x" name="f" dev="sda" ino=3`,
	"a new field of CONFIG_CHANGE": `type=CONFIG_CHANGE ID auid=0 ses=1 op=add_rule key="a" list=4 res=1 gen=7`,
	"a new field of LOGIN":         `type=LOGIN ID pid=1 uid=0 old-auid=4294967295 auid=0 tty=(none) old-ses=4294967295 ses=1 res=1 userns=4`,
	"a new field of SECCOMP":       `type=SECCOMP ID auid=0 uid=0 gid=0 ses=1 pid=2 comm="x" exe="/x" sig=0 arch=c000003e syscall=1 compat=0 ip=0x7f code=0x7ffc0000 filter=2`,
	"a new field of ABEND":         `type=ANOM_ABEND ID auid=0 uid=0 gid=0 ses=1 pid=2 comm="x" exe="/x" sig=11 res=1 core="no"`,
	"a new field of OBJ_PID":       `type=OBJ_PID ID opid=1 oauid=0 ouid=0 oses=1 ocomm="x" ons=4`,
	"a new field of capabilities":  `type=BPRM_FCAPS ID fver=0 fp=0 fi=0 fe=0 old_pp=0 old_pi=0 old_pe=0 old_pa=0 pp=0 pi=0 pe=0 pa=0 frootid=0 ns=1`,
	"a new field of terminals":     `type=TTY ID tty pid=1 uid=0 auid=0 ses=1 major=4 minor=1 comm="bash" data=6C730D fd=1`,
	"an argument like a TTY's":     `type=SOCKETCALL ID nargs=6 a0=3 a1=7ffc a2=0 a3=0 a4=0 a5=0`,
	"one argument of socketcall":   `type=SOCKETCALL ID nargs=1 a0=3`,
	"a separator in a message":     "type=USER_CMD ID pid=1 uid=0 auid=0 ses=1 msg='op=a\x1db res=success'\x1dUID=\"root\" AUID=\"root\"",
	"two, and fields that seem so": "type=USER_CMD ID pid=1 uid=0 auid=0 ses=1 msg='op=a\x1dUID=\"b \x1dx res=success'\x1dUID=\"root\" AUID=\"root\"",
	"a separator, RAW":             "type=USER_CMD ID pid=1 uid=0 auid=0 ses=1 msg='op=a\x1db res=success'",
	"a message without res":        `type=USER ID pid=1 uid=0 auid=0 ses=1 msg='hello'`,
	"an empty message":             `type=USER ID pid=1 uid=0 auid=0 ses=1 msg=''`,
	"a quote within":               `type=USER_CMD ID pid=1 uid=0 auid=0 ses=1 msg='acct="o'brien" res=failed'`,
	"an old header in a message":   `type=USER ID pid=1 uid=0 auid=0 ses=1 msg='see type=CWD msg=audit(1600000000.1:1): x'`,
	"an address unknown to auditd": "type=SOCKADDR ID saddr=2B00\x1dSADDR=unknown-family(43)",
	"an address too short":         "type=SOCKADDR ID saddr=0200\x1dSADDR={ saddr_fam=inet sockaddr len too short }",
	"a header in a socket's path": "type=SOCKADDR ID saddr=01002F6120" + fmt.Sprintf("%X", "type=CWD msg=audit(1.1:1): x") + "00" +
		"\x1dSADDR={ saddr_fam=local path=/a type=CWD msg=audit(1.1:1): x }",
	"a new field after saddr": "type=SOCKADDR ID saddr=0100 peer=1",
	"old DAEMON_START":        `type=DAEMON_START ID auditd start, ver=1.7 format=raw kernel=2.6.9 auid=1 pid=2 res=success, auditd pid=2`,
	"a new field of auditd":   `type=DAEMON_START ID op=start ver=9 format=enriched kernel=9 auid=1 pid=2 uid=0 ses=1 res=success features=x`,
	"a node with an equals":   `node=a=b type=CWD ID cwd="/"`,
}

const oddID = "msg=audit(1000.000:5):"

func TestOddRecordsAreWhole(t *testing.T) {
	for name, text := range oddWhole {
		b := audittest.Lines(t, strings.Replace(text, " ID ", " "+oddID+" ", 1)+"\n")
		if IsTruncated(b, 0) {
			t.Errorf("%s looks cut: %q", name, text)
		}
		if n := NewTracker(Options{}).Observe(b, audittest.Epoch); n != 1 {
			t.Errorf("%s looks cut to a Tracker: %q", name, text)
		}
	}
}

// TestCutBehindANewField: a new field at the end does not hide that a record is cut.
func TestCutBehindANewField(t *testing.T) {
	for name, text := range oddWhole {
		if !strings.HasPrefix(name, "a new field") {
			continue
		}
		text = strings.Replace(text, " ID ", " "+oddID+" ", 1)
		k := strings.LastIndexByte(text, '=')
		for _, end := range []string{text[:k+1], text[:k], text[:k-1]} {
			if b := audittest.Lines(t, end+"\n"); !IsTruncated(b, 0) {
				t.Errorf("does not look cut: %q", end)
			}
		}
	}
	for _, text := range []string{
		`type=SYSCALL ID arch=c000003e syscall=2 success=yes exit=3 items=0 uid=0 fsgid=0 tty=pts0 ses=1 comm="x" exe="/x" subj=u:r:t:s0`,
		`type=PATH ID item=0 name="/x" inode=1 nametype=NORMAL cap_fp=0 cap_fi=0`,
		`type=SECCOMP ID auid=0 uid=0 gid=0 ses=1 pid=2 comm="x" exe="/x" sig=0 arch=c000003e syscall=1 compat=0 ip=0x7f`,
		`type=AVC ID apparmor="DENIED" operation="mount" info="failed mntp`,
		`type=UNKNOWN[1425] ID subj_selinux=u:r:t:s0 subj_apparmor=/usr/sbin/cupsd (enf`,
		"type=SOCKADDR ID saddr=01002F61\x1dSADDR={ saddr_fam=local path=/atype=SOCKADDR msg=audit(1000.000:6): saddr=0100\x1dSADDR={ saddr_fam=local path= }",
		"type=USER_CMD ID pid=1 uid=0 msg='op=a type=USER_CMD msg=audit(1000.000:6): pid=1 uid=0 msg='op=b res=success'",
		"type=USER_CMD ID pid=1 uid=0 msg='op=a \x1db",
		"type=SOCKADDR ID saddr=", "type=SOCKADDR ID saddr=020", "type=SOCKADDR ID saddr=02zz",
	} {
		if b := audittest.Lines(t, strings.Replace(text, " ID ", " "+oddID+" ", 1)+"\n"); !IsTruncated(b, 0) {
			t.Errorf("does not look cut: %q", text)
		}
	}
}

// socketEvent is one of a call with an address: name and number of the call, its third
// argument and what it came to, and the hex of its SOCKADDR record, without one where empty.
func socketEvent(serial uint32, call uint32, a2 int, result, saddr string) string {
	id := fmt.Sprintf("msg=audit(1000.000:%d):", serial)
	text := fmt.Sprintf("type=SYSCALL %s arch=c000003e syscall=%d %s a0=3 a1=7ffc0 a2=%x a3=0 items=0 ppid=1 pid=2 auid=1000 uid=1000 gid=1000 "+
		"euid=1000 suid=1000 fsuid=1000 egid=1000 sgid=1000 fsgid=1000 tty=pts0 ses=1 comm=\"x\" exe=\"/x\" subj=unconfined key=\"net\"\n", id, call, result, a2)
	if saddr != "" {
		text += fmt.Sprintf("type=SOCKADDR %s saddr=%s\n", id, saddr)
	}
	return text + fmt.Sprintf("type=PROCTITLE %s proctitle=\"x\"\ntype=EOE %s \n", id, id)
}

// TestAddressesOfAnyLengthAreWhole: the kernel logs as many bytes of an address as the
// program gave. Without a log to look into, a false cut is a loss that was none.
func TestAddressesOfAnyLengthAreWhole(t *testing.T) {
	const bind, connect, accept, sendto, recvfrom, sendmsg = 49, 42, 43, 44, 45, 46
	families := []string{"0000", "0100", "0200", "0A00", "1000", "1100", "2800", "0900", "2600", "2B00", "FFFF", "0002", "000A"}
	for _, result := range []string{"success=yes exit=0", "success=no exit=-22", "success=no exit=-111", "success=no exit=-97", "success=no exit=-13", "success=no exit=-1"} {
		tr, serial := NewTracker(Options{}), uint32(1)
		var text strings.Builder // many at a time: a reader costs more than an event
		give := func(event string) {
			text.WriteString(event)
			serial++
		}
		for range 40 { // so that the rule is that such calls have an address
			give(socketEvent(serial, connect, 16, "success=yes exit=0", "02000050C0A801010000000000000000"))
		}
		for _, family := range families {
			for size := 1; size <= 128; size++ {
				hex := (family + strings.Repeat("41", 126))[:2*size]
				for _, call := range []uint32{bind, connect} {
					give(socketEvent(serial, call, size, result, hex))
				}
				if size%7 == 0 {
					for _, call := range []uint32{accept, sendto, recvfrom, sendmsg, 288, 299, 307} {
						give(socketEvent(serial, call, 7, result, hex))
					}
				}
			}
		}
		for _, call := range []uint32{bind, connect, sendto} { // the kernel takes none, or none so long
			give(socketEvent(serial, call, 0, result, ""))
			give(socketEvent(serial, call, 129, result, ""))
			give(socketEvent(serial, call, -1, result, ""))
		}
		b := audittest.Lines(t, text.String())
		if n := tr.Observe(b, audittest.Epoch); n != len(b.Recs) {
			t.Fatalf("looks cut: %q", b.Bytes(n))
		}
		if due := tr.Due(audittest.Epoch.Add(time.Hour)); len(due) > 0 {
			t.Errorf("%s: %d events are held to be damaged, first %+v", result, len(due), due[0])
		}
	}
}

// TestAShortenedAddressShows: what the call says of its length does show a cut.
func TestAShortenedAddressShows(t *testing.T) {
	for _, c := range []struct{ size, has int }{{16, 8}, {110, 20}, {28, 27}, {8, 6}} {
		tr := NewTracker(Options{})
		b := audittest.Lines(t, audittest.User(1)+socketEvent(2, 42, c.size, "success=yes exit=0", ("0200" + strings.Repeat("41", 126))[:2*c.has])+audittest.User(3))
		if n := tr.Observe(b, audittest.Epoch); n != len(b.Recs) {
			continue // shows by itself
		}
		if due := tr.Due(audittest.Epoch.Add(time.Hour)); len(due) != 1 || due[0].Kind != IncompleteEvent || due[0].First != 2 {
			t.Errorf("%d of %d bytes: %+v", c.has, c.size, due)
		}
		// The log has it whole.
		fix := audittest.Lines(t, fmt.Sprintf("type=SOCKADDR msg=audit(1000.000:2): saddr=%s\n", ("0200" + strings.Repeat("41", 126))[:2*c.size]))
		fix.Recs[0].Flags |= record.FromLog
		tr.Observe(fix, audittest.Epoch)
		if lost := tr.Lost(); len(lost) > 0 {
			t.Errorf("%d of %d bytes: repaired, and lost: %+v", c.has, c.size, lost)
		}
	}
}

// TestPathsThatTheCallHidesAreNotMissed: calls where items= counts more than they have PATH records.
func TestPathsThatTheCallHidesAreNotMissed(t *testing.T) {
	for _, call := range []string{
		"arch=c000003e syscall=240", "arch=c000003e syscall=241", "arch=c000003e syscall=1073742064", // mq_open, mq_unlink, x32
		"arch=40000003 syscall=277", "arch=c00000b7 syscall=180", "arch=c0000102 syscall=181", "arch=16 syscall=271", "arch=14 syscall=262",
	} {
		id := "msg=audit(1000.000:2):"
		text := audittest.User(1) + "type=SYSCALL " + id + " " + call + ` success=yes exit=3 a0=1 a1=2 a2=3 a3=4 items=2 ppid=1 pid=2 uid=0 exe="/x" key=(null)` + "\n" +
			"type=CWD " + id + " cwd=\"/\"\ntype=PATH " + id + ` item=0 name="q" inode=1 nametype=NORMAL cap_fp=0 cap_fi=0 cap_fe=0 cap_fver=0 cap_frootid=0` + "\n" +
			"type=PROCTITLE " + id + " proctitle=\"x\"\ntype=EOE " + id + " \n" + audittest.User(3)
		tr := NewTracker(Options{})
		if b := audittest.Lines(t, text); tr.Observe(b, audittest.Epoch) != len(b.Recs) {
			t.Errorf("%s looks cut", call)
		}
		if due := tr.Due(audittest.Epoch.Add(time.Hour)); len(due) > 0 {
			t.Errorf("%s: %+v", call, due)
		}
	}
}
