package file

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
)

// otherLook is how much of a file is looked at.
const otherLook = 4 << 10

// holdsOther reports whether a file that is not empty has something else in it than what sinks write, in whatever format: it is
// another program's then, most likely by a mistake in path.
func holdsOther(f handle, size int64) bool {
	buf := make([]byte, min(size, otherLook))
	n, err := f.ReadAt(buf, 0)
	if n == 0 || (err != nil && err != io.EOF) {
		return false // truncated meanwhile, most likely
	}
	buf = buf[:n]

	// Frames begin with the header of struct audit_dispatcher_header: version 0 or 1, then 16 (libaudit.h).
	if n >= 8 && binary.NativeEndian.Uint32(buf) <= 1 && binary.NativeEndian.Uint32(buf[4:]) == 16 {
		return false
	}
	for line := range bytes.Lines(buf) { // the first may be what no header was found in
		for _, begin := range []string{"type=", "node=", "{"} {
			if bytes.HasPrefix(line, []byte(begin)) {
				return false
			}
		}
	}
	return true
}

// leaveOther leaves such a file its owner and mode: its program would not be able to write it any more. That is
// reported, and records are written nevertheless.
func (w *writer) leaveOther() {
	w.unowned = false
	flaw := fmt.Sprintf("%s has something else in it than records: its owner and mode are left as they are; name another path, or move the file away", w.cfg.Path)
	w.flaw.Store(&flaw)
	w.warnOnce("other", "file has something else in it than records: they are written to its end, and its owner and mode left as they are; name another path, or move the file away")
}
