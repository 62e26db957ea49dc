package doctor

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// withFiles are the codes whose fix is a command that changes files, then makes a program read them.
var withFiles = []string{
	"AR-AUDITD-CUTS", "AR-NO-LOG", "AR-LOG-LIMIT", "AR-LOG-SHORT", "AR-QUEUE-SHORT", "AR-QUEUE-ACTION",
	"AR-DROPIN-OWNER", "AR-DROPIN-INACTIVE", "AR-DROPIN-TWICE", "AR-JOURNALD-RATE",
}

var (
	hostPath   = regexp.MustCompile(`/(etc|usr|var|run|lib)/`)
	noFileWork = regexp.MustCompile(`^(kill|sleep|service|systemctl|auditctl|auditd)\b`)
)

// fileSteps returns the steps of a fix that change files, for the tree of a machine. It fails
// the test where one would touch the host.
func (m *machine) fileSteps(t *testing.T, fix string) string {
	t.Helper()
	steps := slices.DeleteFunc(strings.Split(fix, " && "), noFileWork.MatchString)
	command := hostPath.ReplaceAllStringFunc(strings.Join(steps, " && "), func(path string) string { return m.root + path })
	if rest := strings.ReplaceAll(command, m.root+"/", ""); command == "" || strings.ContainsAny(rest, "\n") || hostPath.MatchString(rest) {
		t.Fatalf("%q has no steps for files alone, or some for others than below %s", fix, m.root)
	}
	return command
}

// TestNeverFixKeepsOtherLines: it takes out the rule that was found, and neither comments nor rules with
// conditions.
func TestNeverFixKeepsOtherLines(t *testing.T) {
	const rest = "# not -a never,task\n-a never,task -F auid=1000\n-w /etc/passwd -p wa\n"
	m := newMachine(t)
	m.put("/etc/audit/rules.d/10-no-audit.rules", "-a never,task\n -a task,never \n"+rest)
	m.rules = []string{"-a never,task"}
	command := m.fileSteps(t, m.diagnose().Findings[0].Fix)
	if out, err := exec.Command("/bin/sh", "-c", command).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v %s", command, err, out)
	}
	if text, err := os.ReadFile(m.path("/etc/audit/rules.d/10-no-audit.rules")); err != nil || string(text) != rest {
		t.Errorf("%v, the file is now %q", err, text)
	}
}

// TestFixesEndFindings: the commands that findings name end them, as far as these change files.
func TestFixesEndFindings(t *testing.T) {
	for _, tt := range plants {
		if !slices.Contains(withFiles, tt.code) {
			continue
		}
		t.Run(tt.code, func(t *testing.T) {
			m := newMachine(t)
			tt.plant(m)
			command := m.fileSteps(t, m.diagnose().Findings[0].Fix)
			if out, err := exec.Command("/bin/sh", "-c", command).CombinedOutput(); err != nil {
				t.Fatalf("%s: %v %s", command, err, out)
			}
			if r := m.diagnose(); has(r, tt.code) {
				t.Errorf("after %s there is still %+v", command, r.Findings)
			}
		})
	}
}
