package program

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestChildFindsWhatAuditdGives: a child finds what auditd gives a plugin, however we were
// started ourselves: no environment, cwd /, a blocking socket it can peek at, no
// other descriptors, no signal ignored or blocked, no protection from the OOM
// killer; and a process group of its own.
func TestChildFindsWhatAuditdGives(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	const ignore = `trap "" HUP INT QUIT TERM PIPE USR1 USR2 ALRM TSTP TTIN TTOU CONT; `
	for _, tt := range []struct {
		name, shell string
		block       bool
	}{
		{"as usual", "", false},
		{"everything ignored", ignore, false},
		{"signals blocked", "", true},
		{"ignored and blocked", ignore, true},
		// Shows something where there is CAP_SYS_RESOURCE only.
		{"protected from the OOM killer", "{ echo -500 > /proc/self/oom_score_adj; } 2>/dev/null; ", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			runHost(t, tt.shell, tt.block, dir)
			data, err := os.ReadFile(filepath.Join(dir, "state.json"))
			if err != nil {
				t.Fatal(err)
			}
			var got state
			if err := json.Unmarshal(data, &got); err != nil {
				t.Fatal(err)
			}
			want := state{
				Args: []string{self(t), helperArg, "report", dir}, Env: []string{}, Dir: "/",
				Blocked: "0000000000000000", Ignored: "0000000000000000", OOM: "0",
				FDs:    map[string]string{"0": "socket", "1": "/dev/null", "2": "pipe"},
				Socket: true, Peek: "type=<nil>", SameGroup: false,
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("child's state (-want +got):\n%s", d)
			}
		})
	}
}

// runHost runs the helper host from a shell that has prepared its signals.
func runHost(t *testing.T, shell string, block bool, dir string) {
	t.Helper()
	helper := "host"
	if block {
		helper = "blocked" // shells unblock signals
	}
	cmd := exec.Command("/bin/sh", "-c", shell+`exec "$@"`, "sh", self(t), helperArg, helper, dir)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
}
