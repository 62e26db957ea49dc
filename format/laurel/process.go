package laurel

import (
	"strconv"

	"audisp-relay/audit/process"
	"audisp-relay/audit/record"
)

// appendProcess appends to a SYSCALL object what is known of the process: PPID and PID as laurel 0.5.1 has them,
// and SPAWNED_BY of 0.8.
func (e *Encoder) appendProcess(dst []byte) []byte {
	c := &e.process
	if p := c.Parent; p != nil {
		dst = append(e.keys.appendKey(dst, keyPPID), '{')
		dst = appendProgram(appendEventID(dst, p), p)
		if ppid := p.PPID(); ppid > 0 {
			dst = strconv.AppendInt(append(dst, `,"ppid":`...), int64(ppid), 10)
		}
		dst = append(dst, '}')
	}
	if p := c.Self; p != nil {
		if _, ok := p.Exec(); ok {
			dst = append(e.keys.appendKey(dst, keyPID), '{')
			dst = append(appendEventID(dst, p), '}')
		}
	}
	if p := c.SpawnedBy; p != nil {
		dst = append(e.keys.appendKey(dst, keySpawnedBy), '{')
		dst = comma(appendEventID(dst, p))
		dst = strconv.AppendInt(append(dst, `"pid":`...), int64(p.PID()), 10)
		dst = append(appendProgram(dst, p), '}')
	}
	return dst
}

// appendEventID appends the member EVENT_ID, if the exec that p began with is known.
func appendEventID(dst []byte, p *process.Process) []byte {
	at, ok := p.Exec()
	if !ok {
		return dst
	}
	dst = record.AppendEventID(append(dst, `"EVENT_ID":"`...), at.Millis, at.Serial)
	return append(dst, '"')
}

func appendProgram(dst []byte, p *process.Process) []byte {
	if comm := p.Comm(); comm != "" {
		dst = append(comma(dst), `"comm":`...)
		dst = appendString(dst, []byte(comm))
	}
	dst = append(comma(dst), `"exe":`...)
	return appendString(dst, []byte(p.Exe()))
}

// comma ends the member before, if there is one.
func comma(dst []byte) []byte {
	if dst[len(dst)-1] == '{' {
		return dst
	}
	return append(dst, ',')
}
