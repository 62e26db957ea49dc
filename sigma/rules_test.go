package sigma

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"

	"audisp-relay/audit/audittest"
	"audisp-relay/audit/record"
	"audisp-relay/filter"
)

// exec returns the records of an execve.
func exec(exe string, args ...string) []string {
	line := fmt.Sprintf("EXECVE argc=%d", len(args))
	for i, a := range args {
		if strings.ContainsAny(a, " \"") {
			line += fmt.Sprintf(" a%d=%X", i, a)
		} else {
			line += fmt.Sprintf(` a%d="%s"`, i, a)
		}
	}
	return []string{
		`SYSCALL arch=c000003e syscall=59 success=yes exit=0 a0=1 a1=2 a2=3 a3=4 ppid=7 pid=8 auid=1000 uid=0 euid=33 comm="x" exe="` + exe + `" key="detect"` + "\x1dUID=\"root\" EUID=\"www-data\"",
		line, `CWD cwd="/home/bob"`,
	}
}

// file returns the records of an openat that makes a file, or opens one that is there.
func file(exe, name, nametype string) []string {
	return []string{
		`SYSCALL arch=c000003e syscall=257 success=yes exit=3 a0=ffffff9c a1=2 a2=241 a3=1b6 pid=8 auid=1000 uid=0 exe="` + exe + `" key=(null)`,
		`CWD cwd="/etc"`, `PATH item=0 name="/etc/" nametype=PARENT`, `PATH item=1 name="` + name + `" nametype=` + nametype,
	}
}

// connect returns the records of a connect over IPv4.
func connect(exe, saddr string) []string {
	return []string{`SYSCALL arch=c000003e syscall=42 success=no exit=-115 a0=3 a1=2 a2=10 a3=0 pid=8 exe="` + exe + `" key="net"`, `SOCKADDR saddr=` + saddr}
}

// call returns the record of a system call.
func call(number int, a0, exe string) []string {
	return []string{fmt.Sprintf(`SYSCALL arch=c000003e syscall=%d success=yes exit=0 a0=%s a1=0 a2=0 a3=0 pid=8 auid=1000 uid=0 euid=33 comm="split" exe="%s" key="susp"`, number, a0, exe)}
}

// paths returns the records of an event with these names of files.
func paths(names ...string) []string {
	out := []string{`SYSCALL arch=c000003e syscall=82 success=yes exit=0 a0=1 a1=2 exe="/bin/mv"`, `CWD cwd="/"`}
	for i, n := range names {
		name, nametype, _ := strings.Cut(n, " ")
		if nametype == "" {
			nametype = "NORMAL"
		}
		out = append(out, fmt.Sprintf(`PATH item=%d name="%s" nametype=%s`, i, name, nametype))
	}
	return out
}

const (
	process = "category: process_creation"
	files   = "category: file_event"
	network = "category: network_connection"
	auditd  = "service: auditd"
)

