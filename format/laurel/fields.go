package laurel

import "audisp-relay/audit/record"

// inList reports whether laurel shows records of type t in an array, even if there is
// only one: those of the kernel that come in company.
func inList(t uint32) bool {
	switch t {
	case record.TypeSyscall, record.TypeCWD, record.TypeExecve, record.TypeProctitle, record.TypeEOE:
		return false
	case record.TypeLogin:
		return true
	}
	return (t >= 1300 && t <= 1405) || (t >= 1420 && t <= 2099 && t != record.TypeKernel) || t >= record.NamedType
}

// class is how laurel reads the values of a key.
type class uint8

const (
	// encoded is all that is nothing else: a bare value of pairs of hex digits is
	// taken for bytes, even where it is a number (old=64 becomes "d").
	encoded class = iota
	decimal
	hexadecimal
	octal
)

// classOf returns the class of a key. laurel has it from the dictionary of fields that
// the audit project publishes, where a number's base is given for some keys only. Ids
// are recognised by the end of their key. uring_op is a number as laurel 0.8 has it.
func classOf(key []byte) class {
	if n := len(key); n >= 3 && key[n-1] == 'd' && key[n-2] == 'i' && (key[n-3] == 'u' || key[n-3] == 'g') {
		return decimal // auid, ogid, and uuid
	}
	switch string(key) {
	case "arch", "cap_fi", "cap_fp", "cap_fver", "cap_pa", "cap_pe", "cap_pi", "cap_pp", "code", "fi",
		"flags", "fp", "fver", "ioctlcmd", "old_pa", "old_pe", "old_pi", "old_pp", "pa", "pe", "per",
		"pi", "pp", "qbytes":
		return hexadecimal
	case "mode":
		return octal
	case "argc", "audit_backlog_limit", "audit_backlog_wait_time", "audit_enabled", "audit_failure",
		"cap_fe", "capability", "changed", "compat", "dport", "enforcing", "entries", "errno", "exit",
		"family", "fd", "fe", "ino", "inode", "ipid", "item", "items", "len", "list", "lport", "major",
		"minor", "nargs", "new-enabled", "new-log_passwd", "new_lock", "nlnk-pid", "old-enabled",
		"old-log_passwd", "old-ses", "old_enforcing", "old_lock", "old_prom", "old_val", "opid", "oses",
		"permissive", "pid", "ppid", "prom", "proto", "res", "rport", "seqno", "ses", "sig",
		"sigev_signo", "spid", "sport", "syscall", "uring_op", "val", "vm-pid":
		return decimal
	}
	return encoded
}
