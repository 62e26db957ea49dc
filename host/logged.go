package host

import (
	"bytes"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"audisp-relay/audit/record"
)

// logTail is how much of a log's end is read: several times what a record can be.
const logTail = 64 << 10

// lastLogged returns the time of the last record that auditd has in its log, of which it gave
// every one to its plugins just after. It is not known where auditd writes no log, or one with
// records that it does not give them.
func (m Machine) lastLogged(auditd int) (at time.Time, known bool) {
	log, err := m.logOf(auditd)
	if err != nil || !log.Written || log.Network {
		return time.Time{}, false
	}
	f, err := os.OpenFile(m.path(log.Path), os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return time.Time{}, false
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return time.Time{}, false
	}
	tail := make([]byte, min(logTail, info.Size()))
	if _, err := io.ReadFull(io.NewSectionReader(f, info.Size()-int64(len(tail)), int64(len(tail))), tail); err != nil {
		return time.Time{}, false // it was rotated
	}

	var reader record.HeaderReader
	end := bytes.LastIndexByte(tail, '\n') // of what auditd has written whole
	for end > 0 {
		begin := bytes.LastIndexByte(tail[:end], '\n') + 1
		var r record.Record
		if reader.Read(&r, tail[begin:end]); r.HasID() {
			return time.UnixMilli(r.Millis), true
		}
		end = begin - 1
	}
	return time.Time{}, false
}