// ours are rules in the shape of those that are published, with an event that they are about and a neighbour of it.
var ours = []struct {
	name, source, detection string
	fires, not              []string
}{
	{"end of image", process, "s: {Image|endswith: /nmap}\ncondition: s", exec("/opt/NMAP", "nmap"), exec("/opt/nmap2", "nmap")},
	{"two ends", process, "s: {Image|endswith: [/nc, /ncat]}\ncondition: s", exec("/bin/ncat", "x"), exec("/bin/ncatx", "x")},
	{"image", process, "s: {Image: /usr/bin/id}\ncondition: s", exec("/usr/bin/ID", "id"), exec("/usr/bin/idx", "id")},
	{"image begins", process, "s: {Image|startswith: [/tmp/, /dev/shm/]}\ncondition: s", exec("/dev/shm/a", "a"), exec("/a/tmp/a", "a")},
	{"image has", process, "s: {Image|contains: /.cache/}\ncondition: s", exec("/home/x/.Cache/y", "a"), exec("/home/x/cache/y", "a")},
	{"line has", process, "s: {CommandLine|contains: '--output /tmp'}\ncondition: s", exec("/bin/curl", "curl", "--OUTPUT", "/tmp/x"), exec("/bin/curl", "curl", "--output=/tmp/x")},
	{"line has all", process, "s: {CommandLine|contains|all: [-d, 'base64 ']}\ncondition: s", exec("/bin/base64", "base64", "-d"), exec("/bin/base64", "base64", "x")},
	{"line begins", process, "s: {CommandLine|startswith: 'sudo -u'}\ncondition: s", exec("/bin/sudo", "sudo", "-u", "bob"), exec("/bin/sh", "sh", "sudo", "-u")},
	{"line ends", process, "s: {CommandLine|endswith: ' /etc/shadow'}\ncondition: s", exec("/bin/cat", "cat", "/etc/shadow"), exec("/bin/cat", "cat", "/etc/shadow-")},
	{"line", process, "s: {CommandLine: 'id -u'}\ncondition: s", exec("/bin/id", "id", "-u"), exec("/bin/id", "id", "-un")},
	{"expression", process, "s: {CommandLine|re: 'eval\\s+\\$\\(.{3,}'}\ncondition: s", exec("/bin/sh", "sh", "-c", "eval $(abcd)"), exec("/bin/sh", "sh", "-c", "EVAL $(abcd)")},
	{"expression without case", process, "s: {CommandLine|re|i: 'eval\\s+x'}\ncondition: s", exec("/bin/sh", "sh", "EVAL  x"), exec("/bin/sh", "sh", "EVALx")},
	{"wildcard within", process, "s: {CommandLine|contains: '/etc/*.conf'}\ncondition: s", exec("/bin/vi", "vi", "/etc/a/b.conf"), exec("/bin/vi", "vi", "/etc/a/b.cfg")},
	{"one character", process, "s: {CommandLine: 'kill -? 1'}\ncondition: s", exec("/bin/kill", "kill", "-9", "1"), exec("/bin/kill", "kill", "-15", "1")},
	{"escaped wildcard", process, "s: {CommandLine|contains: 'rm -rf /\\*'}\ncondition: s", exec("/bin/sh", "sh", "-c", "rm -rf /*"), exec("/bin/sh", "sh", "-c", "rm -rf /tmp")},
	{"fields and", process, "s: {Image|endswith: /find, CommandLine|contains: -exec}\ncondition: s", exec("/bin/find", "find", "-exec"), exec("/bin/find", "find")},
	{"list of mappings", process, "s: [{Image|endswith: /a}, {CommandLine|contains: zz}]\ncondition: s", exec("/b", "zz"), exec("/b", "z")},
	{"all of", process, "s_a: {Image|endswith: /tar}\ns_b: {CommandLine|contains: --checkpoint}\ncondition: all of s_*", exec("/bin/tar", "tar", "--checkpoint=1"), exec("/bin/tar", "tar", "-x")},
	{"one of", process, "s_a: {Image|endswith: /a}\ns_b: {Image|endswith: /b}\nt: {Image|endswith: /c}\ncondition: 1 of s_*", exec("/b", "b"), exec("/c", "c")},
	{"them", process, "a: {Image|endswith: /a}\nb: {CommandLine|contains: b}\n_c: {Image: no}\ncondition: all of them", exec("/a", "b"), exec("/a", "c")},
	{"slash in a name", process, "s/a: {Image|endswith: /a}\ns_b: {CommandLine|contains: b}\ncondition: all of s*", exec("/a", "b"), exec("/c", "b")},
	{"not one of", process, "s: {Image|endswith: /wget}\nfilter_main_x: {CommandLine|contains: mirror.local}\ncondition: s and not 1 of filter_main_*", exec("/bin/wget", "wget", "evil"), exec("/bin/wget", "wget", "http://mirror.local")},
	{"brackets", process, "a: {Image|endswith: /a}\nb: {CommandLine|contains: b}\nc: {CommandLine|contains: c}\ncondition: a and (b or not c)", exec("/a", "x"), exec("/a", "c")},
	{"order of words", process, "a: {Image|endswith: /a}\nb: {CommandLine|contains: b}\nc: {CommandLine|contains: c}\ncondition: a or b and not c", exec("/a", "c"), exec("/x", "b", "c")},
	{"directory", process, "s: {CurrentDirectory: /home/bob}\ncondition: s", exec("/a", "a"), append(exec("/a", "a")[:2], `CWD cwd="/home/al"`)},
	{"user", process, "s: {User: Root}\ncondition: s", exec("/a", "a"), append([]string{strings.Replace(exec("/a", "a")[0], `UID="root"`, `UID="bob"`, 1)}, exec("/a", "a")[1:]...)},
	{"parent that is not known", process, "s: {Image|endswith: /sh}\nf: {ParentImage|endswith: /sshd}\ncondition: s and not f", exec("/bin/sh", "sh"), exec("/bin/id", "id")},
	{"windash", process, "s: {CommandLine|windash|contains: ' -enc '}\ncondition: s", exec("/bin/pwsh", "pwsh", "/enc", "x"), exec("/bin/pwsh", "pwsh", "enc", "x")},
	{"base64", process, "s: {CommandLine|base64offset|contains: /bin/bash}\ncondition: s", exec("/bin/sh", "sh", "x=L2Jpbi9iYXNoIC1p"), exec("/bin/sh", "sh", "x=L2Jpbi9zaCAtaQ")},
	{"base64 whole", process, "s: {CommandLine|base64|contains: 'id;id'}\ncondition: s", exec("/bin/sh", "sh", "aWQ7aWQ="), exec("/bin/sh", "sh", "aWQ7aWc=")},
	{"cased", process, "s: {CommandLine|contains|cased: PASSWD}\ncondition: s", exec("/bin/sh", "sh", "PASSWD"), exec("/bin/sh", "sh", "passwd")},
	{"file begins", files, "s: {TargetFilename|startswith: /etc/cron.d/}\ncondition: s", file("/bin/vi", "cron.d/x", "CREATE"), file("/bin/vi", "/etc/cron.d/x", "NORMAL")},
	{"file of image", files, "s: {Image|endswith: /wget, TargetFilename|startswith: [/tmp/, /var/tmp/]}\ncondition: s", file("/bin/wget", "/var/tmp/x", "CREATE"), file("/bin/wget2", "/var/tmp/x", "CREATE")},
	{"either of image and file", files, "s_a: {Image|endswith: /a}\ns_b: {TargetFilename|endswith: b}\ncondition: 1 of s_*", file("/bin/a", "x", "CREATE"), file("/bin/a", "/x", "NORMAL")},
	{"new path or any", auditd, "a: {type: PATH, nametype: CREATE, name: /x}\nb: {type: PATH, name: /y}\ncondition: a or b", paths("/y"), paths("/x")},
	{"not a new path", auditd, "a: {type: PATH, nametype: CREATE}\nn: {name|startswith: /x}\ncondition: [n and not a]", paths("/x DELETE"), paths("/x CREATE")},
	{"new path but", auditd, "a: {type: PATH, nametype: CREATE}\nn: {name|startswith: /x}\ncondition: a and not n", paths("/y CREATE"), paths("/y DELETE", "/x CREATE")},
	{"name of any file", auditd, "a: {type: PATH, name: '*'}\ncondition: a", paths("", "/x"), paths("")},
	{"options each by itself", process, "s: {CommandLine|windash|contains: '-a -b'}\ncondition: s", exec("/x", "x", "/a", "-b"), exec("/x", "x", "a", "-b")},
	{"some calls", auditd, "s: {type: SYSCALL, SYSCALL: ['open*', read]}\ncondition: s", call(257, "1", "/a"), call(1, "1", "/a")},
	{"failed for want of rights", auditd, "s: {type: SYSCALL, exit: -1}\ncondition: s", []string{`SYSCALL arch=c000003e syscall=1 success=no exit=-1`}, call(1, "1", "/a")},
	{"id that is there", auditd, "s: {auid|gt: 1000}\ncondition: s", []string{`USER_LOGIN pid=1 uid=0 auid=4294967295 msg='op=x res=failed'`}, []string{`SERVICE_STOP pid=1 uid=0 msg='unit=ufw'`}},
	{"number that is there", auditd, "s: {exit|lt: 5}\ncondition: s", call(1, "1", "/a"), []string{`SERVICE_STOP pid=1 uid=0 msg='unit=ufw'`}},
	{"user that was added", auditd, "s: {type: ADD_USER, id: 0}\ncondition: s", []string{`ADD_USER pid=1 uid=1 msg='op=add-user id=0 res=success'`}, []string{`ADD_USER pid=1 uid=1 msg='op=add-user id=1000 res=success'`}},
	{"arch", auditd, "s: {arch: C000003E}\ncondition: s", call(1, "1", "/a"), []string{`SYSCALL arch=40000003 syscall=1`}},
	{"arguments with zeros", auditd, "s: {type: SYSCALL, a0: ['0x0026', 00ffffff9c]}\ncondition: s", call(257, "ffffff9c", "/a"), call(257, "ffffff9d", "/a")},
	{"small argument beside a large one", auditd, "s: {type: SYSCALL, a0: ['0x0026', 00ffffff9c]}\ncondition: s", call(257, "26", "/a"), call(257, "0x26", "/a")},
	{"int with more above it", auditd, "s: {type: SYSCALL, SYSCALL: socket, a0: 26}\ncondition: s", call(41, "deadbeef00000026", "/a"), call(41, "126", "/a")},
	{"int with its sign", auditd, "s: {type: SYSCALL, SYSCALL: openat, a0: ffffff9c}\ncondition: s", call(257, "ffffffffffffff9c", "/a"), call(257, "ffffff9cff", "/a")},
	{"file but", files, "s: {TargetFilename|startswith: /etc/}\nf: {TargetFilename|endswith: .dpkg-new}\ncondition: s and not f",
		append(file("/bin/dpkg", "/etc/a.dpkg-new", "CREATE"), `PATH item=2 name="/etc/b" nametype=CREATE`), file("/bin/dpkg", "/etc/a.dpkg-new", "CREATE")},
	{"file by expression", files, "s: {TargetFilename|re: '/mail/[0-9]{3}\\.gz$'}\ncondition: s", file("/a", "/x/mail/123.gz", "CREATE"), file("/a", "/x/mail/12.gz", "CREATE")},
	{"new file of image", files, "s: {Image|endswith: /ld}\ncondition: s", file("/bin/ld", "x", "CREATE"), file("/bin/ld", "x", "NORMAL")},
	{"port", network, "s: {Initiated: 'true', DestinationPort: [4444, 999]}\ncondition: s", connect("/bin/nc", "0200115C0A0102030000000000000000"), connect("/bin/nc", "020000500A0102030000000000000000")},
	{"networks", network, "s: {Image|endswith: /bash}\nf: {DestinationIp|cidr: [10.0.0.0/8, 'fe80::/10']}\ncondition: s and not f", connect("/bin/bash", "02000050080808080000000000000000"), connect("/bin/bash", "020000500A0102030000000000000000")},
	{"address", network, "s: {DestinationIp: [8.8.8.8, 127.0.0.1]}\ncondition: s", connect("/a", "02000050080808080000000000000000"), connect("/a", "02000050080808090000000000000000")},
	{"low ports", network, "s: {DestinationPort|lt: 100}\ncondition: s", connect("/a", "02000050080808080000000000000000"), connect("/a", "0200115C080808080000000000000000")},
	{"not initiated", network, "s: {Initiated: 'false'}\nt: {DestinationPort: 80}\ncondition: s or t", connect("/a", "02000050080808080000000000000000"), connect("/a", "0200115C080808080000000000000000")},
	{"arguments", auditd, "s: {type: EXECVE, a0: zip, a2|contains: -E}\ncondition: s", exec("/bin/zip", "ZIP", "-x", "-e"), exec("/bin/zip", "zip", "-r")},
	{"type in small letters", auditd, "s: {type: execve, a0: cp, a1: /bin/sh}\ncondition: s", exec("/bin/cp", "cp", "/bin/sh"), exec("/bin/cp", "cp", "/bin/shx")},
	{"number as argument", auditd, "s: {type: EXECVE, a0: chmod, a1: 777}\ncondition: s", exec("/bin/chmod", "chmod", "777"), exec("/bin/chmod", "chmod", "0777")},
	{"argument by expression", auditd, "s: {type: EXECVE, a0: [touch, vi]}\nt: [{a1|re: '(^|\\/)\\.[^.\\/]'}, {a2|re: '(^|\\/)\\.[^.\\/]'}]\ncondition: all of *", exec("/bin/vi", "vi", "x", "/a/.b"), exec("/bin/vi", "vi", "x", "/a/..")},
	{"arguments without type", auditd, "c1: {a1|startswith: --cpu-}\nc2: {a7|startswith: --cpu-}\ncondition: 1 of c*", exec("/x", "0", "1", "2", "3", "4", "5", "6", "--cpu-priority"), exec("/x", "--cpu-priority")},
	{"words", auditd, "e: {type: EXECVE}\nk: {'|all': [grep, password]}\ncondition: e and k", exec("/bin/grep", "grep", "-r", "Password"), exec("/bin/grep", "grep", "-r", "pass word")},
	{"any word", auditd, "e: {type: EXECVE}\nk: [shutdown, reboot]\ni: [init]\nn: [0, 6]\ncondition: e and (k or (i and n))", exec("/bin/init", "init", "6"), exec("/bin/init", "init", "3")},
	{"words anywhere", auditd, "k: ['EUID=\"www-data\"']\ncondition: k", exec("/a", "a"), call(1, "1", "/a")},
	{"call", auditd, "s: {type: SYSCALL, SYSCALL: [memfd_create, ptrace], exe|endswith: /x}\ncondition: s", call(319, "1", "/bin/x"), call(1, "1", "/bin/x")},
	{"call by number", auditd, "s: {type: SYSCALL, syscall: 319}\ncondition: s", call(319, "1", "/a"), call(318, "1", "/a")},
	{"argument of a call", auditd, "s: {type: SYSCALL, SYSCALL: personality, a0: 40000}\ncondition: s", call(135, "40000", "/a"), call(135, "9c40", "/a")},
	{"hexadecimal", auditd, "s: {type: SYSCALL, SYSCALL: socket, a0: 26}\ncondition: s", call(41, "26", "/a"), call(41, "1a", "/a")},
	{"user's number", auditd, "s: {type: SYSCALL, SYSCALL: [execve, execveat], euid: 33}\ncondition: s", exec("/a", "a"), []string{strings.Replace(exec("/a", "a")[0], "euid=33", "euid=34", 1)}},
	{"key", auditd, "s: {key: susp}\ncondition: s", call(1, "1", "/a"), exec("/a", "a")},
	{"command", auditd, "s: {type: SYSCALL, comm: split}\ncondition: s", call(1, "1", "/a"), exec("/a", "a")},
	{"folder with wildcard", auditd, "s: {type: SYSCALL, exe|startswith: [/tmp/, '/home/*/public_html/']}\ncondition: s", call(1, "1", "/home/bob/public_html/x"), call(1, "1", "/home/bob/html/x")},
	{"path", auditd, "s: {type: PATH, name: [/etc/issue, '/etc/*release', '/etc/audit/*']}\ncondition: s", paths("/x", "/etc/os-release"), paths("/x", "/etc/os-releases")},
	{"path but, in one record", auditd, "s: {type: PATH, name|contains: /.}\nf: {name|contains: [/.cache/, /.config/]}\ncondition: s and not f", paths("/a/.cache/x", "/a/.x"), paths("/a/.cache/x", "/a/x")},
	{"created path", auditd, "p: {type: PATH, nametype: CREATE}\nn_1: {name|startswith: /etc/systemd/system/}\nn_2: {name|contains: /.config/systemd/}\ncondition: p and 1 of n_*",
		paths("/etc/systemd/system/a CREATE"), paths("/etc/systemd/system/a DELETE", "/tmp/a CREATE")},
	{"path or arguments", auditd, "a: {type: PATH, name: /etc/login.defs}\nb: {type: EXECVE, a0: chage, a1: [-l, --list]}\ncondition: 1 of *", exec("/a", "chage", "-l"), exec("/a", "chage", "-x")},
	{"path by a relative name", auditd, "s: {type: PATH, name: /etc/ld.so.preload}\ncondition: s", file("/bin/vi", "ld.so.preload", "NORMAL"), file("/bin/vi", "x/ld.so.preload", "NORMAL")},
	{"path by a detour", auditd, "s: {type: PATH, name|re: '^/etc/ld'}\ncondition: s", paths("/tmp//../etc/ld.so.preload"), paths("/etc/../tmp/etc/ld.so.preload")},
	{"relative path", auditd, "s: {type: PATH, name: ['./x', /y]}\ncondition: s", paths("./x"), paths("/x")},
	{"path in an event of another kind", auditd, "s: {type: PATH, name|startswith: /etc/audit/}\nx: {exe: /bin/vi}\ncondition: s and x", file("/bin/vi", "audit/rules.d/x", "NORMAL"), file("/bin/vi", "auditx", "NORMAL")},
	{"name of a module", auditd, "s: {type: KERN_MODULE, name: evil}\ncondition: s", []string{call(313, "3", "/bin/kmod")[0], `KERN_MODULE name="evil"`}, slices.Insert(paths("evil"), 1, `KERN_MODULE name="ext4"`)},
	{"name in an AVC", auditd, "s: {type: AVC}\nn: {name: shadow}\ncondition: s and n", append([]string{`AVC avc:  denied  { read } for  pid=8 comm="x" name="shadow" dev="sda1" ino=5`}, paths("/etc/x")...), append([]string{`AVC avc:  denied  { read } for  pid=8 comm="x" name="x" dev="sda1" ino=5`}, paths("/etc/shadow")...)},
	{"user of Sysmon", process, "s: {User: root, LogonId: 0}\ncondition: s", exec("/a", "a"), append([]string{strings.Replace(exec("/a", "a")[0], " uid=0", " uid=5", 1)}, exec("/a", "a")[1:]...)},
	{"session of Sysmon", process, "s: {TerminalSessionId: 3}\ncondition: s", append([]string{strings.Replace(exec("/a", "a")[0], " uid=0", " ses=3 uid=0", 1)}, exec("/a", "a")[1:]...), exec("/a", "a")},
	{"not that line", process, "s: {Image|endswith: /sh, CommandLine|contains|neq: [mirror, local]}\ncondition: s", exec("/bin/sh", "sh", "x"), exec("/bin/sh", "sh", "LOCAL")},
	{"not all in the line", process, "s: {CommandLine|neq|contains|all: [a, b]}\ncondition: s", exec("/bin/x", "xa"), exec("/bin/x", "xa", "b")},
	{"connect of a program of 32 bits", network, "s: {DestinationPort: 4444}\ncondition: s", []string{`SYSCALL arch=40000003 syscall=102 success=yes exit=0 a0=3 a1=ff pid=8 exe="/a"`, `SOCKETCALL nargs=3 a0=5 a1=ff a2=10`, `SOCKADDR saddr=0200115C080808080000000000000000`},
		[]string{`SYSCALL arch=40000003 syscall=102 success=yes exit=0 a0=2 a1=ff pid=8 exe="/a"`, `SOCKADDR saddr=0200115C080808080000000000000000`}},
	{"connect of socketcall with more above its number", network, "s: {DestinationPort: 4444}\ncondition: s", []string{`SYSCALL arch=80000016 syscall=102 success=yes exit=0 a0=100000003 a1=ff pid=8 exe="/a"`, `SOCKADDR saddr=0002115C080808080000000000000000`},
		[]string{`SYSCALL arch=80000016 syscall=102 success=yes exit=0 a0=13 a1=ff pid=8 exe="/a"`, `SOCKADDR saddr=0002115C080808080000000000000000`}},
	{"connect by io_uring", network, "s: {Image: /a, DestinationPort: 4444}\ncondition: s", []string{`URINGOP uring_op=16 success=yes exit=0 items=0 ppid=7 pid=8 uid=0 key="net"`, call(426, "5", "/a")[0], `SOCKADDR saddr=0200115C080808080000000000000000`},
		[]string{`URINGOP uring_op=9 success=yes exit=0 items=0 ppid=7 pid=8 uid=0 key="net"`, call(426, "5", "/a")[0], `SOCKADDR saddr=0200115C080808080000000000000000`}},
	{"not that port", network, "s: {DestinationPort|neq: [80, 443]}\ncondition: s", connect("/a", "0200115C080808080000000000000000"), connect("/a", "02000050080808080000000000000000")},
	{"not that file", files, "s: {TargetFilename|startswith: /etc/, TargetFilename|endswith|neq: .tmp}\ncondition: s", append(file("/a", "/etc/x.tmp", "CREATE"), `PATH item=2 name="/etc/y" nametype=CREATE`), append(file("/a", "/etc/x.tmp", "CREATE"), `PATH item=2 name="/y" nametype=CREATE`)},
	{"types", auditd, "a: {type: [TTY, USER_TTY]}\ncondition: a", []string{`USER_TTY pid=1 uid=0`}, []string{`USER_AUTH pid=1 uid=0`}},
	{"service", auditd, "s: {type: SERVICE_STOP, unit: [firewalld, ufw]}\ncondition: s", []string{`SERVICE_STOP pid=1 uid=0 msg='unit=ufw comm="systemd" res=success'`}, []string{`SERVICE_START pid=1 uid=0 msg='unit=ufw comm="systemd" res=success'`}},
	{"account", auditd, "s: {type: USER_LOGIN, acct: root, res: failed}\ncondition: s", []string{`USER_LOGIN pid=1 uid=0 msg='acct="root" res=failed'`}, []string{`USER_LOGIN pid=1 uid=0 msg='acct="root" res=success'`}},
	{"success", auditd, "s: {type: SYSCALL, success: 'no'}\ncondition: s", connect("/a", "0200"), call(1, "1", "/a")},
	{"name of a user", auditd, "s: {UID: root, EUID: www-data}\ncondition: s", exec("/a", "a"), call(1, "1", "/a")},
	{"absent", auditd, "s: {type: USER_LOGIN, acct: null}\ncondition: s", []string{`USER_LOGIN pid=1 uid=0 msg='op=x res=failed'`}, []string{`USER_LOGIN pid=1 uid=0 msg='acct="root" res=failed'`}},
	{"there", auditd, "s: {type: USER_LOGIN, acct|exists: true}\ncondition: s", []string{`USER_LOGIN pid=1 uid=0 msg='acct="root" res=failed'`}, []string{`USER_LOGIN pid=1 uid=0 msg='op=x res=failed'`}},
	{"field without a name in filters", auditd, "s: {type: CRYPTO_KEY_USER, fp|startswith: 'SHA256:'}\ncondition: s", []string{`CRYPTO_KEY_USER pid=1 uid=0 msg='op=destroy fp=SHA256:aa res=success'`}, []string{`CRYPTO_KEY_USER pid=1 uid=0 msg='op=destroy fp=? res=success'`}},
	{"two conditions", auditd, "a: {key: susp}\nb: {key: detect}\ncondition: [a, b]", exec("/a", "a"), connect("/a", "0200")},
}

