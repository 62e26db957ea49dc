package host

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestNothingChangesTheKernelsAudit: the relay never takes the audit PID and never
// changes a rule or a setting. These are the calls of go-libaudit that would.
func TestNothingChangesTheKernelsAudit(t *testing.T) {
	writes := regexp.MustCompile(`\.(SetPID|SetEnabled|SetImmutable|SetFailure|SetRateLimit|SetBacklogLimit|SetBacklogWaitTime|AddRule|DeleteRules?|WaitForPendingACKs)\(`)
	files := 0
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		files++
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if call := writes.Find(text); call != nil {
			t.Errorf("%s calls %s", path, call)
		}
		return nil
	})
	if err != nil || files < 50 {
		t.Errorf("%d files read: %v", files, err)
	}
}
