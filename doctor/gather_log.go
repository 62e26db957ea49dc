package doctor

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"audisp-relay/audit/auditlog"
	"audisp-relay/audit/record"
	"audisp-relay/host"
)

// LogTail is the end of audit.log.
type LogTail struct {
	Path    string
	Why     string    // auditd writes no log, and why; "" where it does
	Written time.Time // when the file was written last
	Records int       // that were looked at
	Sent    time.Time // the latest due one that auditd gives to plugins, too; zero if that is not known
	due     time.Time // what is not later should have come to the relay before it was asked
	Denials []Denial  // of programs called audisp-relay
	// Loops counts records by the program that they are about, of those that the relay consists of
	// or writes to: the relay, its children.
	Loops map[string]int
}

// Denial is a record that says that a security module refused something.
type Denial struct {
	At         time.Time
	PID        uint32
	Text       string // the record with its header, by which it is found, and kept out of a bundle
	Permissive bool   // it was let through
}

// Bounds of what is looked at of a log.
const (
	tailBytes  = 1 << 20
	maxDenials = 20
	maxLoops   = 100
	tailTime   = time.Second
)

// log reads the end of audit.log.
func (g *Gatherer) log(f *Facts) (LogTail, error) {
	conf := f.Auditd.Value.Conf
	t := LogTail{Path: conf.LogFile, Loops: make(map[string]int), due: f.Now.Add(-f.Limits.StreamBehind)}
	if r := f.report(); r != nil {
		t.due = r.Now.Add(-f.Limits.StreamBehind)
	}
	switch {
	case !conf.WriteLogs:
		t.Why = conf.File + " has write_logs = no"
	case conf.LogFormat == "nolog":
		t.Why = conf.File + " has log_format = NOLOG"
	case slices.Contains(f.Daemon.Value.Args, "-f"):
		t.Why = "auditd was started with -f and prints its records"
	}
	if t.Path == "" {
		return t, errNone // auditd was not found
	}
	path := g.Machine.Path(t.Path)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) && (t.Why != "" || !f.running()) {
		return t, errNone
	}
	if err != nil {
		return t, fmt.Errorf("audit.log: %w", err)
	}

	t.Written = info.ModTime()
	reader := auditlog.New(path)
	defer reader.Close()
	at, _, err := reader.SeekTime(f.Now.Add(-f.Limits.DeniedWithin).UnixMilli(), tailBytes)
	if err == nil {
		err = reader.Go(at)
	}
	if err != nil {
		return t, err
	}
	err = t.read(reader, g.watched(f))
	if conf.TCPListenPort > 0 && !conf.DistributeNetwork {
		t.Sent = time.Time{} // records of other hosts are logged and not sent
	}
	return t, err
}

// watched are the processes whose system calls make records without end if they are audited: each
// record makes them do more. They are the relay, what it has started, and who reads from it.
type watched struct {
	programs map[string]bool // the relay's own, by file
	pids     map[string]bool // the others
}

func (g *Gatherer) watched(f *Facts) watched {
	w := watched{programs: map[string]bool{host.DefaultBinary: true}, pids: make(map[string]bool)}
	for _, file := range f.Plugins.Value {
		if file.Relay && file.Binary != "" {
			w.programs[file.Binary] = true
		}
	}

	for _, p := range f.Relays {
		if p.Exe != "" {
			w.programs[p.Exe] = true
		}
		children, _ := g.Machine.Children(p.PID)
		for _, child := range children {
			w.pids[strconv.Itoa(child.PID)] = true
		}
	}

	if r := f.report(); r != nil {
		for i := range r.Consumers {
			if d, ok := r.Consumers[i].Sink.Details.(interface{ Processes() []int }); ok {
				for _, pid := range d.Processes() {
					w.pids[strconv.Itoa(pid)] = true
				}
			}
		}
	}
	return w
}

// has returns the program of a SYSCALL record if it is about one of these processes.
func (w watched) has(body []byte) (exe string, ok bool) {
	exe = field(body, "exe")
	return exe, exe != "" && (w.programs[exe] || w.pids[field(body, "pid")])
}

// read reads records to the end of the log.
func (t *LogTail) read(reader *auditlog.Reader, own watched) error {
	var b record.Batch
	for deadline := time.Now().Add(tailTime); time.Now().Before(deadline); {
		_, err := reader.Next(&b)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for i := range b.Recs {
			t.add(&b, i, own)
		}
	}
	return nil
}

// add looks at one record.
func (t *LogTail) add(b *record.Batch, i int, own watched) {
	rec := &b.Recs[i]
	if !rec.HasID() {
		return
	}
	at := time.UnixMilli(rec.Millis)
	t.Records++
	if !record.OfDaemon(rec.Type) && at.After(t.Sent) && !at.After(t.due) {
		t.Sent = at
	}
	switch rec.Type {
	case record.TypeSyscall:
		if exe, ok := own.has(record.Parse(b, i).Body); ok && (t.Loops[exe] > 0 || len(t.Loops) < maxLoops) {
			t.Loops[exe]++
		}
	case record.TypeAVC:
		t.denial(b, i, at)
	}
}

// denial keeps the record of a security module about a program that is called like the relay.
// SELinux and AppArmor both write type AVC; the name is what the program calls itself.
func (t *LogTail) denial(b *record.Batch, i int, at time.Time) {
	body := record.Parse(b, i).Body
	refused := bytes.Contains(body, []byte("denied")) || bytes.Contains(body, []byte("DENIED"))
	if !refused || field(body, "comm") != filepath.Base(host.DefaultBinary) {
		return
	}
	if len(t.Denials) == maxDenials {
		t.Denials = slices.Delete(t.Denials, 0, 1)
	}
	pid, _ := record.ParseID([]byte(field(body, "pid")))
	t.Denials = append(t.Denials, Denial{At: at, PID: pid, Text: string(bytes.TrimSpace(b.Bytes(i))), Permissive: field(body, "permissive") == "1"})
}

// field returns the value of a field without its quotes, decoded if the kernel has
// encoded it in hexadecimal; "" where there is none.
func field(body []byte, key string) string {
	s := record.Scan(body)
	for s.Next() {
		if string(s.Key) != key {
			continue
		}
		if n := len(s.Value); n >= 2 && s.Value[0] == '"' && s.Value[n-1] == '"' {
			return string(s.Value[1 : n-1])
		}
		if out, ok := record.AppendUnhex(nil, s.Value); ok && (key == "exe" || key == "comm") {
			return string(out)
		}
		return string(s.Value)
	}
	return ""
}

// worstLoop is the program of those in Loops with the most records.
func (t *LogTail) worstLoop() (exe string, records int) {
	for _, name := range slices.Sorted(maps.Keys(t.Loops)) {
		if t.Loops[name] > records {
			exe, records = name, t.Loops[name]
		}
	}
	return exe, records
}
