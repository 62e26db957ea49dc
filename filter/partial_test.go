package filter

import (
	"slices"
	"testing"
)

// TestNamesInAnOpenDirectoryAreNotSure: a name that is relative to an open directory may lie anywhere,
// and so path_under keeps the event, under not as well.
func TestNamesInAnOpenDirectoryAreNotSure(t *testing.T) {
	const at, at64 = "ffffff9c", "ffffffffffffff9c"
	call := func(arch, nr, args string, paths ...string) []string {
		out := []string{"SYSCALL arch=" + arch + " syscall=" + nr + " success=yes exit=3 " + args + ` items=1 pid=2 auid=1000 exe="/tmp/x" key="fim"`, `CWD cwd="/home/evil"`}
		return append(out, paths...)
	}
	const x86, i386, arm64 = "c000003e", "40000003", "c00000b7"
	path := func(name, nametype string) string {
		return "PATH item=0 name=" + name + " inode=1 nametype=" + nametype
	}
	rel := path(`"shadow"`, "NORMAL")
	for _, c := range []struct {
		name  string
		event []string
		under string // in "/home/evil": yes, no, or may be
		inEtc string
	}{
		{"openat", call(x86, "257", "a0=3 a1=7 a2=2 a3=0", rel), "?", "?"},
		{"openat AT_FDCWD", call(x86, "257", "a0="+at+" a1=7 a2=2 a3=0", rel), "yes", "no"},
		{"openat AT_FDCWD of 64 bits", call(x86, "257", "a0="+at64+" a1=7 a2=2 a3=0", rel), "yes", "no"},
		{"openat absolute", call(x86, "257", "a0=3 a1=7 a2=2 a3=0", path(`"/etc/shadow"`, "NORMAL")), "no", "yes"},
		{"openat parent and child", call(x86, "257", "a0=3 a1=7 a2=2 a3=0", path(`"/home/evil"`, "PARENT"), path(`"x"`, "CREATE")), "yes", "?"},
		{"openat arm64", call(arm64, "56", "a0=5 a1=7 a2=2 a3=0", rel), "?", "?"},
		{"openat i386", call(i386, "295", "a0=5 a1=7 a2=2 a3=0", rel), "?", "?"},
		{"openat no argument", call(x86, "257", "a1=7", rel), "?", "?"},
		{"openat2", call(x86, "437", "a0=4 a1=7 a2=2 a3=18", rel), "?", "?"},
		{"openat2 in root", append(call(x86, "437", "a0=4 a1=7 a2=2 a3=18", path(`"/shadow"`, "NORMAL")), "OPENAT2 oflag=02 mode=0 resolve=0x10"), "?", "?"},
		{"openat2 absolute", append(call(x86, "437", "a0=4 a1=7 a2=2 a3=18", path(`"/shadow"`, "NORMAL")), "OPENAT2 oflag=02 mode=0 resolve=0x0"), "no", "no"},
		{"open", call(x86, "2", "a0=7ff a1=0 a2=0 a3=0", rel), "yes", "no"},
		{"unlinkat", call(x86, "263", "a0=3 a1=7 a2=0 a3=0", path(`"shadow"`, "DELETE")), "?", "?"},
		{"execveat", call(x86, "322", "a0=3 a1=7 a2=0 a3=0", rel), "?", "?"},
		{"symlinkat", call(x86, "266", "a0="+at+" a1=3 a2=0 a3=0", path(`"x"`, "CREATE")), "?", "?"},
		{"symlinkat AT_FDCWD", call(x86, "266", "a0=7ff a1="+at+" a2=0 a3=0", path(`"x"`, "CREATE")), "yes", "no"},
		{"renameat2 new", call(x86, "316", "a0="+at+" a1=1 a2=3 a3=4", path(`"a"`, "CREATE")), "?", "?"},
		{"renameat2 old", call(x86, "316", "a0=3 a1=1 a2="+at+" a3=4", path(`"a"`, "CREATE"), path(`"/x/b"`, "DELETE")), "yes", "no"},
		{"renameat AT_FDCWD", call(x86, "264", "a0="+at+" a1=1 a2="+at64+" a3=4", path(`"a"`, "DELETE"), path(`"b"`, "CREATE")), "yes", "no"},
		{"linkat", call(x86, "265", "a0=3 a1=1 a2="+at+" a3=4", path(`"a"`, "NORMAL"), path(`"/x/b"`, "CREATE")), "?", "?"},
		{"fanotify_mark", call(x86, "301", "a0=3 a1=1 a2=3 a3=5", rel), "?", "?"},
		{"fanotify_mark AT_FDCWD", call(x86, "301", "a0=3 a1=1 a2=3 a3="+at, rel), "yes", "no"},
		{"a call without a name", call(x86, "9999", "a0=3 a1=1 a2=3 a3=5", rel), "?", "?"},
		{"io_uring", []string{"URINGOP uring_op=18 success=yes exit=0 items=1 pid=2", `CWD cwd="/home/evil"`, rel}, "?", "?"},
		{"an open file", call(x86, "91", "a0=3 a1=1ff a2=0 a3=0", path("(null)", "NORMAL")), "?", "?"},
		{"no name but of the directory", call(x86, "2", "a0=7ff a1=41 a2=1ff a3=0", path(`"/x"`, "PARENT"), path("(null)", "CREATE")), "no", "no"},
		{"no cwd", []string{"SYSCALL arch=c000003e syscall=2 a0=7 a1=0 a2=0 a3=0 items=1", rel}, "?", "?"},
		{"cwd out of reach", []string{"SYSCALL arch=c000003e syscall=2 a0=7 a1=0 a2=0 a3=0 items=1", `CWD cwd="(unreachable)/x"`, rel}, "?", "?"},
		{"no path", call(x86, "257", "a0=3 a1=7 a2=2 a3=0"), "no", "no"},
	} {
		for _, x := range []struct{ dir, want string }{{"/home/evil", c.under}, {"/etc", c.inEtc}} {
			under := `path_under("` + x.dir + `")`
			for _, src := range []string{under, "(" + under + ") == true", under + ` ? true : false`, `any(keys, # == "fim" and ` + under + ") or (key != \"fim\" and " + under + ")", "not not " + under} {
				if got, want := kept(t, src, event(slices.Clone(c.event)...)), x.want != "no"; got != want {
					t.Errorf("%s: %s is %v", c.name, src, got)
				}
			}
			for _, src := range []string{"not " + under, "!(" + under + " and true)", "not (" + under + " or false)", `none(keys, # == "fim" and ` + under + ")", under + " == false"} {
				if got, want := kept(t, src, event(slices.Clone(c.event)...)), x.want != "yes"; got != want {
					t.Errorf("%s: %s is %v", c.name, src, got)
				}
			}
		}
	}
}

