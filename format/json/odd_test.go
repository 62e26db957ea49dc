package json

import (
	"strings"
	"testing"
)

// hold holds the line of a record against what it has to have; "!" stands in front of what is
// not there.
func hold(t *testing.T, record string, wants ...string) {
	t.Helper()
	typ, body, _ := strings.Cut(record, " ")
	got := line(t, Options{}, 0, "type="+typ+" msg=audit(1.000:1): "+body)
	for _, want := range wants {
		if w, not := strings.CutPrefix(want, "!"); not == strings.Contains(got, w) {
			t.Errorf("%q: %s in %s", record, want, got)
		}
	}
}

func TestVerdictOfSELinuxIsShown(t *testing.T) {
	const noRaw, none = `!"raw":`, `!"seperms":`
	hold(t, `AVC avc:  denied  { execmem } for  pid=1 tclass=process`, `"words":"avc:  denied  { execmem } for  ","seresult":"denied","seperms":["execmem"],"pid":1`, noRaw)
	hold(t, `AVC avc:  granted  { read  write 0x400 } for  pid=1`, `"seresult":"granted","seperms":["read","write","0x400"],"pid":1`, noRaw)
	hold(t, `AVC avc: denied {read} for pid=1`, `"seresult":"denied","seperms":["read"]`, noRaw)
	hold(t, `AVC avc:  denied  null for  pid=1`, `"seresult":"denied","seperms":[]`, noRaw)
	hold(t, `AVC avc:  denied  { } for  pid=1`, `"seresult":"denied","seperms":[]`, noRaw)
	hold(t, "AVC avc:  denied  { a\xff% } for  pid=1", `"seperms":["a%ff%25"]`, `"encoding":"percent"`, noRaw)
	hold(t, `USER_AVC pid=1 uid=81 msg='avc:  denied  { send_msg } for msgtype=signal dest=x exe="/x" sauid=81 hostname=?'`,
		`"msg":{"words":"avc:  denied  { send_msg } for ","seresult":"denied","seperms":["send_msg"],"msgtype":"signal"`, noRaw)
	hold(t, `USER_AVC pid=1 uid=81 msg='avc:  received policyload notice (seqno=2) exe="/x"'`, `"words":"avc:  received policyload notice (seqno=2) "`, none)
	hold(t, `AVC avc:  denied  { read for  pid=1`, none, noRaw)
	hold(t, `AVC avc:  refused  { read } for  pid=1`, none, noRaw)
	hold(t, `AVC apparmor="DENIED" operation="open" denied_mask="r"`, none, `!"seresult"`, noRaw)
	hold(t, `USER_LOGIN msg='avc:  denied  { read } for  pid=1'`, none, noRaw)
	// Fields of these names.
	hold(t, `SELINUX_ERR op=security_bounded_transition seresult=denied oldcontext=a newcontext=b`, `"seresult":"denied","oldcontext"`, none, noRaw)
	hold(t, `AVC avc:  denied  { read } for  seresult=granted seperms=write`, `"seresult":"denied","seperms":["read"],"seresult_":"granted","seperms_":"write"`, noRaw)
	hold(t, `AVC seresult=granted avc:  denied  { read } for  pid=1`, `"seresult":"granted avc:  denied  { read } for","pid":1`, none, noRaw)
	hold(t, `AVC seresult="granted" avc:  denied  { read } for  pid=1`, `"seresult":"granted","words":" avc:  denied  { read } for  ","pid":1`, none, noRaw)
}

func TestOldLoginHasTheNamesOfToday(t *testing.T) {
	const noRaw = `!"raw":`
	hold(t, `LOGIN pid=2 uid=0 old auid=700 new auid=701 old ses=3 new ses=4`, `"old-auid":700,"auid":701,"old-ses":3,"ses":4,`,
		`"spelled":{"old-auid":"old auid","auid":"new auid","old-ses":"old ses","ses":"new ses"}`, `!"words"`, noRaw)
	hold(t, `LOGIN login pid=2 uid=0 old auid=4294967295 new auid=0 old ses=4294967295 new ses=4`, `"words":"login ","pid":2`, `"old-auid":null,"auid":0,"old-ses":null,"ses":4,`, noRaw)
	hold(t, `LOGIN login pid=2 uid=0 old loginuid=-1 new loginuid=5`, `"old-auid":null,"auid":5,`, `"literal":{"old-auid":"-1"},"spelled":{"old-auid":"old loginuid","auid":"new loginuid"}`, noRaw)
	hold(t, `LOGIN pid=2 uid=0 old-auid=1 new-auid=2 old-ses=3 new-ses=4 res=1`, `"old-auid":1,"auid":2,"old-ses":3,"ses":4,"res":"1"`, `"spelled":{"auid":"new-auid","ses":"new-ses"}`, noRaw)
	hold(t, `LOGIN pid=2 uid=0 subj=a:b old auid=1  new auid=2`, `"subj":"a:b","old-auid":1,"auid":2`, `"blanks":["auid"]`, noRaw)
	hold(t, `LOGIN old auid=1 old auid=2`, `"old-auid":1`, `!"auid"`, `"raw":`)
	hold(t, `LOGIN old-auid=1 auid=2 old auid=3`, `"old-auid":1,"auid":2`, `"raw":`)
	hold(t, `LOGIN pid=2 uid=0 old-auid=4294967295 auid=2 tty=(none) old-ses=4294967295 ses=4 res=1`, `"old-auid":null,"auid":2,"tty":"(none)","old-ses":null,"ses":4`, `!"spelled"`, noRaw)
	hold(t, `USER_LOGIN uid=0 msg='old auid=1 new auid=2'`, `"auid":1`, `!"old-auid"`, `"raw":`) // no LOGIN of the kernel
	hold(t, "LOGIN pid=2 uid=0 old auid=700 new auid=0\x1dUID=\"root\" AUID=\"joe\" AUID=\"root\"", `"old-auid":700,"old-auser":"joe","auid":0,"auser":"root"`, noRaw)
	hold(t, "LOGIN pid=2 uid=0 old auid=4294967295 new auid=0\x1dUID=\"root\" AUID=\"unset\" AUID=\"root\"", `"old-auid":null,"auid":0,"auser":"root"`, noRaw)
}

