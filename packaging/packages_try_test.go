package packaging_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// stub is a program that notes in /run/calls how it is called, and answers with the code in /run/exit-COMMAND.
// It is for what the scripts of packages do.
const stub = `#!/bin/sh
[ "$1" != completion ] || exit 0
echo "$*" >>/run/calls
exit "$(cat "/run/exit-$1" 2>/dev/null || echo 0)"
`

// try are packages of one format, to be tried in a system.
type try struct{ old, later, fips, stub1, stub2 string }

// packagesToTry makes packages that are later than the first ones, and such with a stub, of each format.
func packagesToTry(t *testing.T, b builder, first map[string]try) map[string]try {
	t.Helper()
	b.t, b.names = t, "audisp-relay"
	later, _ := b.build("1790000001")
	b.binary = filepath.Join(t.TempDir(), "audisp-relay")
	if err := os.WriteFile(b.binary, []byte(stub), 0o755); err != nil {
		t.Fatal(err)
	}
	stub1, _ := b.build("1790000002")
	stub2, _ := b.build("1790000003")

	all := make(map[string]try)
	for format, files := range first {
		for _, next := range []struct {
			paths []string
			path  *string
		}{{later, &files.later}, {stub1, &files.stub1}, {stub2, &files.stub2}} {
			for _, path := range next.paths {
				if filepath.Ext(path) == "."+format {
					*next.path = path
				}
			}
		}
		all[format] = files
	}
	return all
}

// run runs a script with the packages as its last arguments.
func (p try) run(t *testing.T, script string, args ...string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: mounts")
	}
	out, err := exec.Command(script, append(args, p.old, p.later, p.fips, p.stub1, p.stub2)...).CombinedOutput()
	if err != nil {
		t.Errorf("%s %q: %v\n%s", script, args, err, out)
	}
}

// rootsOfDebian are systems of Debian with auditd's package, which the live tests have made.
func rootsOfDebian(t *testing.T) (roots []string) {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skip(err)
	}
	for _, suite := range []string{"trixie", "sid"} {
		root := filepath.Join(cache, "audisp-relay/roots", suite)
		if _, err := os.Stat(root); err == nil {
			roots = append(roots, root)
		}
	}
	if len(roots) == 0 {
		t.Skip("no root of Debian is there: make roots")
	}
	return roots
}

// tryEverywhere: install, upgrade, downgrade, the other build in its place, removal and purge; no auditd runs there.
func tryEverywhere(t *testing.T, all map[string]try) {
	t.Run("deb", func(t *testing.T) {
		for _, root := range rootsOfDebian(t) {
			all["deb"].run(t, "./try-deb.sh", root)
		}
	})
	t.Run("rpm", func(t *testing.T) {
		need(t, "rpm")
		all["rpm"].run(t, "./try-rpm.sh")
	})
	t.Run("apk", func(t *testing.T) {
		need(t, "busybox")
		all["apk"].run(t, "./try-apk.sh")
	})
}

// runRpmlint: nothing is left that rpmlint complains of and that has no reason in rpmlint.toml.
func runRpmlint(t *testing.T, rpm string) {
	need(t, "rpmlint")
	out, err := exec.Command("rpmlint", "--config", "rpmlint.toml", rpm).CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
