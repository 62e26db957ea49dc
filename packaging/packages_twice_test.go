package packaging_test

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestPackagesTwice: two clones of the last commit, one compiled with nothing that was compiled before, give the
// same packages, byte for byte, also of audisp-relay-fips.
func TestPackagesTwice(t *testing.T) {
	if os.Getenv("AUDISP_PACKAGES") != "1" {
		t.Skip("compiles the program and all it consists of for minutes: make try-packages")
	}
	if status := output(t, "git", "-C", "..", "status", "--porcelain"); status != "" {
		t.Logf("these changes are not in the last commit, which is compared:\n%s", status)
	}
	first := packagesOfClone(t)
	second := packagesOfClone(t, "GOCACHE="+t.TempDir())
	if first != second {
		t.Errorf("two clones give\n%s\nand\n%s", first, second)
	}
	if n := strings.Count(first, "audisp-relay-fips"); n != 3 {
		t.Errorf("%d packages of audisp-relay-fips, want 3:\n%s", n, first)
	}
	t.Logf("twice the same:\n%s", first)
}

// packagesOfClone makes the packages of a fresh clone, and returns their checksums.
func packagesOfClone(t *testing.T, env ...string) string {
	t.Helper()
	clone, out := filepath.Join(t.TempDir(), "clone"), t.TempDir()
	output(t, "git", "clone", "-q", "..", clone)
	cmd := exec.Command("packaging/packages.sh", out)
	cmd.Dir = clone
	// Nothing that this test was run with may make them equal, or different.
	cmd.Env = append(os.Environ(), "GOFLAGS=", "PACKAGE_ARCHES=amd64", "PACKAGE_SBOM=no", "SOURCE_DATE_EPOCH=")
	cmd.Env = append(cmd.Env, env...)
	cmd.Stdout = io.Discard
	var said strings.Builder
	cmd.Stderr = &said
	if err := cmd.Run(); err != nil {
		t.Fatalf("packages.sh: %v\n%s", err, said.String())
	}
	return readFile(t, out+"/SHA256SUMS")
}
