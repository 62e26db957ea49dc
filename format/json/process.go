package json

import (
	"encoding/hex"
	"strconv"

	"audisp-relay/audit/process"
	"audisp-relay/audit/record"
)

// keptLine bounds the memory that a long command line leaves, bytes.
const keptLine = 256 << 10

// kin is what was written for a process's parent and ancestors. Their other children, and what these do, have the
// same.
type kin struct {
	parent    *process.Process // nil: there is nothing
	ancestors [process.MaxAncestors]*process.Process
	json      []byte
}

const (
	kinCount   = 16
	maxKinText = 2048 // bytes of JSON; longer command lines are few
)

// appendProcess appends what the event's records do not say of its process, and its command line.
func (e *Encoder) appendProcess(dst []byte) []byte {
	c := &e.process
	dst = e.appendCommandLine(dst)
	if c.Self != nil {
		dst = e.appendSelf(dst)
	}
	if c.Parent == nil {
		return dst
	}
	if e.percent {
		return e.appendKin(dst)
	}

	k := &e.kin[c.Parent.PID()%kinCount]
	if k.parent == c.Parent && k.ancestors == c.Ancestors {
		return append(dst, k.json...)
	}
	from, bad := len(dst), e.bad
	dst = e.appendKin(dst)
	if e.bad == bad && len(dst)-from <= maxKinText {
		*k = kin{c.Parent, c.Ancestors, append(k.json[:0], dst[from:]...)}
	}
	return dst
}

// appendKin appends the parent and the ancestors.
func (e *Encoder) appendKin(dst []byte) []byte {
	c := &e.process
	dst = append(dst, `,"parent":{`...)
	dst = e.appendProgram(dst, c.Parent)
	if c.Parent.HasArgs() {
		dst = append(dst, `,"args":[`...)
		for arg := range c.Parent.Args {
			dst = append(e.appendValueOf(dst, arg), ',')
		}
		dst[len(dst)-1] = ']'
		dst = e.appendCommand(dst, c.Parent)
	}
	dst = append(dst, '}')
	if c.Depth == 0 {
		return dst
	}

	dst = append(dst, `,"ancestors":[`...)
	for _, p := range c.Ancestors[:c.Depth] {
		dst = append(e.appendProgram(append(dst, '{'), p), '}', ',')
	}
	dst[len(dst)-1] = ']'
	return dst
}

// appendSelf appends what else is known of the process.
func (e *Encoder) appendSelf(dst []byte) []byte {
	c := &e.process
	dst = appendExecID(dst, c.Self)
	if script := c.Self.Script(); script != "" {
		dst = e.appendValueOf(append(dst, `,"script":`...), script)
	}
	if sum := c.Hash(); sum != nil {
		dst = hex.AppendEncode(append(dst, `,"exe_sha256":"`...), sum[:])
		dst = append(dst, '"')
	}
	if unit := c.Unit(); unit != "" {
		dst = e.appendValueOf(append(dst, `,"systemd_unit":`...), unit)
	}
	if id := c.Container(); id != "" {
		dst = e.appendValueOf(append(dst, `,"container_id":`...), id)
	}

	from := len(dst)
	for label := range c.Labels {
		dst = append(dst, ',')
		if len(dst) == from+1 {
			dst = append(dst[:from], `,"labels":[`...)
		}
		dst = e.appendValueOf(dst, label)
	}
	if len(dst) > from {
		dst = append(dst, ']')
	}
	return dst
}

// appendCommandLine appends the command line: of an execve from its own records, else what is known
// of the process.
func (e *Encoder) appendCommandLine(dst []byte) []byte {
	if e.findRecord(record.TypeExecve) == nil {
		if p := e.process.Self; p != nil && p.HasArgs() {
			return e.appendCommand(dst, p)
		}
		return dst
	}

	line := e.scratch[:0]
	for i := range e.args.Len() {
		if arg, state := e.args.Arg(i); state != record.ArgMissing {
			line = process.AppendArg(line, 0, arg)
		}
	}
	if len(line) == 0 {
		return dst
	}
	if cap(line) <= keptLine {
		e.scratch = line
	}
	return e.appendString(append(dst, `,"command_line":`...), line)
}

// appendCommand appends the command line of p, which has arguments.
func (e *Encoder) appendCommand(dst []byte, p *process.Process) []byte {
	e.scratch = p.AppendCommandLine(e.scratch[:0])
	dst = e.appendString(append(dst, `,"command_line":`...), e.scratch)
	if p.ArgsCut() {
		dst = append(dst, `,"command_line_cut":true`...)
	}
	return dst
}

// appendProgram appends the first members of an object for p.
func (e *Encoder) appendProgram(dst []byte, p *process.Process) []byte {
	dst = strconv.AppendInt(append(dst, `"pid":`...), int64(p.PID()), 10)
	dst = e.appendValueOf(append(dst, `,"exe":`...), p.Exe())
	return appendExecID(dst, p)
}

// appendExecID appends the id of the event with which p began, if that is known.
func appendExecID(dst []byte, p *process.Process) []byte {
	at, ok := p.Exec()
	if !ok {
		return dst
	}
	dst = record.AppendEventID(append(dst, `,"exec_id":"`...), at.Millis, at.Serial)
	return append(dst, '"')
}

// appendValueOf is appendString for a string.
func (e *Encoder) appendValueOf(dst []byte, s string) []byte {
	e.scratch = append(e.scratch[:0], s...)
	return e.appendString(dst, e.scratch)
}
