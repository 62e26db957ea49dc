package host

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	libaudit "github.com/elastic/go-libaudit/v2"

	"audisp-relay/host/broker"
)

// kernelTime is how long the kernel has to answer. Mostly it does within a millisecond, but
// a question waits for whoever changes rules meanwhile (audit_ctl_lock in
// kernel/audit.c), and no timeout of a socket ends that.
const kernelTime = 5 * time.Second

// asker reads the kernel's audit status with a limit to the time it takes.
type asker struct {
	read func() (libaudit.AuditStatus, error)
	// busy holds a token while read runs, so that a kernel that never answers
	// costs one goroutine and one socket, however often it is asked.
	busy chan struct{}
}

var kernel = asker{readStatus, make(chan struct{}, 1)}

var errNoAnswer = errors.New("no answer")

// AuditPID asks the kernel who receives its audit records: the pid that was
// given with AUDIT_SET, 0 if there is none (or it lives in another pid
// namespace). See KernelQueue.
func AuditPID() (int, error) {
	s, err := kernel.status()
	return int(s.PID), err
}

// KernelCounts is what the kernel says of its queue for auditd.
type KernelCounts struct {
	// Lost is how many records it has lost since boot: by its rate limit, a full backlog, or for want of memory. It
	// wraps, and AUDIT_SET can reset it (auditctl --reset-lost).
	Lost    uint32 `json:"lost"`
	Backlog uint32 `json:"backlog"`       // records that wait
	Limit   uint32 `json:"backlog_limit"` // of them; 0: none
}

// KernelQueue asks the kernel for its counts, or has the monitor ask.
//
// It needs CAP_AUDIT_CONTROL (EPERM without it); ECONNREFUSED and
// EPROTONOSUPPORT mean that the kernel has no audit for us, as in a container.
// Reading the status changes nothing. It takes never more than 5 s, after which it fails. Any goroutine may call it.
func KernelQueue() (KernelCounts, error) {
	if m := broker.Monitor(); m != nil {
		return ask[KernelCounts](m, opKernel, nil)
	}
	s, err := kernel.status()
	return KernelCounts{Lost: s.Lost, Backlog: s.Backlog, Limit: s.BacklogLimit}, err
}

func (k asker) status() (libaudit.AuditStatus, error) {
	timeout := time.NewTimer(kernelTime)
	defer timeout.Stop()
	select {
	case k.busy <- struct{}{}:
	case <-timeout.C:
		return libaudit.AuditStatus{}, fmt.Errorf("ask the kernel for the audit status: %w to an earlier question yet", errNoAnswer)
	}

	type answer struct {
		status libaudit.AuditStatus
		err    error
	}
	got := make(chan answer, 1)
	go func() {
		defer func() { <-k.busy }()
		status, err := k.ask()
		got <- answer{status, err}
	}()
	select {
	case a := <-got:
		if a.err != nil {
			return libaudit.AuditStatus{}, fmt.Errorf("ask the kernel for the audit status: %w", a.err)
		}
		return a.status, nil
	case <-timeout.C:
		return libaudit.AuditStatus{}, fmt.Errorf("ask the kernel for the audit status: %w in %v", errNoAnswer, kernelTime)
	}
}

// ask reads the status. The answer comes from one of the kernel's threads, for which read waits half
// a second at most: on a busy host that is not always enough, so it is asked again.
func (k asker) ask() (status libaudit.AuditStatus, err error) {
	for range 3 {
		if status, err = k.read(); err == nil || errors.As(err, new(syscall.Errno)) {
			break // answered, or refused
		}
	}
	return status, err
}

// readStatus asks once, with AUDIT_GET on a socket of its own. The client waits half a second at most
// for each of the two parts of the answer. It closes nothing but its socket: only one that has set
// the audit pid takes it back.
func readStatus() (libaudit.AuditStatus, error) {
	c, err := libaudit.NewAuditClient(nil)
	if err != nil {
		return libaudit.AuditStatus{}, err
	}
	defer c.Close()
	c.Netlink = prompt{c.Netlink}
	s, err := c.GetStatus()
	if err != nil {
		return libaudit.AuditStatus{}, err
	}
	return *s, nil
}

// prompt is a netlink socket that is looked at often at first. The client looks once and then every 50 ms, and the
// thread of the kernel's that answers has just been woken at the first look.
type prompt struct{ libaudit.NetlinkSendReceiver }

// Receive waits 25 ms at most for something to come, with pauses that double.
func (p prompt) Receive(nonBlocking bool, parse libaudit.NetlinkParser) ([]syscall.NetlinkMessage, error) {
	for pause := 100 * time.Microsecond; ; pause *= 2 {
		messages, err := p.NetlinkSendReceiver.Receive(nonBlocking, parse)
		if !errors.Is(err, syscall.EAGAIN) || pause > 20*time.Millisecond {
			return messages, err
		}
		time.Sleep(pause)
	}
}
