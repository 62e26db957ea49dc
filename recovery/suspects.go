package recovery

import (
	"bytes"
	"time"

	"audisp-relay/audit/record"
)

// maxSuspects is how many lines may be part of a socket's address.
const maxSuspects = 4

// addLine numbers line i of b, which waits.
func (f *Merger) addLine(b *record.Batch, i int, now time.Time, state lineState) {
	r := &b.Recs[i]
	if f.suspects(b, i) {
		state |= isSuspect
	}
	if r.Flags&record.Cont != 0 {
		state |= isCont
	}
	if logOnly(r.Type) {
		state |= isResumed
	}
	if f.suspect == maxSuspects {
		state |= isBroken
	}
	n := f.awaited.add(b, i, now, state)
	if r.HasID() && !record.OfDaemon(r.Type) && state&isCont == 0 {
		l, newer := f.awaited.line(n), false
		if l.dist, newer = f.witness.distance(r.Serial); newer {
			l.lineState |= isNewer
		}
	}
}

// suspects reports whether a line may be part of a socket's address that ENRICHED
// wrote with its newlines: it follows a SOCKADDR record without an end, and not that
// end. An address has room for maxSuspects records.
func (f *Merger) suspects(b *record.Batch, i int) bool {
	r := &b.Recs[i]
	suspect := f.suspect > 0
	if !suspect && r.Type != record.TypeSockaddr {
		return false
	}
	text := bytes.TrimRight(b.Bytes(i), " \n")
	ends := bytes.HasSuffix(text, []byte(" }"))
	switch {
	case r.Type == record.TypeSockaddr && !ends && bytes.Contains(text, []byte("SADDR={")) && !isAX25(text):
		f.suspect = maxSuspects
	case suspect && (ends || !r.HasID()):
		f.suspect = 0
	case suspect:
		f.suspect--
	}
	return suspect
}

// isAX25 reports whether a SOCKADDR record is of that family: auditd prints 7 bytes of its
// address at most, and leaves out the end where there is a NUL among them.
func isAX25(text []byte) bool {
	_, saddr, _ := bytes.Cut(text, []byte("saddr="))
	return bytes.HasPrefix(saddr, []byte("0300")) || bytes.HasPrefix(saddr, []byte("0003"))
}

// logOnly reports whether auditd logs records of this type and does not send them to
// plugins, or only some of them: DAEMON_CONFIG of a reload (auditd.c,
// distribute_event), and DAEMON_ROTATE with 2.8. That the stream lacks one is no fault.
func logOnly(typ uint32) bool {
	return typ == record.TypeDaemonConfig || typ == record.TypeDaemonRotate
}
