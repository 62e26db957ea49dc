package lab

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Status is what the kernel says of its audit system (auditctl -s). Lost
// counts since boot and cannot be put back; Backlog and PID change by
// themselves. The rest is what the lab restores.
type Status struct {
	Enabled         int
	Failure         int
	PID             int
	RateLimit       int
	BacklogLimit    int
	Lost            int
	Backlog         int
	BacklogWaitTime int // jiffies
}

// ReadStatus asks the kernel.
func ReadStatus() (Status, error) {
	out, err := command("auditctl", "-s")
	if err != nil {
		return Status{}, err
	}
	return parseStatus(out)
}

func parseStatus(out string) (Status, error) {
	var st Status
	want := map[string]*int{
		"enabled": &st.Enabled, "failure": &st.Failure, "pid": &st.PID, "rate_limit": &st.RateLimit,
		"backlog_limit": &st.BacklogLimit, "lost": &st.Lost, "backlog": &st.Backlog,
		"backlog_wait_time": &st.BacklogWaitTime,
	}
	for line := range strings.Lines(out) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		field := want[key]
		if field == nil {
			continue
		}
		n, err := strconv.Atoi(strings.TrimSpace(value))
		if err != nil {
			return st, fmt.Errorf("auditctl -s: %s: %w", key, err)
		}
		*field = n
		delete(want, key)
	}

	if len(want) > 0 {
		return st, fmt.Errorf("auditctl -s lacks %d of the expected lines: %q", len(want), out)
	}
	return st, nil
}

// settings is the part of a status that someone set, to compare before and after.
func (s Status) settings() Status {
	s.PID, s.Lost, s.Backlog = 0, 0, 0
	return s
}

// ReadRules returns the loaded rules in the order and the syntax of auditctl.
func ReadRules() ([]string, error) {
	out, err := command("auditctl", "-l")
	if err != nil {
		return nil, err
	}
	out = strings.TrimSpace(out)
	if out == "No rules" {
		return nil, nil
	}
	return strings.Split(out, "\n"), nil
}

// restorer puts the kernel's audit system back as it was. It lives from before
// auditd starts until after it has gone.
type restorer struct {
	status Status
	rules  []string
	file   string // for auditctl -R: brings status and rules back

	guard     *exec.Cmd      // see startGuard
	guardPipe io.WriteCloser // its stdin
}

// saveKernel records status and rules and starts the guard. dir must be the
// configuration directory that auditd will be started with.
func saveKernel(dir string, lockFile *os.File) (*restorer, error) {
	st, err := ReadStatus()
	if err != nil {
		return nil, err
	}
	if st.PID != 0 {
		return nil, fmt.Errorf("pid %d already holds the audit socket: stop that audit daemon first", st.PID)
	}

	rules, err := ReadRules()
	if err != nil {
		return nil, err
	}
	lines := append([]string{"-D"}, rules...)
	lines = append(lines,
		fmt.Sprintf("-b %d", st.BacklogLimit),
		fmt.Sprintf("--backlog_wait_time %d", st.BacklogWaitTime),
		fmt.Sprintf("-f %d", st.Failure),
		fmt.Sprintf("-r %d", st.RateLimit),
		fmt.Sprintf("-e %d", st.Enabled))
	r := &restorer{status: st, rules: rules, file: filepath.Join(dir, "restore.rules")}
	if err := os.WriteFile(r.file, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		return nil, fmt.Errorf("save audit rules: %w", err)
	}
	if err := r.startGuard(dir, lockFile); err != nil {
		return nil, err
	}
	return r, nil
}

// guardScript waits for the word "done". When its stdin ends without it, the
// test process has died without cleaning up (killed, or go test's timeout): then the
// script stops the auditd of this lab, restores the kernel and removes the
// directory. It holds the lab's lock all the while, as fd 3.
const guardScript = `
while read -r word; do [ "$word" = done ] && exit 0; done
pid=$(auditctl -s | sed -n 's/^pid //p')
if [ "${pid:-0}" != 0 ] && tr '\0' '\n' </proc/$pid/cmdline | grep -qxF "$1"; then
	kill -TERM "$pid"
	for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
		[ "$(auditctl -s | sed -n 's/^pid //p')" = 0 ] && break
		sleep 0.25
	done
fi
auditctl -R "$2" >/dev/null 2>&1
rm -rf "$1"
`

func (r *restorer) startGuard(dir string, lockFile *os.File) error {
	cmd := exec.Command("/bin/sh", "-c", guardScript, "lab-guard", dir, r.file)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.ExtraFiles = []*os.File{lockFile}
	// Out of the terminal's process group: Ctrl-C is for the test.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("lab guard: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start lab guard: %w", err)
	}
	r.guard, r.guardPipe = cmd, pipe
	return nil
}

// restore puts rules and settings back, checks that they are, and releases the
// guard. To be called when auditd is gone.
func (r *restorer) restore() error {
	if _, err := command("auditctl", "-R", r.file); err != nil {
		return fmt.Errorf("restore audit rules and status (by hand: auditctl -R %s): %w", r.file, err)
	}
	st, err := ReadStatus()
	if err != nil {
		return err
	}
	rules, err := ReadRules()
	if err != nil {
		return err
	}
	if st.settings() != r.status.settings() {
		return fmt.Errorf("audit status was %+v, is %+v", r.status.settings(), st.settings())
	}
	if got, want := strings.Join(rules, "\n"), strings.Join(r.rules, "\n"); got != want {
		return fmt.Errorf("audit rules were %q, are %q", want, got)
	}
	return nil
}

// releaseGuard dismisses the guard, and waits for it.
func (r *restorer) releaseGuard() error {
	if _, err := io.WriteString(r.guardPipe, "done\n"); err != nil {
		return fmt.Errorf("lab guard: %w", err)
	}
	if err := r.guard.Wait(); err != nil {
		return fmt.Errorf("lab guard: %w", err)
	}
	return nil
}