// TestNameOfATableIsOneValue: any user may choose what stands in it.
func TestNameOfATableIsOneValue(t *testing.T) {
	hold(t, `NETFILTER_CFG table=x family=2 comm="a" msg='b':5 family=1 entries=3 op=nft_register_table pid=9 comm="nft"`,
		`"table":"x family=2 comm=\"a\" msg='b':5","family":1,"entries":3,"op":"nft_register_table","pid":9,"comm":"nft"`, `!"raw":`, `!"quoted":`)
}

// TestNamesWithoutASeparator: names are auditd's where no program can have written them.
func TestNamesWithoutASeparator(t *testing.T) {
	const noRaw, none = `!"raw":`, `!"names"`
	const login = `USER_LOGIN pid=1 uid=0 auid=0 ses=6 msg='op=login id=0 exe="/x" res=success'`
	const names = `UID="root" AUID="root" ID="joe"`
	for sep, shown := range map[string]string{"\x1d": `!"separator"`, "": `"separator":""`, " ": `"separator":" "`, "#035": `"separator":"#035"`} {
		hold(t, login+sep+names, shown, `"user":"root"`, `"id":0,"id_name":"joe"`, `"res":"success"}`, `"names":"auditd"`, noRaw)
		hold(t, `SYSCALL arch=c000003e syscall=257 auid=5 uid=0 comm="UID=x" key="fs"`+sep+`ARCH=x86_64 SYSCALL=openat AUID="ops" UID="root"`,
			shown, `"comm":"UID=x"`, `"key":"fs"`, `"auser":"ops"`, `"user":"root"`, noRaw)
		hold(t, `SYSCALL arch=c000003e syscall=257 uid=0 key=(null)`+sep+`ARCH=x86_64 SYSCALL=openat UID="root"`, shown, `"key":null`, `"user":"root"`, noRaw)
		hold(t, `SECCOMP auid=5 uid=0 exe="/x" sig=0 arch=c000003e syscall=41 compat=0 ip=0x7f code=0x7ffc0000`+sep+`AUID="a" UID="b" ARCH=x86_64 SYSCALL=socket`,
			shown, `"code":"0x7ffc0000"`, `"auser":"a"`, noRaw)
	}
	hold(t, `PATH item=0 name="/x" ouid=0 ogid=0 nametype=NORMAL cap_frootid=0OUID="root" OGID="root"`, `"cap_frootid":0`, `"ouser":"root"`, noRaw)
	hold(t, `PATH item=0 name="/x" ouid=0 ogid=0 nametype=NORMALOUID="root" OGID="root"`, `"nametype":"NORMAL"`, `"ouser":"root"`, noRaw)
	hold(t, `SOCKADDR saddr=020000097F0000010000000000000000SADDR={ saddr_fam=inet laddr=127.0.0.1 lport=9 }`, `"addr":"127.0.0.1"`, `"separator":""`, noRaw)
	// Not auditd's.
	hold(t, `USER_LOGIN pid=1 uid=0 msg='op=x acct="a"UID="root"'`, none, noRaw)
	hold(t, `USER_LOGIN pid=1 uid=0 msg='op=x' UID="root" exe="/x" res=1'`, none, `"exe":"/x"`)
	hold(t, `USER_LOGIN pid=1 uid=0 msg='op=x UID="root"`, none)
	hold(t, `SYSCALL arch=c000003e uid=0 comm="'UID=root" exe="/x"`, none, `"exe":"/x"`, noRaw)
	hold(t, `SYSCALL uid=0 exe="/x'UID=root"`, none, `"exe":"/x'UID=root"`, noRaw)
	hold(t, `SYSCALL arch=c000003e uid=0 exe="/x"UID="root"`, none) // ARCH= is missing
	hold(t, `CWD cwd="/x"UID="root"`, none)
	// Two separators: the program's is the program's.
	hold(t, "USER_LOGIN uid=0 msg='op='\x1dUID=\"evil\" exe=\"/x\" res=1'\x1dUID=\"root\"", `"user":"root"`, `"exe":"/x","res":"1"`)
	hold(t, "USER_LOGIN uid=0 msg='op='\x1dUID=\"evil\"'", none)
	hold(t, "USER_LOGIN uid=0 msg='op='\x1dUID=\"evil\" exe=\"/x\" res=succ", none, `"exe":"/x"`)
	hold(t, "USER_LOGIN uid=0 msg='op=\x1dUID=\"evil\" exe=\"/x\" res=succ", none, `"exe":"/x"`)
	hold(t, "UNKNOWN[3100] uid=0 msg='op='\x1dUID=\"evil\" exe=\"/x\"'\x1dUID=\"root\"", `"user":"root"`, `"exe":"/x"`)
}
