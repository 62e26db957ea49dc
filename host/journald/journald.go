// Package journald says which sockets systemd-journald reads, and what it takes of what one service sends there: of the rest it says in
// the journal alone how much it was. It only reads files.
package journald

import (
	"bufio"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Defaults of journald (journald.conf(5)), where its sockets are, and how many bytes of a file are read.
const (
	defaultBurst    = 10_000
	defaultInterval = 30 * time.Second
	sockets         = "/run/systemd/journal"
	maxConf         = 1 << 20
)

// dirs are where systemd looks for configuration, the first one before the others.
var dirs = []string{"/etc/systemd", "/run/systemd", "/usr/local/lib/systemd", "/usr/lib/systemd", "/lib/systemd"}

// Limit is how many messages of a service journald takes in which time. With much free disk it takes up to six times as many.
type Limit struct {
	Burst    int // 0: any number
	Interval time.Duration
	Source   string // the file that says so; "" for journald's defaults
}

// LimitOf returns the limit of the journald of a namespace (LogNamespace= in systemd.exec(5)), "" for that of the host, for a unit, ""
// for one without a limit of its own. root is "" but in tests. What cannot be read says nothing.
func LimitOf(root, namespace, unit string) Limit {
	l := Limit{Burst: defaultBurst, Interval: defaultInterval}
	for _, path := range files(root, ConfOf(namespace)) {
		l.read(root, path)
	}
	if unit != "" { // what systemd has for the unit takes precedence (systemd.exec(5), LogRateLimitIntervalSec=)
		units := root + "/run/systemd/units/log-rate-limit-"
		// Of a link that is not there the text is empty, and no number.
		text, _ := os.Readlink(units + "interval:" + unit)
		if us, err := strconv.ParseInt(text, 10, 63); err == nil {
			l.Interval, l.Source = min(time.Duration(us), maxSpan/time.Microsecond)*time.Microsecond, unit
		}
		text, _ = os.Readlink(units + "burst:" + unit)
		if n, err := strconv.ParseUint(text, 10, 31); err == nil {
			l.Burst, l.Source = int(n), unit
		}
	}
	return l
}

// Off reports whether journald takes any number.
func (l Limit) Off() bool { return l.Burst == 0 || l.Interval == 0 }

// ConfOf returns the name of the configuration file of a namespace. That of the host does not count for others.
func ConfOf(namespace string) string {
	if namespace == "" {
		return "journald.conf"
	}
	return "journald@" + namespace + ".conf"
}

// NamespaceAt returns which namespace's journald reads the socket at path, which has no links; ok is false where none does. In the mount
// namespace of a unit with a LogNamespace= the directory of the host's is that of the unit's.
func NamespaceAt(root, path string) (namespace string, ok bool) {
	dir := strings.TrimPrefix(filepath.Dir(path), root)
	// At "syslog" another daemon listens, for what journald forwards (ForwardToSyslog= in journald.conf(5)).
	if filepath.Base(path) == "syslog" {
		return "", false
	}
	if name, own := strings.CutPrefix(dir, sockets+"."); own && !strings.Contains(name, "/") {
		return name, true
	}
	if dir != sockets {
		return "", false
	}
	here, err := os.Stat(root + sockets)
	if err != nil {
		return "", true
	}
	others, _ := filepath.Glob(root + sockets + ".*")
	for _, other := range others {
		if there, err := os.Stat(other); err == nil && os.SameFile(here, there) {
			return strings.TrimPrefix(other, root+sockets+"."), true
		}
	}
	return "", true
}

// files returns a configuration file and its drop-ins, below root, in the order in which they count.
func files(root, name string) (files []string) {
	for _, dir := range dirs {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(root + path); err == nil {
			files = append(files, path)
			break
		}
	}

	named := map[string]string{} // of one name the first directory's counts
	for _, dir := range dirs {
		entries, _ := os.ReadDir(root + filepath.Join(dir, name+".d"))
		for _, e := range entries {
			if named[e.Name()] == "" && strings.HasSuffix(e.Name(), ".conf") {
				named[e.Name()] = filepath.Join(dir, name+".d", e.Name())
			}
		}
	}

	for _, name := range slices.Sorted(maps.Keys(named)) {
		files = append(files, named[name])
	}
	return files
}

// read takes over what a file says.
func (l *Limit) read(root, path string) {
	info, err := os.Stat(root + path)
	if err != nil || !info.Mode().IsRegular() { // a link to /dev/null switches one off
		return
	}
	f, err := os.Open(root + path)
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
		switch strings.TrimSpace(key) {
		case "RateLimitIntervalSec", "RateLimitInterval": // the latter is the old name
			l.Set(strings.TrimSpace(value), "", path)
		case "RateLimitBurst":
			l.Set("", strings.TrimSpace(value), path)
		}
	}
}

// Set takes over an interval or a burst as files have them; "" and what journald would not understand are ignored.
func (l *Limit) Set(interval, burst, source string) {
	if d, ok := Span(interval); ok {
		l.Interval, l.Source = d, source
	}
	if n, err := strconv.ParseUint(burst, 10, 31); err == nil {
		l.Burst, l.Source = int(n), source
	}
}

// maxSpan is the longest time span that matters.
const maxSpan = 365 * 24 * time.Hour

// Span reads a time span as systemd.time(7) has them: "30", "1min 30s", "500 ms".
func Span(text string) (total time.Duration, ok bool) {
	if text = strings.TrimSpace(text); text == "" {
		return 0, false
	}
	for ; text != ""; text = strings.TrimSpace(text) {
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
	"w": 7 * 24 * time.Hour, "week": 7 * 24 * time.Hour, "weeks": 7 * 24 * time.Hour,
	"M": 3044 * 24 * time.Hour / 100, "month": 3044 * 24 * time.Hour / 100, "months": 3044 * 24 * time.Hour / 100,
	"y": 36525 * 24 * time.Hour / 100, "year": 36525 * 24 * time.Hour / 100, "years": 36525 * 24 * time.Hour / 100,
}
