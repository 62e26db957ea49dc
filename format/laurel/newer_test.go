package laurel

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"audisp-relay/test/lab"
)

// newerLaurel returns how the laurel that bench/laurel.sh has made is started: with the loader and the libraries of its own
// system.
func newerLaurel(t *testing.T) []string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skip(err)
	}
	dir := filepath.Join(cache, "audisp-relay/laurel-sid")
	program := filepath.Join(dir, "usr/sbin/laurel")
	loaders, _ := filepath.Glob(filepath.Join(dir, "usr/lib/*/ld-linux*.so.*"))
	if _, err := os.Stat(program); err != nil || len(loaders) == 0 {
		t.Skipf("there is no %s with a loader: bench/laurel.sh makes it", program)
	}
	return []string{loaders[0], "--library-path", filepath.Dir(loaders[0]), program}
}

// runNewer gives a stream to it, with labels and with all of the context that does not come from the machine it runs on.
func runNewer(t *testing.T, lines []byte) []map[string]any {
	t.Helper()
	dir := t.TempDir()
	conf := filepath.Join(dir, "laurel.toml")
	text := fmt.Sprintf(`directory = %q
[auditlog]
file = "out.json"
size = 1000000000
[state]
file = ""
[enrich]
pid = true
ppid-verbose = true
spawned-by = true
execve-env = []
container = false
systemd = false
script = true
user-groups = false
[label-process]
label-keys = ["software_mgmt", "test-script"]
label-exe.'^/usr/bin/dpkg$' = 'pkg_mgmt'
label-exe.'/uncaring-parent$' = 'uncaring-parent'
label-exe.'whoami' = 'recon'
unlabel-exe.'/grep$' = 'test-script'
label-argv.'^\S*java .* -Dweblogic' = 'weblogic'
label-argv.'^/bin/echo ' = 'echo'
unlabel-argv.'^pager$' = 'pkg_mgmt'
propagate-labels = ["software_mgmt", "test-script", "pkg_mgmt", "uncaring-parent"]
`, dir)
	lab.Check(t, os.WriteFile(conf, []byte(text), 0o600), "configure laurel")
	argv := append(newerLaurel(t), "--config", conf)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdin = bytes.NewReader(lines)
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("laurel: %v\n%.2000s", err, said)
	}
	out, err := os.ReadFile(filepath.Join(dir, "out.json"))
	if !errors.Is(err, fs.ErrNotExist) { // laurel refuses all of it
		lab.Check(t, err, "read what laurel wrote")
	}
	return decodeAll(t, out)
}

// dropObserved takes out the objects that laurel has from /proc of the machine that the test runs on, and returns how many there
// were.
func dropObserved(v any) (n int) {
	switch v := v.(type) {
	case []any:
		for _, v := range v {
			n += dropObserved(v)
		}
	case map[string]any:
		for key, inner := range v {
			if object, ok := inner.(map[string]any); ok && object["START_TIME"] != nil {
				delete(v, key)
				n++
				continue
			}
			n += dropObserved(inner)
		}
	}
	return n
}

// newerList is for laurel 0.8.2.
var newerList = []listed{
	{"", `(LOGIN|OBJ_PID|AVC|SERVICE_START|USER_ACCT)(\[\d+\])?\.[A-Z]*PID\..*`, `.*`, `-`, "other records than SYSCALL have no context: what is said of the event's process stands there"},
	{"", `SYSCALL\.(PID|PPID|SPAWNED_BY)\.EVENT_ID`, `".*"`, `-`, "EVENT_ID is that of an exec: who was forked has none, nor has whose exec was not seen"},
	{"", `SYSCALL\.SPAWNED_BY\.pid#2`, `\d+`, `-`, "laurel writes the number twice"},
	{"", `SYSCALL\.UID_GROUPS\[\d+\]`, `".*"`, `-`, "no record says it: it depends on the users of the host, and on the moment"},
	{"", `(SERVICE_START|USER_ACCT)\.msg(\..*)?`, `.*`, `.*`, "0.8 takes msg='...' apart; the format is that of 0.5.1, which gives its text"},
	{"record-service-start.txt", `(MAC_TASK_CONTEXTS|UNKNOWN\[1420\])\[0\]\..*`, `.*`, `.*`, "the kernel has given that number to another type"},
	{"", `SYSCALL\.SCRIPT`, `-`, `".*"`, "laurel looks for the files on the machine that the test runs on; the records say it"},
	{"proc-trace-dpkg-l.txt", `SYSCALL\.(PPID|SPAWNED_BY)\..*`, `-`, `[^-].*`, "laurel forgets processes that do not run on the machine that the test runs on"},
	{"proc-trace-dpkg-l.txt", `SYSCALL\.(PID|PPID|SPAWNED_BY)\.EVENT_ID`, `".*"`, `".*"`, "and takes those that it has forgotten for new ones"},
	{"shell-proc-trace-confusion.txt|tree|fork-sleep-exec.txt", `SYSCALL\.((PPID|SPAWNED_BY)\.(comm|exe|ppid|pid)|LABELS\[0\])`, `[^-].*`, `-`,
		"serials are missing in the stream, so that nobody knows what was executed in between"},
}

// TestStreamsOfLaurelAsNewer: laurel 0.8.2 and we make the same of its own test streams, with the context of processes and labels.
func TestStreamsOfLaurelAsNewer(t *testing.T) {
	dir := factsDir(t)
	newerLaurel(t)
	streams := make(map[string][]string)
	for _, pattern := range []string{"*.txt", "tree/*.txt"} {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		for _, file := range files {
			switch name := filepath.Base(file); {
			case name == "README.txt":
			case strings.HasPrefix(pattern, "tree"):
				streams["tree"] = append(streams["tree"], file)
			default:
				streams[name] = append(streams[name], file)
			}
		}
	}
	labels := labelled(t, "key=software_mgmt", "key=test-script", "exe=pkg_mgmt=^/usr/bin/dpkg$", "exe=uncaring-parent=/uncaring-parent$", "exe=recon=whoami",
		"unexe=test-script=/grep$", `cmdline=weblogic=^\S*java .* -Dweblogic`, "cmdline=echo=^/bin/echo ", "uncmdline=pkg_mgmt=^pager$",
		"pass=software_mgmt", "pass=test-script", "pass=pkg_mgmt", "pass=uncaring-parent")
	f, observed := facts{used: make(map[int]int)}, 0
	for name, files := range streams {
		lines := readStreams(t, files...)
		theirs := runNewer(t, lines)
		for _, event := range theirs {
			observed += dropObserved(event)
		}
		f.compare(t, newerList, name, theirs, encodeKnown(t, lines, labels()))
	}
	f.report(t, newerList)
	t.Logf("%d streams; laurel has %d objects of processes of this machine", len(streams), observed)
}
