package host

import (
	"fmt"

	libaudit "github.com/elastic/go-libaudit/v2"
	"github.com/elastic/go-libaudit/v2/rule"
)

// KernelStatus is the audit status of the kernel (struct audit_status of linux/audit.h).
type KernelStatus struct {
	PID             int    // who gets the records; 0: none does, or one of another pid namespace
	Enabled         uint32 // 0 off, 1 on, 2 on and rules and settings locked until the next boot
	RateLimit       uint32 // records a second that it makes at most; 0: no limit
	BacklogLimit    uint32 // records that wait for the audit daemon at most; 0: no limit
	Backlog         uint32 // records that wait
	Lost            uint32 // records since the boot, or since auditctl --reset-lost
	BacklogWaitTime uint32 // how long a process waits at a full backlog, in ticks of the kernel
	BacklogWaited   uint32 // how long processes have waited in all, in ticks; 0 before Linux 5.9
	WaitTimeKnown   bool   // since Linux 3.14
}

// Locked reports whether rules and settings cannot be changed before the next boot (auditctl -e 2).
func (s KernelStatus) Locked() bool { return s.Enabled == 2 }

// featureWaitTime is AUDIT_FEATURE_BITMAP_BACKLOG_WAIT_TIME of linux/audit.h.
const featureWaitTime = 2

// Status asks the kernel for its audit status; see KernelQueue for what that takes.
func Status() (KernelStatus, error) {
	s, err := kernel.status()
	if err != nil {
		return KernelStatus{}, err
	}
	return KernelStatus{
		PID: int(s.PID), Enabled: s.Enabled, RateLimit: s.RateLimit, BacklogLimit: s.BacklogLimit, Backlog: s.Backlog, Lost: s.Lost,
		BacklogWaitTime: s.BacklogWaitTime, BacklogWaited: s.BacklogWaitTimeActual, WaitTimeKnown: s.FeatureBitmap&featureWaitTime != 0,
	}, nil
}

// RulesLocked asks the kernel whether its audit rules are locked until the next boot; see Status.
func RulesLocked() (bool, error) {
	s, err := Status()
	return s.Locked(), err
}

// Rules asks the kernel for the rules that are loaded, each as auditctl -l writes it; one that this
// program cannot read is "?". It needs CAP_AUDIT_CONTROL and changes nothing. It may wait for
// whoever changes rules meanwhile, without a limit.
func Rules() ([]string, error) {
	c, err := libaudit.NewAuditClient(nil)
	if err != nil {
		return nil, fmt.Errorf("ask the kernel for its rules: %w", err)
	}
	defer c.Close()
	loaded, err := c.GetRules()
	if err != nil {
		return nil, fmt.Errorf("ask the kernel for its rules: %w", err)
	}
	lines := make([]string, 0, len(loaded))
	for _, wire := range loaded {
		lines = append(lines, ruleLine(wire))
	}
	return lines, nil
}

// ruleLine reads one rule. The library trusts lengths and numbers in it, and may be older than
// the kernel.
func ruleLine(wire []byte) (line string) {
	defer func() {
		if recover() != nil {
			line = "?"
		}
	}()
	line, err := rule.ToCommandLine(rule.WireFormat(wire), false)
	if err != nil {
		return "?"
	}
	return line
}
