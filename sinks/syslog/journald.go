package syslog

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"audisp-relay/host/journald"
)

// journal watches what journald drops: of the messages of one service it takes so many in
// a time, and of the rest it says in the journal how many they were. It counts before it
// forwards anything, so a daemon that reads from it gets no more.
type journal struct {
	root     string // "" but in tests
	burst    int    // 0: it drops nothing, or something else is at the socket
	interval time.Duration

	since time.Time // of the time that messages are counted for
	count int
	said  bool
}

// look reads what limits the socket at address.
func (j *journal) look(address string) {
	l := j.limitOf(address, ownUnit())
	j.burst, j.interval = l.Burst, l.Interval
}

// limitOf returns what journald takes of a unit at the socket at address, nothing where another daemon reads it.
func (j *journal) limitOf(address, unit string) (l journald.Limit) {
	path, err := filepath.EvalSymlinks(j.root + address)
	if err != nil {
		return l
	}
	if namespace, ok := journald.NamespaceAt(j.root, path); ok {
		l = journald.LimitOf(j.root, namespace, unit)
	}
	if l.Off() {
		return journald.Limit{}
	}
	return l
}

// note counts n messages that went now, and returns how many of them may have been dropped.
func (j *journal) note(n int, log *zap.Logger) (over int) {
	if j.burst == 0 || n == 0 {
		return 0
	}
	now := time.Now()
	if now.Sub(j.since) > j.interval {
		j.since, j.count = now, 0
	}
	before := max(j.count-j.burst, 0)
	j.count += n
	over = max(j.count-j.burst, 0) - before
	if over > 0 && !j.said {
		j.said = true
		log.Warn("journald takes fewer messages than are sent to it and drops the rest: set LogRateLimitIntervalSec=0 for auditd.service",
			zap.Int("burst", j.burst), zap.Duration("interval", j.interval), zap.Int("sent", j.count), zap.Duration("in", now.Sub(j.since)))
	}
	return over
}

// ownUnit returns the unit of systemd that this process runs in, auditd's, or "".
func ownUnit() string {
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return ""
	}
	return unitOf(text)
}

// unitOf reads /proc/PID/cgroup, of either version: the last part of a path that names a service.
func unitOf(text []byte) string {
	for line := range bytes.Lines(text) {
		fields := strings.SplitN(strings.TrimSpace(string(line)), ":", 3)
		if len(fields) < 3 || (fields[1] != "" && fields[1] != "name=systemd") {
			continue
		}
		parts := strings.Split(fields[2], "/")
		for _, part := range slices.Backward(parts) {
			if strings.HasSuffix(part, ".service") {
				return part
			}
		}
	}
	return ""
}
