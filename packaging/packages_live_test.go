package packaging_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"audisp-relay/plugin"
	"audisp-relay/plugin/sandbox"
	"audisp-relay/test/lab"
)

// upgradeUnderLoad: while a real auditd has its load, dpkg replaces the package by a later one, by the one before and by
// audisp-relay-fips; a lossless consumer has every record of audit.log once.
func upgradeUnderLoad(t *testing.T, p try) {
	lab.Require(t)
	for _, system := range rootsOfDebian(t) {
		t.Run(filepath.Base(system), func(t *testing.T) {
			root := systemInMemory(t, system)
			installIn(t, root, p.old)
			dropIn := root + "/etc/audit/plugins.d/audisp-relay.conf"
			text, err := os.ReadFile(dropIn)
			lab.Check(t, err, "activate the plugin")
			text = bytes.Replace(text, []byte("active = no"), []byte("active = yes"), 1)
			lab.Check(t, os.WriteFile(dropIn, text, 0o640), "activate the plugin")
			replacePackages(t, root, p.later, p.old, p.fips, p.old)
		})
	}
}

// systemInMemory returns the directory of a system as it lies in another one; what is written to it is in memory, and
// goes with the test.
func systemInMemory(t *testing.T, system string) (root string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "try")
	if err != nil {
		t.Fatal(err)
	}
	root = dir + "/root"
	t.Cleanup(func() {
		unix.Unmount(root, unix.MNT_DETACH) // an error: it was never mounted
		unix.Unmount(dir, unix.MNT_DETACH)
		os.Remove(dir)
	})
	lab.Check(t, unix.Mount("tmpfs", dir, "tmpfs", 0, ""), "mount")
	for _, name := range []string{"root", "upper", "work"} {
		lab.Check(t, os.Mkdir(filepath.Join(dir, name), 0o755), "make a directory")
	}
	lab.Check(t, unix.Mount("overlay", root, "overlay", 0, fmt.Sprintf("lowerdir=%s,upperdir=%s/upper,workdir=%s/work", system, dir, dir)), "mount")
	return root
}

// installIn installs a package in a root in which nothing runs.
func installIn(t *testing.T, root, deb string) {
	t.Helper()
	const script = `
set -e
root=$1 shared=$2 deb=$3
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mkdir -p "$root$shared"
mount --bind "$shared" "$root$shared"
exec chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive dpkg --force-confdef --force-confold -i "$deb"
`
	output(t, "unshare", "--mount", "--propagation", "private", "/bin/sh", "-c", script, "install", root, os.TempDir(), deb)
}

// within runs a program where a process has its root and its mounts: from elsewhere the paths of other processes there are
// not those that they have.
func within(t *testing.T, pid int, command ...string) string {
	t.Helper()
	args := append([]string{"--target", strconv.Itoa(pid), "--mount", "--root", "--wd=/", "/usr/bin/env", "-i",
		"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive"}, command...)
	out, err := exec.Command("nsenter", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v\n%s", command, err, out)
	}
	return string(out)
}

// replacePackages installs one package after the other under load.
func replacePackages(t *testing.T, root string, debs ...string) {
	dir := filepath.Join(t.TempDir(), "relay")
	lab.Check(t, os.Mkdir(dir, 0o755), "make a directory")
	// The worker has to reach its state_dir.
	lab.Check(t, os.Chmod(filepath.Dir(filepath.Dir(dir)), 0o755), "open the directory of the test")
	config, out := dir+"/relay.toml", dir+"/out"
	text := fmt.Sprintf("run_dir = %q\nstate_dir = %q\nqos = \"lossless\"\n[log]\noutput = %q\n[sinks.file]\ntype = \"file\"\npath = %q\nmax_size = \"0\"\n",
		dir+"/run", dir+"/state", dir+"/log", out)
	lab.Check(t, os.WriteFile(config, []byte(text), 0o640), "configure the relay")
	relay := lab.Plugin{Name: "audisp-relay", Path: "/usr/sbin/audisp-relay", Args: "-c " + config}
	a := lab.Start(t, lab.Options{Root: root, QDepth: 20000, Plugins: []lab.Plugin{relay}})

	after := a.Drain(out)
	certain := func() {
		lab.Wait(t, 20*time.Second, "nothing to be in doubt", func() (bool, string) {
			saved, err := os.ReadFile(dir + "/state/state.json")
			return err == nil && !bytes.Contains(saved, []byte(`"floor"`)), string(saved)
		})
	}
	certain()
	pid := a.PluginPID(relay.Name)
	load := a.StartLoad(lab.Load{Rate: 3000, Duration: time.Duration(len(debs)) * 4 * time.Second})
	// The scripts of packages take what has another root than process 1 for a chroot, in which an image is built: here that
	// process seems to have this root.
	within(t, a.PID(), "/bin/sh", "-c", "mount -t tmpfs tmpfs /proc/1 && ln -s / /proc/1/root")
	for _, deb := range debs {
		said := within(t, a.PID(), "dpkg", "--force-confdef", "--force-confold", "-i", deb)
		if !strings.Contains(said, "runs the new program in the same process") {
			t.Errorf("%s: the running relay was not replaced:\n%s", deb, said)
		}
		certain()
	}
	made := load.Wait()
	if now := a.PluginPID(relay.Name); now != pid {
		t.Errorf("auditd has started the plugin again: pid %d, then %d", pid, now)
	}

	until := a.Drain(out)
	rep, err := lab.CompareLog(a.Logs(), []string{out}, lab.Compare{After: after, Until: until})
	if err != nil || !rep.SameSet() || rep.Duplicate+rep.Markers > 0 || rep.EOE < made.Made {
		t.Errorf("%d events were made: %v, %v", made.Made, rep, err)
	}
	state, err := plugin.Query(dir + "/run")
	if err != nil || len(state.Consumers) != 1 || state.Consumers[0].LostTotal > 0 {
		t.Fatalf("%v: %+v", err, state)
	}
	for _, part := range state.Sandbox.Parts {
		if part.Name == sandbox.Worker && !part.On {
			t.Errorf("the package's user is there, and the relay runs in one process: %s", part.Why)
		}
	}
	t.Logf("auditd %s, %d packages at %.0f events/s: %v", a.Version(), len(debs), made.Rate(), rep)
}
