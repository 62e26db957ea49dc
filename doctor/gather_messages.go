package doctor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// journalTime is how long journalctl may take.
const journalTime = 1500 * time.Millisecond

// journal reads from the journal what a process has logged, the last lines of it.
func journal(ctx context.Context, pid int) ([]string, error) {
	if _, err := os.Stat("/run/systemd/journal/socket"); err != nil {
		return nil, nil
	}
	path, err := exec.LookPath("journalctl")
	if err != nil {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, journalTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "--quiet", "--no-pager", "--boot", "--output=cat", "--lines=200", "_PID="+strconv.Itoa(pid))
	cmd.WaitDelay = journalTime
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("journalctl: %w", err)
	}
	return splitLines(string(out)), nil
}

// splitLines returns the lines of text, none where it is blank.
func splitLines(text string) []string {
	if text = strings.TrimSpace(text); text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

// syslogFiles are where a syslog daemon writes what auditd says.
var syslogFiles = []string{"/var/log/syslog", "/var/log/messages", "/var/log/daemon.log"}

// maxSyslog is how many bytes at the end of such a file are read.
const maxSyslog = 1 << 20

// messages collects what the running auditd has logged, from one place, so that nothing counts
// twice: from the journal, which knows who wrote a line, else from the first file of a syslog daemon
// that has such lines. Any program can write them there.
func (g *Gatherer) messages(ctx context.Context, f *Facts) ([]string, error) {
	if !f.running() {
		return nil, errNone
	}
	pid := f.Auditd.Value.PID
	lines, err := g.Journal(ctx, pid)
	tag := fmt.Sprintf("auditd[%d]: ", pid)

	for _, path := range syslogFiles {
		if len(lines) > 0 {
			return lines, nil
		}
		text, readErr := ReadEnd(g.Machine.Path(path), maxSyslog)
		if readErr != nil && !errors.Is(readErr, fs.ErrNotExist) {
			err = errors.Join(err, readErr)
		}
		for line := range strings.Lines(string(text)) {
			if _, said, ok := strings.Cut(line, tag); ok {
				lines = append(lines, strings.TrimSpace(said))
			}
		}
	}

	if len(lines) > 0 {
		return lines, nil
	}
	return nil, err
}

// ReadEnd reads the last bytes of a regular file, at most so many, from the beginning of a line on. It does not
// wait for a FIFO.
func ReadEnd(path string, most int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", path)
	}

	from := max(0, info.Size()-most)
	text, err := io.ReadAll(io.NewSectionReader(f, from, most))
	if from > 0 {
		_, text, _ = bytes.Cut(text, []byte{'\n'})
	}
	return text, err
}