// document returns a rule as YAML.
func document(source, detection string) string {
	return "title: Test\nlogsource:\n  product: linux\n  " + source + "\ndetection:\n  " + strings.ReplaceAll(detection, "\n", "\n  ") + "\n"
}

// TestOurRulesFire: each rule fires on the event that it is about, and not on its neighbour.
func TestOurRulesFire(t *testing.T) {
	for _, c := range ours {
		rules, err := Convert([]byte(document(c.source, c.detection)))
		if err != nil || len(rules) != 1 {
			t.Errorf("%s: %v, %v", c.name, rules, err)
			continue
		}
		r := rules[0]
		if r.Err != nil {
			t.Errorf("%s: %v", c.name, r.Err)
			continue
		}
		f, err := filter.Compile(r.Expr)
		if err != nil {
			t.Fatal(err)
		}
		if fires, err := keeps(t, f, c.fires); !fires || err != nil {
			t.Errorf("%s: %s\ndoes not fire on %q: %v", c.name, r.Expr, c.fires, err)
		}
		if fires, err := keeps(t, f, c.not); fires || err != nil {
			t.Errorf("%s: %s\nfires on %q: %v", c.name, r.Expr, c.not, err)
		}
	}
	if len(ours) < 40 {
		t.Errorf("%d rules", len(ours))
	}
}

// keeps asks a filter about the records of one event, given without their ids.
func keeps(t testing.TB, f *filter.Filter, records []string) (bool, error) {
	t.Helper()
	b := batchOf(t, stringStream(records))
	return f.New().Keep(b, 0, len(b.Recs))
}

// stringStream returns the records of one event, given without their ids, as auditd writes them.
func stringStream(records []string) []byte {
	var text bytes.Buffer
	for _, r := range records {
		typ, fields, _ := strings.Cut(r, " ")
		fmt.Fprintf(&text, "type=%s msg=audit(1795298317.864:77): %s\n", typ, fields)
	}
	return text.Bytes()
}

// batchOf returns the records of a stream, which has one node, event after event.
func batchOf(t testing.TB, data []byte) *record.Batch {
	t.Helper()
	all := audittest.ReadAll(t, data)
	slices.SortStableFunc(all.Recs, func(a, b record.Record) int {
		return cmp.Or(cmp.Compare(a.Millis, b.Millis), cmp.Compare(a.Serial, b.Serial))
	})
	return all
}
