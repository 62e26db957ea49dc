package lab

import (
	_ "embed"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Suites of Debian whose auditd tests run besides the machine's own.
const (
	Trixie = "trixie" // 4.0
	Sid    = "sid"    // the newest
)

//go:embed root.sh
var rootScript string

// Root returns a directory with the system of a Debian suite and its auditd, which
// is made when it is not there: once, below the user's cache folder, with
// debootstrap. Where that cannot be done the test is skipped, with
// AUDISP_REQUIRE_AUDITD=1 it fails. Call it before Start, as it may take minutes.
func Root(t TB, suite string) string {
	t.Helper()
	RequireTools(t, "debootstrap", "unshare", "chroot", "flock")
	cmd := exec.Command("/bin/sh", "-c", rootScript, "root.sh", suite)
	cmd.Env = append(os.Environ(), "PATH=/usr/sbin:/usr/bin:/sbin:/bin")
	var why strings.Builder
	cmd.Stderr = &why
	out, err := cmd.Output()
	if err != nil {
		Missing(t, "no root of %s: %v: %s", suite, err, strings.TrimSpace(why.String()))
		return ""
	}
	return strings.TrimSpace(string(out))
}

// Version of auditd in a root, "" is the machine itself, as its package says.
func Version(root string) string {
	admin := filepath.Join(root, "/var/lib/dpkg")
	version, err := command("dpkg-query", "--admindir="+admin, "--show", "--showformat=${Version}", "auditd")
	if err != nil {
		return "unknown"
	}
	return version
}

// chrootScript runs a program within a root: $1 is the root, $2 a directory that is
// in it at the same path, the rest the program. The mounts are in a namespace
// of their own, so they are gone as soon as the last process in it is.
const chrootScript = `
set -e
root=$1 shared=$2
shift 2
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mkdir -p "$root$shared"
mount --bind "$shared" "$root$shared"
exec chroot "$root" "$@"
`

// runAuditd starts the daemon with this configuration directory, within root where
// that is not "". It has the directories of tests at the path that they have outside.
func runAuditd(root, dir string) (string, error) {
	if root == "" {
		return command("auditd", "-c", dir)
	}
	return command("unshare", "--mount", "--propagation", "private", "/bin/sh", "-c", chrootScript, "lab-chroot",
		root, os.TempDir(), "/sbin/auditd", "-c", dir)
}
