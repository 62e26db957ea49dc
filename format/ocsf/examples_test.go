package ocsf

import (
	"strings"
	"testing"

	"audisp-relay/audit/audittest"
	"audisp-relay/audit/record"
)

// example is an event and what it is to be. Its records are without "msg=audit(...): ".
type example struct {
	name    string
	records []string
	want    string // PATH=VALUE, a blank between; "!PATH" is not there
}

func (c example) lines() string {
	var b strings.Builder
	for _, r := range c.records {
		typ, rest, _ := strings.Cut(r, " ")
		b.WriteString("node=web1 type=" + typ + " msg=audit(1700000000.123:42): " + rest + "\n")
	}
	return b.String()
}

const ofProcess = ` ppid=10 pid=11 auid=1000 uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 tty=pts0 ses=3 comm="cmd" exe="/usr/bin/cmd" subj=unconfined key="k1"`

func syscall(number, rest string) string {
	return "SYSCALL arch=c000003e syscall=" + number + " " + rest + ofProcess
}

var examples = []example{
	{"execve", []string{
		syscall("59", "success=yes exit=0 a0=1 a1=2 a2=3 a3=4 items=2") + "\x1dARCH=x86_64 SYSCALL=execve AUID=\"joe\" UID=\"root\" GID=\"wheel\"",
		`EXECVE argc=3 a0="cmd" a1=612062 a2=""`, `CWD cwd="/srv"`, `PATH item=0 name="/usr/bin/cmd" inode=7 dev=08:01 mode=0100755 ouid=0 ogid=0 nametype=NORMAL`, "EOE ",
	}, `class_uid=1007 category_uid=1 activity_id=1 type_uid=100701 time=1700000000123 status_id=1 launch_type_id=3 !activity_name
		actor.process={"pid":10} actor.user={"name":"root","uid":"0"} process.pid=11 process.name=cmd process.file.name=cmd process.file.path=/usr/bin/cmd
		process.file.type_id=1 process.parent_process.pid=10 process.working_directory=/srv process.session={"terminal":"pts0","uid":"3"} process.user.uid=0
		process.auid=1000 process.euid=0 process.egid=0 process.group={"name":"wheel","uid":"0"} unmapped.args=["cmd","a%20b",""] unmapped.arch=x86_64 unmapped.syscall=execve
		unmapped.keys=["k1"] unmapped.subj=unconfined !unmapped.pid !unmapped.success unmapped.records.0.type=PATH unmapped.records.0.name=/usr/bin/cmd
		device.hostname=web1 device.os.name=Linux metadata.uid=1700000000.123:42@web1 metadata.original_event_uid=1700000000.123:42 metadata.sequence=42
		metadata.event_code=SYSCALL metadata.version=1.8.0 metadata.profiles=["host","linux/linux_users"]`},
	{"execve that failed", []string{
		syscall("59", "success=no exit=-2 a0=1 a1=2 a2=3 a3=4 items=1"), `CWD cwd="/srv"`, `PATH item=0 name="./gone" nametype=UNKNOWN`,
	}, `class_uid=1007 activity_id=1 status_id=2 status_code=ENOENT actor.process.pid=11 actor.process.file.path=/usr/bin/cmd
		process={"file":{"name":"gone","path":"/srv/gone","type_id":0},"pid":11} launch_type_id=3`},
	{"fork", []string{syscall("57", "success=yes exit=77")}, `class_uid=1007 activity_id=1 launch_type_id=2 process={"parent_process":{"pid":11},"pid":77} actor.process.pid=11`},
	{"fork that failed", []string{syscall("57", "success=no exit=-11")}, `class_uid=0 activity_id=99 activity_name=fork status_code=EAGAIN`},
	{"fork of what is no pid", []string{syscall("57", "success=yes exit=4294967296")}, `class_uid=0 activity_name=fork unmapped.exit=4294967296`},
	{"thread", []string{syscall("56", "success=yes exit=77 a0=3d0f00")}, `class_uid=0 activity_name=clone`},
	{"thread on s390x", []string{"SYSCALL arch=80000016 syscall=120 success=yes exit=77 a0=3ff80000000 a1=3d0f00" + ofProcess}, `class_uid=0 activity_name=clone`},
	{"child on s390x", []string{"SYSCALL arch=80000016 syscall=120 success=yes exit=77 a0=3ff80018000 a1=1200011" + ofProcess}, `class_uid=1007 activity_id=1 process={"parent_process":{"pid":11},"pid":77}`},
	{"sibling", []string{syscall("56", "success=yes exit=77 a0=8011")}, `class_uid=1007 activity_id=1 launch_type_id=2 process={"parent_process":{"pid":10},"pid":77} actor.process.pid=11`},
	{"exit", []string{syscall("231", "a0=1")}, `class_uid=1007 activity_id=2 process.pid=11 !status_id`},
	{"exit of what may be a thread", []string{syscall("60", "a0=1")}, `class_uid=1007 activity_id=99 activity_name=exit process.pid=11 process.name=cmd`},
	{"clone3", []string{syscall("435", "success=yes exit=77 a0=7ffd a1=58")}, `class_uid=1007 activity_id=99 activity_name=clone3 process.pid=11 unmapped.exit=77 !launch_type_id`},
	{"module", []string{syscall("313", "success=yes exit=0 a0=3"), `KERN_MODULE name="evil"`},
		`class_uid=1002 category_uid=1 activity_id=1 type_uid=100201 driver={"file":{"name":"evil","type_id":0}} actor.process.pid=11 actor.user.uid=0 status_id=1 !unmapped.records`},
	{"module that is taken out", []string{syscall("176", "success=yes exit=0"), `KERN_MODULE name=652076`}, `class_uid=1002 activity_id=2 driver.file.name=e%20v`},
	{"module that is not named", []string{syscall("313", "success=no exit=-1 a0=3")}, `class_uid=0 activity_name=finit_module status_code=EPERM`},
	{"kill", []string{syscall("62", "success=yes exit=0 a0=63 a1=9"), `OBJ_PID opid=99 oauid=4294967295 ouid=1000 oses=5 obj=x ocomm="victim"`},
		`class_uid=1007 activity_id=99 activity_name=kill type_uid=100799 process.pid=99 process.name=victim process.session.uid=5 process.user.uid=1000 !process.auid
		unmapped.records.0.oauid=4294967295 actor.process.pid=11`},
	{"kill without its object", []string{syscall("62", "success=yes exit=0")}, `class_uid=0 activity_name=kill`},
	{"setuid", []string{syscall("105", "success=yes exit=0 a0=3e8")}, `class_uid=1007 activity_id=5 process.pid=11 !launch_type_id`},
	{"crash", []string{`ANOM_ABEND auid=1000 uid=1000 gid=1000 ses=3 pid=11 comm="cmd" exe="/usr/bin/cmd" sig=11 res=1`},
		`class_uid=1007 activity_id=2 process.pid=11 process.name=cmd process.auid=1000 unmapped.sig=11 status_id=1 metadata.event_code=ANOM_ABEND`},

	{"open", []string{syscall("257", "success=yes exit=3 a0=ffffff9c"), `CWD cwd="/home/joe"`, `PATH item=0 name="../joe//.x" inode=9 dev=08:01 mode=0100600 ouid=1000 ogid=0 nametype=NORMAL`},
		`class_uid=1001 activity_id=14 file.path=/home/joe/.x file.name=.x file.type_id=1 file.uid=9 file.owner.uid=1000 actor.process.pid=11 actor.process.working_directory=/home/joe
		unmapped.records.0.name=../joe//.x unmapped.records.0.mode=0100600`},
	{"open below a descriptor", []string{syscall("257", "success=yes exit=3 a0=5"), `CWD cwd="/home/joe"`, `PATH item=0 name="x" nametype=NORMAL`}, `class_uid=1001 file.path=x file.type_id=0`},
	{"open that creates", []string{syscall("257", "success=yes exit=3"), `PATH item=0 name="/etc/" mode=040755 nametype=PARENT`, `PATH item=1 name="/etc/x" mode=0100644 nametype=CREATE`},
		`class_uid=1001 activity_id=1 file.path=/etc/x`},
	{"mkdir", []string{syscall("83", "success=yes exit=0"), `PATH item=0 name="/etc" mode=040755 nametype=PARENT`, `PATH item=1 name="/etc/d/" mode=040755 nametype=CREATE`},
		`class_uid=1001 activity_id=1 file.path=/etc/d/ file.name=d file.type_id=2`},
	{"unlink", []string{syscall("87", "success=yes exit=0"), `PATH item=0 name="/etc" nametype=PARENT`, `PATH item=1 name="/etc/x" nametype=DELETE`}, `class_uid=1001 activity_id=4 file.path=/etc/x`},
	{"rename", []string{syscall("82", "success=yes exit=0"), `PATH item=0 name="/a" nametype=PARENT`, `PATH item=1 name="/b" nametype=PARENT`, `PATH item=2 name="/a/x" nametype=DELETE`,
		`PATH item=3 name="/b/y" nametype=DELETE`, `PATH item=4 name="/b/y" nametype=CREATE`}, `class_uid=1001 activity_id=5 file.path=/a/x file_result.path=/b/y`},
	{"chmod", []string{syscall("90", "success=no exit=-1"), `PATH item=0 name="/etc/x" nametype=NORMAL`}, `class_uid=1001 activity_id=7 status_code=EPERM`},
	{"file without a name", []string{syscall("91", "success=yes exit=0"), `PATH item=0 name=(null) inode=7 nametype=NORMAL`}, `class_uid=0 activity_name=fchmod unmapped.records.0.inode=7 actor.process.pid=11`},
	{"mount", []string{syscall("165", "success=yes exit=0"), `PATH item=0 name="/mnt" nametype=NORMAL`}, `class_uid=1001 activity_id=12 file.path=/mnt`},
	{"root", []string{syscall("4", "success=yes exit=0"), `PATH item=0 name="/" mode=040755 nametype=NORMAL`}, `activity_id=8 file.path=/ file.name=/`},

	{"connect", []string{syscall("42", "success=yes exit=0"), "SOCKADDR saddr=020000357F0000010000000000000000\x1dSADDR={ saddr_fam=inet laddr=127.0.0.1 lport=53 }"},
		`class_uid=4001 category_uid=4 activity_id=1 dst_endpoint={"ip":"127.0.0.1","port":53} connection_info={"direction_id":2,"protocol_ver_id":4} actor.process.pid=11
		unmapped.records.0.saddr=020000357F0000010000000000000000 !src_endpoint`},
	{"connect of a program of 32 bits", []string{`SYSCALL arch=40000003 syscall=102 success=yes exit=0 a0=3 a1=ff` + ofProcess, `SOCKETCALL nargs=3 a0=5 a1=ff a2=10`, `SOCKADDR saddr=020000357F0000010000000000000000`},
		`class_uid=4001 activity_id=1 dst_endpoint={"ip":"127.0.0.1","port":53} unmapped.syscall=socketcall`},
	{"connect by io_uring", []string{`URINGOP uring_op=16 success=no exit=-111 items=0 ppid=10 pid=11 uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 subj=x key="k1"`, `SOCKADDR saddr=020000357F0000010000000000000000`},
		`class_uid=4001 activity_id=5 status_id=2 status_code=ECONNREFUSED dst_endpoint.ip=127.0.0.1 actor.process.pid=11 actor.user.uid=0 metadata.event_code=URINGOP unmapped.uring_op=16`},
	{"file opened by io_uring", []string{`URINGOP uring_op=18 success=yes exit=4 items=1 ppid=10 pid=11 uid=0 key="k1"`, `CWD cwd="/etc"`, `PATH item=0 name="/etc/shadow" nametype=NORMAL`}, `class_uid=1001 activity_id=14 file.path=/etc/shadow`},
	{"file of a directory opened by io_uring", []string{`URINGOP uring_op=18 success=yes exit=4 items=1 ppid=10 pid=11 uid=0 key="k1"`, `CWD cwd="/etc"`, `PATH item=0 name="shadow" nametype=NORMAL`}, `class_uid=1001 file.path=shadow`},
	{"file opened by io_uring at once", []string{`URINGOP uring_op=18 success=no exit=-13 items=1 ppid=10 pid=11 uid=0 key="k1"`, syscall("426", "success=yes exit=1 a0=5"), `CWD cwd="/etc"`, `PATH item=0 name="/etc/shadow" nametype=NORMAL`},
		`class_uid=1001 activity_id=14 status_id=2 status_code=EACCES file.path=/etc/shadow actor.process.pid=11 metadata.event_code=SYSCALL`},
	{"operation of io_uring that has no call", []string{`URINGOP uring_op=46 success=no exit=-13 items=0 ppid=10 pid=11 uid=0 key="k1"`, syscall("426", "success=yes exit=1 a0=5")}, `class_uid=0 activity_name=URINGOP status_id=2 !status_code`},
	{"another operation of io_uring", []string{`URINGOP uring_op=46 success=yes exit=0 items=0 ppid=10 pid=11 uid=0 key="k1"`}, `class_uid=0 activity_name=URINGOP`},
	{"datagram to an address of no family", []string{syscall("44", "success=yes exit=5"), `SOCKADDR saddr=00000035080808080000000000000000`}, `class_uid=4001 activity_id=6 dst_endpoint={"ip":"8.8.8.8","port":53} connection_info.protocol_ver_id=4`},
	{"connection that is taken apart", []string{syscall("42", "success=yes exit=0"), `SOCKADDR saddr=00000035080808080000000000000000`}, `class_uid=0 activity_name=connect`},
	{"connect that is refused", []string{syscall("42", "success=no exit=-111"), `SOCKADDR saddr=020000357F0000010000000000000000`}, `activity_id=5 status_id=2 status_code=ECONNREFUSED`},
	{"connect that fails", []string{syscall("42", "success=no exit=-113"), `SOCKADDR saddr=020000357F0000010000000000000000`}, `activity_id=4 status_id=2 status_code=EHOSTUNREACH`},
	{"connect that does not wait", []string{syscall("42", "success=no exit=-115"), `SOCKADDR saddr=020000357F0000010000000000000000`}, `activity_id=1 status_id=99 status_code=EINPROGRESS`},
	{"accept", []string{syscall("43", "success=yes exit=5"), `SOCKADDR saddr=0A00D431000000000000000000000000000000000000000100000000`},
		`class_uid=4001 src_endpoint={"ip":"::1","port":54321} connection_info={"direction_id":1,"protocol_ver_id":6} !dst_endpoint`},
	{"bind", []string{syscall("49", "success=yes exit=0"), `SOCKADDR saddr=020000357F0000010000000000000000`}, `class_uid=4001 activity_id=99 activity_name=bind dst_endpoint.port=53 connection_info.direction_id=0`},
	{"connect within the host", []string{syscall("42", "success=yes exit=0"), `SOCKADDR saddr=01002F72756E2F78`}, `class_uid=0 activity_name=connect actor.process.pid=11`},

	{"login", []string{`USER_LOGIN pid=11 uid=0 auid=1000 ses=3 msg='op=login id=1000 exe="/usr/sbin/sshd" hostname=far.example addr=192.0.2.7 terminal=ssh res=success'` + "\x1dUID=\"root\" AUID=\"joe\" ID=\"joe\""},
		`class_uid=3002 category_uid=3 activity_id=1 user={"name":"joe","uid":"1000"} src_endpoint={"hostname":"far.example","ip":"192.0.2.7"} service.name=sshd
		session={"terminal":"ssh","uid":"3"} status_id=1 actor.process.pid=11 actor.process.file.path=/usr/sbin/sshd actor.user.name=root unmapped.op=login !unmapped.id`},
	{"login that failed", []string{`USER_LOGIN pid=11 uid=0 auid=4294967295 ses=4294967295 msg='op=login acct="0" exe="/usr/sbin/sshd" hostname=? addr=not-an-address terminal=ssh res=failed'`},
		`class_uid=3002 user={"name":"0"} status_id=2 !src_endpoint unmapped.addr=not-an-address unmapped.auid=4294967295 !actor.process.auid`},
	{"login from an address that is too long", []string{`USER_LOGIN pid=11 uid=0 acct="joe" addr=0000:0000:0000:0000:0000:ffff:192.168.100.200 res=success`},
		`class_uid=3002 !src_endpoint unmapped.addr=0000:0000:0000:0000:0000:ffff:192.168.100.200`},
	{"login without a program", []string{`USER_LOGIN pid=11 uid=0 acct="joe" res=success`}, `class_uid=3002 dst_endpoint.hostname=web1 user.name=joe`},
	{"session", []string{`USER_END pid=11 uid=0 auid=1000 ses=3 msg='op=PAM:session_close acct="joe" exe="/usr/bin/su" res=success'`}, `class_uid=3002 activity_id=2 user.name=joe`},
	{"authentication", []string{`USER_AUTH pid=11 uid=0 auid=1000 ses=3 msg='op=PAM:authentication acct="joe" exe="/usr/bin/su" res=odd'`},
		`class_uid=3002 activity_id=99 activity_name=USER_AUTH type_uid=300299 status_id=99 status=odd`},
	{"result that is empty", []string{`USER_AUTH pid=11 uid=0 msg='acct="joe" res=""'`, syscall("44", "success=no exit=-1")},
		`class_uid=3002 status_id=2 status_code=EPERM !status`},
	{"LOGIN", []string{`LOGIN pid=11 uid=0 old-auid=4294967295 auid=1000 tty=(none) old-ses=4294967295 ses=3 res=1`, syscall("1", "success=yes exit=4")},
		`class_uid=3002 activity_id=99 activity_name=LOGIN user.uid=1000 metadata.event_code=LOGIN actor.process.name=cmd service.name=cmd status_id=1 unmapped.records.0.type=SYSCALL`},
	{"LOGIN of an old kernel", []string{"LOGIN pid=11 uid=0 old auid=4294967295 new auid=1000 old ses=1 new ses=3\x1dUID=\"root\" AUID=\"unset\" AUID=\"joe\""}, `class_uid=3002 user={"uid":"1000"}`},

	{"account", []string{`ADD_USER pid=11 uid=0 auid=1000 ses=3 msg='op=adding user id=1001 exe="/usr/sbin/useradd" res=success'` + "\x1dUID=\"root\" AUID=\"joe\" ID=\"unknown(1001)\""},
		`class_uid=3001 activity_id=1 user={"uid":"1001"} unmapped.op=adding%20user actor.user.name=root status_id=1`},
	{"password", []string{`USER_CHAUTHTOK pid=11 uid=0 auid=1000 ses=3 msg='op=PAM:chauthtok acct="joe" exe="/usr/bin/passwd" res=success'`}, `class_uid=3001 activity_id=3 user.name=joe`},
	{"group's password", []string{`USER_CHAUTHTOK pid=11 uid=0 auid=1000 ses=3 msg='op=change acct="wheel" exe="/usr/bin/gpasswd" res=success'`}, `class_uid=0 activity_name=USER_CHAUTHTOK unmapped.acct=wheel`},
	{"faillock", []string{`RESP_ACCT_LOCK pid=11 uid=0 auid=1000 ses=3 msg='op=pam_faillock suid=1001 exe="/usr/bin/su" res=success'`}, `class_uid=3001 activity_id=9 user.uid=1001`},

	{"group", []string{`ADD_GROUP pid=11 uid=0 auid=1000 ses=3 msg='op=add-group id=2001 exe="/usr/sbin/groupadd" hostname=h res=success'` + "\x1dID=\"staff\""},
		`class_uid=3006 category_uid=3 activity_id=6 type_uid=300606 group={"name":"staff","uid":"2001"} src_endpoint.hostname=h !user !unmapped.id unmapped.op=add-group status_id=1 actor.user.uid=0`},
	{"group that was removed", []string{`DEL_GROUP pid=11 uid=0 msg='op=delete-group grp="bob" acct="bob" exe="/usr/sbin/userdel" res=success'`}, `class_uid=3006 activity_id=5 group={"name":"bob"} unmapped.acct=bob !user`},
	{"member", []string{`GRP_MGMT pid=11 uid=0 msg='op=add-user-to-group grp="wheel" acct="bob" exe="/usr/sbin/usermod" res=success'`},
		`class_uid=3006 activity_id=3 group={"name":"wheel"} user={"name":"bob"} !unmapped.acct !unmapped.grp !activity_name`},
	{"member of an account's record", []string{`USER_MGMT pid=11 uid=0 msg='op=deleting-user-from-group grp="wheel" id=1001 exe="/usr/sbin/userdel" res=success'`},
		`class_uid=3006 activity_id=4 group={"name":"wheel"} user={"uid":"1001"}`},
	{"members", []string{`GRP_MGMT pid=11 uid=0 msg='op=set-admins-of-group grp="wheel" acct="a,b" exe="/usr/bin/gpasswd" res=success'`},
		`class_uid=3006 activity_id=99 activity_name=GRP_MGMT group={"name":"wheel"} unmapped.acct=a,b !user`},
	{"member of what is not said", []string{`GRP_MGMT pid=11 uid=0 msg='op=add-user-to-group acct="bob" exe="/usr/sbin/usermod" res=success'`}, `class_uid=0 activity_name=GRP_MGMT unmapped.acct=bob`},
	{"password of a group", []string{`GRP_CHAUTHTOK pid=11 uid=0 msg='op=changing acct="wheel" exe="/usr/sbin/groupmod" res=success'`}, `class_uid=3006 activity_id=99 group={"name":"wheel"} !unmapped.acct`},
	{"group without a name", []string{`ADD_GROUP pid=11 uid=0 msg='op=add-group exe="/usr/sbin/groupadd" res=success'`}, `class_uid=0 activity_name=ADD_GROUP`},
	{"account of another program with a group", []string{`ADD_USER pid=11 uid=0 msg='op=add-user acct="bob" grp="users" exe="/usr/sbin/x" res=success'`}, `class_uid=3001 activity_id=1 user.name=bob unmapped.grp=users`},
	{"another record", []string{`CONFIG_CHANGE auid=1000 ses=3 op=add_rule key="k" list=4 res=1`}, `class_uid=0 category_uid=0 activity_id=99 activity_name=CONFIG_CHANGE type_uid=99 unmapped.keys=["k"] unmapped.list=4 !actor`},
	{"rule by a system call", []string{`CONFIG_CHANGE auid=1000 op=add_rule res=0`, syscall("44", "success=yes exit=9")},
		`class_uid=0 activity_name=CONFIG_CHANGE status_id=2 actor.process.pid=11 unmapped.records.0.syscall=sendto`},
	{"SELinux", []string{`AVC avc:  denied  { read write } for  pid=11 comm="cmd" scontext=a`, syscall("257", "success=no exit=-13"), `PATH item=0 name="/x" nametype=NORMAL`},
		`class_uid=1001 unmapped.records.0.seresult=denied unmapped.records.0.seperms=read%20write status_code=EACCES`},
	{"a program's own", []string{`USER pid=11 uid=0 auid=1000 msg='uid=5 type=x keys=y res=1 key=z args=1'`},
		`class_uid=0 actor.user.uid=0 unmapped.type_=x unmapped.keys_=y unmapped.key=z unmapped.args_=1 !unmapped.uid !unmapped.keys`},
	{"only parts", []string{`CWD cwd="/x"`}, `class_uid=0 activity_name=CWD unmapped.records.0.cwd=/x !actor`},
	{"program and system call", []string{`USER_LOGIN pid=11 uid=0 msg='op=login acct="joe" exe="/bin/login" res=success'`, syscall("44", "success=yes exit=9")},
		`class_uid=3002 user.name=joe status_id=1 actor.process.name=cmd service.name=login`},
}

