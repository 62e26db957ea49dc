package ecs

import (
	"math/bits"
	"strconv"

	"audisp-relay/audit/record"
)

// writeCapabilities writes the capabilities that the thread has after the event, if a record of it says which: BPRM_FCAPS those after
// an execve that a file's capabilities or a set-uid bit has changed, CAPSET those that capset(2) has set
// (kernel/auditsc.c, __audit_log_bprm_fcaps, __audit_log_capset). Other records say nothing of them.
func (e *Encoder) writeCapabilities() {
	of := e.capabilityRecord()
	if of == nil || e.doc.result != "success" {
		return
	}
	var permitted, effective []byte
	s := record.Scan(of.Body)
	for s.Next() {
		switch string(s.Key) {
		case "cap_pp", "pp", "new_pp": // of CAPSET, of BPRM_FCAPS, and of that before Linux 4.13
			permitted = s.Value
		case "cap_pe", "pe", "new_pe":
			effective = s.Value
		}
	}

	w := &e.w
	m := w.Open("thread", '{')
	o := w.Open("capabilities", '{')
	w.capabilities("permitted", permitted)
	w.capabilities("effective", effective)
	w.Close(o, '}')
	w.Close(m, '}')
}

// capabilityRecord returns the record of a system call that says which capabilities its thread has, nil without. Of two it is not
// said which came last.
func (e *Encoder) capabilityRecord() (of *parsedRecord) {
	call := false
	for k := range e.recs {
		switch r := &e.recs[k]; {
		case !r.coalesces():
		case r.Type == record.TypeSyscall:
			call = true
		case r.Type == record.TypeBprmFcaps || r.Type == record.TypeCapset:
			if of != nil {
				return nil
			}
			of = r
		}
	}
	if !call {
		return nil
	}
	return of
}

// capabilities writes the names of those in a set, which is hexadecimal; of those without a name the numbers, as the schema has it.
// What has not all of its digits was cut.
func (w *writer) capabilities(key string, set []byte) {
	n, ok := record.ParseHex(set)
	if !ok || len(set) < 16 {
		return
	}
	m := w.Open(key, '[')
	for ; n != 0; n &= n - 1 {
		if c := bits.TrailingZeros64(n); c < len(capabilities) {
			w.Item(capabilities[c])
		} else {
			w.Item(strconv.Itoa(c))
		}
	}
	w.Close(m, ']')
}

// capabilities are the names by their numbers (linux/capability.h).
var capabilities = [...]string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID", "CAP_SETUID",
	"CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK",
	"CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT",
	"CAP_SYS_NICE", "CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL",
	"CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON",
	"CAP_BPF", "CAP_CHECKPOINT_RESTORE",
}
