package host

import (
	"errors"
	"time"

	"audisp-relay/host/broker"
)

// AuditdItem is what a worker calls auditd and the kernel when it asks its monitor for what only root may read of them.
const AuditdItem = "auditd"

// Ops of AuditdItem.
const (
	opLog    = "log"
	opLogs   = "logs"
	opNode   = "node"
	opState  = "state"
	opKernel = "kernel"
	opPadded = "padded"
)

// logAnswer is what LogOf returns.
type logAnswer struct {
	Log      LogInfo
	Problems []string // of a *ConfError
}

func askLog(m *broker.Client) (LogInfo, error) {
	var a logAnswer
	if err := m.Do(AuditdItem, opLog, nil, &a); err != nil {
		return LogInfo{}, err
	}
	if len(a.Problems) > 0 {
		return a.Log, &ConfError{a.Problems}
	}
	return a.Log, nil
}

// paddedAnswer is what PaddedFrames returns.
type paddedAnswer struct {
	Padded  bool
	Version string
}

// ask asks the monitor for what op gives.
func ask[T any](m *broker.Client, op string, args any) (answer T, err error) {
	err = m.Do(AuditdItem, op, args, &answer)
	return answer, err
}

// ServeAuditd returns what serves AuditdItem in a monitor whose auditd is the process parent or above it. known reports
// whether a program is one of the configuration's.
func ServeAuditd(parent int, known func(program string) bool) broker.Handler {
	lengths := frameLengths{known: known, answers: make(map[string]frameLength)}
	padded := broker.OneByOne(lengths.serve)
	return func(c *broker.Call) (a broker.Answer, err error) {
		switch c.Op {
		case opLog:
			log, err := LogOf(parent)
			mistakes, _ := errors.AsType[*ConfError](err)
			if err != nil && mistakes == nil {
				return a, err
			}
			answer := logAnswer{Log: log}
			if mistakes != nil {
				answer.Problems = mistakes.Problems[:min(len(mistakes.Problems), maxProblems)]
			}
			a.Result = answer
		case opLogs:
			a.Result = AuditLogs(parent)
		case opNode:
			a.Result, err = NodeOf(parent)
		case opState:
			a.Result, err = Machine{}.ReadState()
		case opKernel:
			a.Result, err = KernelQueue()
		case opPadded:
			return padded(c)
		default:
			return a, c.Unknown()
		}
		return a, err
	}
}

// frameLengths are the answers to opPadded. What says a version is a program, and a worker that was taken over would have it started
// without end: the same is not asked again for a while. There are no more of them than programs that were configured.
type frameLengths struct {
	known   func(program string) bool
	answers map[string]frameLength
}

// frameLength is what was found at some time.
type frameLength struct {
	answer paddedAnswer
	at     time.Time
}

// frameTime is how long that counts.
const frameTime = 10 * time.Second

// serve serves one request at a time.
func (f *frameLengths) serve(c *broker.Call) (a broker.Answer, err error) {
	var program string
	if err := c.Args(&program); err != nil {
		return a, err
	}
	if program != "" && !f.known(program) {
		return a, c.Unknown()
	}
	l, there := f.answers[program]
	if !there || time.Since(l.at) > frameTime {
		l.answer.Padded, l.answer.Version = PaddedFrames(program)
		l.at = time.Now()
		f.answers[program] = l
	}
	a.Result = l.answer
	return a, nil
}

// maxProblems is how many mistakes of auditd.conf go to a worker: it logs them in one line.
const maxProblems = 32
