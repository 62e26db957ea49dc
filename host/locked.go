package host

// RulesLocked asks the kernel whether its audit rules are locked until the next boot (auditctl
// -e 2). It takes as long, and fails, as KernelLost does.
func RulesLocked() (bool, error) {
	const locked = 2
	s, err := kernel.status()
	return s.Enabled == locked, err
}
