package filter

import "audisp-relay/audit/record"

// Origin is who and what an event comes from, read as a filter reads it.
type Origin struct {
	Exe, Unit, Subj string   // "" without
	Keys            []string // of the rules
	Auid, Uid       uint32   // record.Unset where there is none
	Pid, Ppid       int      // 0 without
}

var originPatterns = struct{ unit, subj, auid, uid, pid, ppid pattern }{
	newPattern("unit"), newPattern("subj"), newPattern("auid"), newPattern("uid"), newPattern("pid"), newPattern("ppid"),
}

// OriginReader reads Origins. One goroutine uses it.
type OriginReader struct {
	m    Matcher
	keys value
	// Where fields stood in the SYSCALL record before.
	unit, subj, auid, uid, pid, ppid int
}

// Origin returns the origin of the event that records i..j-1 of b are. What it returns lasts until
// the next call, and as long as the batch's buffer.
func (r *OriginReader) Origin(b *record.Batch, i, j int) Origin {
	m, p := &r.m, &originPatterns
	m.beginEvent(b, i, j)
	r.keys.texts = r.keys.texts[:0]
	loadKeys(m, &r.keys)
	return Origin{
		Exe:  m.text(record.Text, m.find(&exePattern, &m.hints.exe)),
		Unit: m.text(p.unit.class, m.find(&p.unit, &r.unit)),
		Subj: m.text(p.subj.class, m.find(&p.subj, &r.subj)),
		Keys: r.keys.texts,
		Auid: uint32(parseID(m.find(&p.auid, &r.auid))),
		Uid:  uint32(parseID(m.find(&p.uid, &r.uid))),
		Pid:  int(readNumber(p.pid.class, m.find(&p.pid, &r.pid))),
		Ppid: int(readNumber(p.ppid.class, m.find(&p.ppid, &r.ppid))),
	}
}
