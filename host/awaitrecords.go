package host

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"audisp-relay/audit/record"
)

// awaitRecords waits until the plugin has got a record that was made just now, and all that
// auditd has logged by then: an auditd that gives each record when the next one comes has given
// that one, too, where another program made one meanwhile. It is asked for only where an
// auditd may start a plugin and give it nothing, or records of long ago: see dispatcherNote.
func (i *Installer) awaitRecords(ctx context.Context, a Auditd) error {
	if i.Received == nil || i.Probe == nil {
		i.Say("it is the only plugin; if no records come: %s", dispatcherNote)
		return nil
	}
	for range 3 {
		made := time.Now().Add(-clockTick)
		if err := i.Probe(); err != nil {
			i.Say("whether records come could not be tried (%v); if none do: %s", err, dispatcherNote)
			return nil
		}
		if i.poll(ctx, func() bool { return i.upToDate(a.PID, made) }) {
			i.Say("records come at once")
			return nil
		}
	}
	return fmt.Errorf("auditd (pid %d) runs the plugin and gives it no records, or late ones: restart auditd: %s", a.PID, dispatcherNote)
}

// upToDate reports whether the plugin has got a record that is not older than made, and is not
// behind the log of auditd, at each of several looks. The plugin is looked at first: a record that comes
// between the two makes it look late, while the other way round one that is always a record late would look
// up to date. Where records come too fast for a look between two of them, it is enough that the plugin
// has what the log had at the look before.
func (i *Installer) upToDate(auditd int, made time.Time) bool {
	var before Stamp // in the log at the last look
	for look := range looks {
		got, err := i.Received(i.Machine.path(i.Config))
		if err != nil || got.At.Before(made) {
			return false
		}
		logged, known := i.Machine.lastLogged(auditd)
		late := known && got.before(logged)
		fast := look == 0 || logged.Serial-before.Serial >= fastEvents
		if late && (!fast || got.before(before)) {
			return false
		}
		before = logged
		time.Sleep(lookPause)
	}
	return true
}

const (
	looks      = 5
	lookPause  = 20 * time.Millisecond
	fastEvents = 10 // from one look to the next
)

// Stamp is what distinguishes the records of one event from those of others. The time alone does
// not: it is that of the kernel's last tick.
type Stamp struct {
	At     time.Time
	Serial uint32
}

// before reports whether an event is an earlier one than another.
func (s Stamp) before(other Stamp) bool {
	return s.At.Before(other.At) || (s.At.Equal(other.At) && s.Serial < other.Serial)
}

// clockTick is how old the time of a new record may be: the kernel takes that of its last
// tick, 10 ms ago at most, in whole milliseconds.
const clockTick = 20 * time.Millisecond

// logTail is how much of a log's end is read: several times what a record can be.
const logTail = 64 << 10

// lastLogged returns the stamp of the last record that auditd has in its log, of which it gave
// every one to its plugins just after. It is not known where auditd writes no log, or one with
// records that it does not give them.
func (m Machine) lastLogged(auditd int) (last Stamp, known bool) {
	log, err := m.logOf(auditd)
	if err != nil || !log.Written || log.Network {
		return Stamp{}, false
	}
	f, err := os.OpenFile(m.path(log.Path), os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return Stamp{}, false
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return Stamp{}, false
	}
	tail := make([]byte, min(logTail, info.Size()))
	if _, err := io.ReadFull(io.NewSectionReader(f, info.Size()-int64(len(tail)), int64(len(tail))), tail); err != nil {
		return Stamp{}, false // it was rotated
	}

	var reader record.HeaderReader
	end := bytes.LastIndexByte(tail, '\n') // of what auditd has written whole
	for end > 0 {
		begin := bytes.LastIndexByte(tail[:end], '\n') + 1
		var r record.Record
		if reader.Read(&r, tail[begin:end]); r.HasID() {
			return Stamp{time.UnixMilli(r.Millis), r.Serial}, true
		}
		end = begin - 1
	}
	return Stamp{}, false
}