// TestExamples: what is expected is said in words of JSON, with %20 for a blank.
func TestExamples(t *testing.T) {
	for _, c := range examples {
		n := 0
		audittest.Events(t, []byte(c.lines()), func(b *record.Batch, i, j int) {
			n++
			line, doc := checkEvent(t, newEncoder(Options{}), b, i, j)
			for want := range strings.FieldsSeq(c.want) {
				path, value, there := strings.Cut(want, "=")
				path, value = strings.TrimPrefix(path, "!"), strings.ReplaceAll(value, "%20", " ")
				if got := shown(member(doc, path)); got != value || there == (got == "") {
					t.Errorf("%s: %s is %s, want %s in\n%s", c.name, path, got, value, line)
				}
			}
		})
		if n != 1 {
			t.Errorf("%s: %d events", c.name, n)
		}
	}
}

// TestUnusualEvents: without an id or a node, in parts, from the log, with bytes that are no UTF-8.
func TestUnusualEvents(t *testing.T) {
	for _, c := range []struct {
		name  string
		o     Options
		flags uint8
		text  string
		want  string
	}{
		{"no id", Options{}, 0, "words without a header", `time=1700000000123 activity_name=unknown device.name=unknown metadata.labels=["time:written"] !metadata.uid !metadata.sequence`},
		{"after the year 9999", Options{}, 0, "type=CWD msg=audit(253402300800.000:1): ", `time=1700000000123 metadata.labels=["time:written"]`},
		{"node of the relay", Options{Node: "h"}, 0, "type=CWD msg=audit(1.000:1): ", `device.hostname=h metadata.uid=1.000:1@h raw_data=type=CWD%20msg=audit(1.000:1):%20` + "\n"},
		{"part", Options{}, record.End | record.Partial, "type=CWD msg=audit(1.000:1): ", `metadata.uid=1.000:1/part-65cd074b metadata.labels=["incomplete"]`},
		{"log", Options{}, record.FromLog, "type=CWD msg=audit(1.000:1): ", `metadata.labels=["recovered"]`},
		{"bytes", Options{}, 0, "type=USER msg=audit(1.000:1): pid=1 x=\"%\xff\"", `unmapped.x=%25%ff metadata.labels=["encoding:percent"]`},
		{"looked up", Options{Users: fakeUsers{}}, 0, "type=USER msg=audit(1.000:1): pid=1 uid=0 gid=0", `actor.user.name=root actor.process.group.name=wheel`},
		{"another host", Options{Users: fakeUsers{}, Local: "m"}, 0, "node=n type=USER msg=audit(1.000:1): pid=1 uid=0", `actor.user={"uid":"0"}`},
	} {
		audittest.Events(t, []byte(c.text+"\n"), func(b *record.Batch, i, j int) {
			b.Recs[i].Flags |= c.flags
			_, doc := checkEvent(t, newEncoder(c.o), b, i, j)
			for want := range strings.SplitSeq(c.want, " ") {
				path, value, there := strings.Cut(want, "=")
				path, value = strings.TrimPrefix(path, "!"), strings.ReplaceAll(value, "%20", " ")
				if got := shown(member(doc, path)); got != value || there == (got == "") {
					t.Errorf("%s: %s is %q, want %q", c.name, path, got, value)
				}
			}
		})
	}
}
