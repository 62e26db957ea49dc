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

// limit returns how many messages of unit journald takes in which time, 0 for any number.
func (j *journal) limit(unit string) (burst int, interval time.Duration) {
	burst, interval = journalBurst, journalInterval
	for _, path := range j.files() {
		j.read(path, &burst, &interval)
	}

	if unit != "" { // what systemd has for the unit takes precedence (systemd.exec(5), LogRateLimitIntervalSec=)
		units := j.root + "/run/systemd/units/log-rate-limit-"
		// Of a link that is not there the text is empty, and no number.
		text, _ := os.Readlink(units + "interval:" + unit)
		if us, err := strconv.ParseInt(text, 10, 63); err == nil {
			interval = min(time.Duration(us), maxSpan/time.Microsecond) * time.Microsecond
		}
		text, _ = os.Readlink(units + "burst:" + unit)
		if n, err := strconv.ParseUint(text, 10, 31); err == nil {
			burst = int(n)
		}
	}

	if burst == 0 || interval == 0 {
		return 0, 0
	}
	return burst, interval
}

// files returns journald's configuration in the order in which it counts.
func (j *journal) files() (files []string) {
	dirs := []string{"/etc/systemd", "/run/systemd", "/usr/local/lib/systemd", "/usr/lib/systemd"}
	for _, dir := range dirs {
		path := j.root + dir + "/journald.conf"
		if _, err := os.Stat(path); err == nil {
			files = append(files, path)
			break
		}
	}

	named := map[string]string{} // of one name the first directory's counts
	for _, dir := range dirs {
		found, _ := filepath.Glob(j.root + dir + "/journald.conf.d/*.conf")
		for _, path := range found {
			if name := filepath.Base(path); named[name] == "" {
				named[name] = path
			}
		}
	}

	for _, name := range slices.Sorted(maps.Keys(named)) {
		files = append(files, named[name])
	}
	return files
}

// read takes over what a file says. What cannot be read says nothing.
func (j *journal) read(path string, burst *int, interval *time.Duration) {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() { // a link to /dev/null switches one off
		return
	}
	f, err := os.Open(path)
	if err != nil {
		return
	}
	defer f.Close()

	section := ""
	for lines := bufio.NewScanner(io.LimitReader(f, maxConf)); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		if strings.HasPrefix(line, "[") {
			section = line
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok || section != "[Journal]" || line[0] == '#' || line[0] == ';' {
			continue
		}
		value = strings.TrimSpace(value)
		switch strings.TrimSpace(key) {
		case "RateLimitIntervalSec", "RateLimitInterval":
			if d, ok := span(value); ok {
				*interval = d
			} else if value == "" {
				*interval = journalInterval
			}
		case "RateLimitBurst":
			if n, err := strconv.ParseUint(value, 10, 31); err == nil {
				*burst = int(n)
			} else if value == "" {
				*burst = journalBurst
			}
		}
	}
}

// maxSpan is the longest time span that matters.
const maxSpan = 365 * 24 * time.Hour

// span reads a time span as systemd.time(7) has them: "30", "1min 30s", "500 ms".
func span(text string) (total time.Duration, ok bool) {
	for text = strings.TrimSpace(text); text != ""; text = strings.TrimSpace(text) {
		n := len(text) - len(strings.TrimLeft(text, "0123456789."))
		value, err := strconv.ParseFloat(text[:n], 64)
		if err != nil {
			return 0, false
		}
		text = strings.TrimSpace(text[n:])
		n = len(text) - len(strings.TrimLeft(text, "abcdefghijklmnopqrstuvwxyzµμM"))
		unit, known := spanUnits[text[:n]]
		if !known {
			return 0, false
		}
		text = text[n:]
		total = min(total+time.Duration(min(value*float64(unit), float64(maxSpan))), maxSpan)
	}
	return total, true
}

var spanUnits = map[string]time.Duration{
	"": time.Second, "s": time.Second, "sec": time.Second, "second": time.Second, "seconds": time.Second,
	"us": time.Microsecond, "usec": time.Microsecond, "µs": time.Microsecond, "μs": time.Microsecond,
	"ms": time.Millisecond, "msec": time.Millisecond,
	"m": time.Minute, "min": time.Minute, "minute": time.Minute, "minutes": time.Minute,
	"h": time.Hour, "hr": time.Hour, "hour": time.Hour, "hours": time.Hour,
	"d": 24 * time.Hour, "day": 24 * time.Hour, "days": 24 * time.Hour,
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
