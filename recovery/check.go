package recovery

import "time"

// checkTime is how long the log leads after Check: auditd reads its configuration,
// and plugins theirs, before it logs who asked for that.
const checkTime = time.Second

// Check lets the log lead for a moment, as auditd has logged or is about to log what it
// does not send to plugins: DAEMON_CONFIG, which says who had it reload. It may be
// called from anywhere and does not wait.
func (f *Merger) Check() {
	if f.log != nil {
		f.check.Store(true)
		f.wakeRun()
	}
}

// logOnly reports whether auditd logs records of this type and does not send them to
// plugins, or only some of them: DAEMON_CONFIG of a reload (auditd.c,
// distribute_event), and DAEMON_ROTATE with 2.8. That the stream lacks one is no fault.
func logOnly(typ uint32) bool {
	const daemonConfig, daemonRotate = 1203, 1205
	return typ == daemonConfig || typ == daemonRotate
}
