package laurel

import (
	"encoding/hex"
	"strconv"
	"strings"

	"audisp-relay/audit/process"
	"audisp-relay/audit/record"
)

// appendProcess appends to a SYSCALL object what is known of the process: PPID, PID, SCRIPT and LABELS as laurel 0.5.1 has
// them, and SPAWNED_BY of 0.8.
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
		dst = e.appendPID(dst, p)
	}
	if p := c.SpawnedBy; p != nil {
		dst = append(e.keys.appendKey(dst, keySpawnedBy), '{')
		dst = comma(appendEventID(dst, p))
		dst = strconv.AppendInt(append(dst, `"pid":`...), int64(p.PID()), 10)
		dst = append(appendProgram(dst, p), '}')
	}
	return e.appendLabels(dst)
}

// appendPID appends what is known of the process itself, if there is something.
func (e *Encoder) appendPID(dst []byte, p *process.Process) []byte {
	_, known := p.Exec()
	service, ok := strings.CutSuffix(e.process.Unit(), ".service")
	id := e.process.Container()
	if !known && !ok && id == "" {
		return dst
	}
	dst = append(e.keys.appendKey(dst, keyPID), '{')
	dst = appendEventID(dst, p)
	if id != "" {
		dst = append(append(append(comma(dst), `"container":{"id":"`...), id...), `"}`...)
	}
	if ok {
		dst = appendString(append(comma(dst), `"systemd_service":[`...), []byte(service))
		dst = append(dst, ']')
	}
	return append(dst, '}')
}

// appendLabels appends the hash of the program, the script, of its execve alone, and the labels.
func (e *Encoder) appendLabels(dst []byte) []byte {
	c := &e.process
	if c.Self == nil {
		return dst
	}
	if sum := c.Hash(); sum != nil {
		dst = hex.AppendEncode(append(e.keys.appendKey(dst, keyHash), '"'), sum[:])
		dst = append(dst, '"')
	}

	if script := c.Self.Script(); script != "" && c.IsExec {
		dst = appendString(e.keys.appendKey(dst, keyScript), []byte(script))
	}
	first := true
	for label := range c.Labels {
		if first {
			dst = append(e.keys.appendKey(dst, keyLabels), '[')
		} else {
			dst = append(dst, ',')
		}
		dst = appendString(dst, []byte(label))
		first = false
	}
	if !first {
		dst = append(dst, ']')
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
