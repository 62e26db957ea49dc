package fleet

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// build makes the server once for all tests.
var build = sync.OnceValues(func() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	binary := filepath.Join(cache, "audisp-relay", "nats-server-v2.15.2")
	if _, err := os.Stat(binary); err == nil {
		return binary, nil
	}
	if err := os.MkdirAll(filepath.Dir(binary), 0o755); err != nil {
		return "", err
	}
	made := fmt.Sprintf("%s.%d", binary, os.Getpid()) // another test may make it, too
	cmd := exec.Command("go", "build", "-o", made, "./nats")
	cmd.Dir = "../test/servers"
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return binary, os.Rename(made, binary)
})

// serverBinary returns the path of a nats-server, that of AUDISP_NATS_SERVER where it is set.
func serverBinary(t testing.TB) string {
	t.Helper()
	if path := os.Getenv("AUDISP_NATS_SERVER"); path != "" {
		return path
	}
	binary, err := build()
	if err == nil {
		return binary
	}
	if os.Getenv("AUDISP_REQUIRE_AUDITD") == "1" {
		t.Fatalf("no nats-server: %v", err)
	}
	t.Skipf("no nats-server: %v", err)
	return ""
}