// TestRecordWithoutHeaderIsKept: what such a record is cannot be known.
func TestRecordWithoutHeaderIsKept(t *testing.T) {
	for _, text := range []string{
		"no record", "", "type=DAEMON_ERR op=format-enriched msg=NULL res=failed", "type=SYSCALL msg=lost", "node=h1 node=h1 type=USER_CMD msg=audit(1.000:1): pid=1",
		"node=CentOS 7.7 type=USER_CMD msg=audit(1.000:1): pid=1", "type=USER_CMD msg=audit(1.000:4294967296): pid=1", "type=USER_CMD msg=audit(1.00:4): pid=1",
	} {
		l := lines(t, text)
		for _, src := range []string{"false", `type == "USER_LOGIN"`, `key == "k" and auid >= 1000`, `not (type == "")`, `time > at("2020-01-01")`} {
			m := mustCompile(t, src).New()
			if keep, err := m.Keep(&l.batch, 0, 1); !keep || err != ErrUnread {
				t.Errorf("%s of %q: %v, %v", src, text, keep, err)
			}
			if steps := m.Explain(&l.batch, 0, 1); len(steps) != 1 || !steps[0].Value {
				t.Errorf("%s of %q: %v", src, text, steps)
			}
		}
	}
}

// TestPartIsDroppedOnlyForWhatIsKnown: what a part of an event does not say lets it through.
func TestPartIsDroppedOnlyForWhatIsKnown(t *testing.T) {
	head := event(`SYSCALL arch=c000003e syscall=59 success=yes exit=0 items=2 pid=2 auid=1000 uid=0 exe="/bin/rm" key="k"`, `EXECVE argc=3 a0="rm"`)
	tail := event(`CWD cwd="/x"`, `PATH item=0 name="/bin/rm" inode=1 nametype=NORMAL`, `PROCTITLE proctitle="rm"`)
	for _, c := range []struct {
		src        string
		head, tail bool
	}{
		{`key == "k"`, true, true}, {`key == "x"`, false, true}, {`key != "k"`, false, true}, {`auid == 1000`, true, true}, {`auid != 1000`, false, true},
		{`path == "/etc/shadow"`, true, true}, {`path != "/etc/shadow"`, true, true}, {`key == "x" and path == "/y"`, false, true}, {`key == "x" or path == "/y"`, true, true},
		{`not (key == "k" or path == "/y")`, false, true}, {`not (key == "x" and path == "/y")`, true, true}, {`"-rf" in args`, true, true}, {`type == "PATH"`, true, true},
		{`path_under("/etc")`, true, true}, {`not path_under("/bin")`, true, true}, {`serial == 1`, false, false}, {`time < at("2020-01-01")`, false, false}, {`node == "x" or false`, false, false},
		{`lower(exe) == "/bin/ls"`, false, true}, {`lower(proctitle) == "x"`, true, true},
	} {
		m := mustCompile(t, c.src).New()
		for _, p := range []struct {
			of   []string
			want bool
		}{{head, c.head}, {tail, c.tail}} {
			l := lines(t, p.of...)
			if HasMain(&l.batch, 0, len(p.of)) != (len(p.of) == len(head)) {
				t.Errorf("main record of %q", p.of)
			}
			if may, err := m.MayKeep(&l.batch, 0, len(p.of)); may != p.want || err != nil {
				t.Errorf("%s: may keep %v, %v\n%q", c.src, may, err, p.of)
			}
		}
	}
}
