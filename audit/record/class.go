package record

// Class says what the values of a field are, and so how json shows them and how
// they are restored.
type Class uint8

const (
	// Plain is a bare word: shown as it stands.
	Plain Class = iota
	// Int is a decimal number.
	Int
	// UserID is a user or group id: a number, with a name beside it; unset is null.
	UserID
	// Session is a number that is null when unset, and has no name.
	Session
	// Text is what an unprivileged user may have chosen: "..." or, with bytes
	// that are not printable, hex (kernel/audit.c, audit_log_untrustedstring);
	// (null) is null.
	Text
	// Hex is a mask or an address in hex without 0x.
	Hex
)

// ClassOf returns the class that a key has in nearly every record; see ClassIn for the
// exceptions. What is not known is Plain. Sources: the calls of audit_log_format and
// audit_log_untrustedstring in the kernel (kernel/audit*.c, security/, net/, ipc/, fs/notify/,
// drivers/tty/tty_audit.c), and auparse's typetab.h for what programs send.
//
// Keys that are text in one record and a number in another (old, new, res, op, table) are
// Plain, so that they are of one kind everywhere. A switch is quicker than a map or a hash
// table: the compiler looks for the length first.
func ClassOf(key []byte) Class {
	switch string(key) {
	case
		// kernel/auditsc.c: SYSCALL, PATH, EXECVE, SOCKETCALL, IPC, MQ_*, FD_PAIR, MMAP, URINGOP
		"pid", "ppid", "opid", "exit", "items", "item", "inode", "argc", "nargs", "fd", "fd0", "fd1",
		"cap_fe", "cap_frootid", "fe", "frootid", "uring_op", "syscall",
		"mqdes", "mq_maxmsg", "mq_msgsize", "mq_curmsgs", "msg_len", "msg_prio",
		"abs_timeout_sec", "abs_timeout_nsec", "sigev_signo", "sec", "nsec",
		// kernel/auditfilter.c, seccomp and ANOM_* (auditsc.c), SELinux, AppArmor, IMA, TTY, BPF
		"list", "sig", "compat", "prom", "old_prom", "capability", "enforcing", "old_enforcing", "ino", "errno",
		"major", "minor", "prog-id", "permissive", "denials", "lport", "fport", "rport", "dest", "src_port", "dst_port",
		// netfilter, fanotify
		"family", "entries", "proto", "resp", "fan_type", "subj_trust", "obj_trust",
		// sshd, libvirt
		"spid", "ksize", "vm-pid",
		// the relay's loss markers
		"records", "events", "first", "last":
		return Int
	case
		"auid", "uid", "euid", "suid", "fsuid", "ouid", "oauid", "old-auid", "iuid", "id", "inode_uid", "sauid", "obj_uid",
		"gid", "egid", "sgid", "fsgid", "ogid", "igid", "inode_gid", "new_gid", "obj_gid":
		return UserID
	case "ses", "oses", "old-ses", "new-ses", "new-auid", "loginuid": // auditd gives none of them a name
		return Session
	case
		"comm", "exe", "name", "cwd", "proctitle", "path", "key", "ocomm", "dir", "data", "watch", "file",
		"kmod", "key_desc", "tcomm",
		// programs
		"acct", "cmd", "vm", "device", "device_rule", "cgroup", "grp", "new_group", "root_dir", "sw", "invalid_context",
		"old-disk", "new-disk", "old-fs", "new-fs", "old-net", "new-net",
		"old-chardev", "new-chardev", "old-rng", "new-rng",
		// security/apparmor/audit.c
		"apparmor", "operation", "profile", "info", "denied_mask", "requested_mask":
		return Text
	case
		"a0", "a1", "a2", "a3", "per", "qbytes", "fan_info",
		"cap_fp", "cap_fi", "cap_fver", "cap_pp", "cap_pi", "cap_pe", "cap_pa", "fver",
		"old_pp", "old_pi", "old_pe", "old_pa", "pp", "pi", "pe", "pa", "fp", "fi", "new_pp", "new_pi", "new_pe":
		return Hex
	}
	return Plain
}

// ClassIn returns the class of a key in records of one type: that of ClassOf but for
// the keys that mean something else there (auparse_interp_adjust_type of auparse, and the
// kernel for dev).
func ClassIn(typ uint32, key []byte) Class {
	switch typ {
	case TypeExecve:
		switch _, rest, ok := cutIndex(key); {
		case ok && string(rest) == "_len":
			return Int
		case ok:
			return Text
		}
	case TypeCryptoKeyUser:
		if string(key) == "fp" { // a key's fingerprint: SHA256:..
			return Plain
		}
	default:
		if string(key) == "dev" && hasDevName(typ) {
			return Text
		}
	}
	return ClassOf(key)
}

// hasDevName reports whether dev is a file system's name in records of that type
// (security/lsm_audit.c, security/integrity/integrity_audit.c) rather than major and minor
// number as in PATH.
func hasDevName(typ uint32) bool {
	return typ == TypeAVC || typ == TypeLandlockAccess || (typ >= 1800 && typ <= 1899)
}

// HasTwin reports whether auditd with log_format ENRICHED adds a name for a field: ids,
// arch, system call and socket address (auditd-event.c, format_enrich; typetab.h). In an AVC
// and a NETFILTER_PKT saddr is no socket address.
func HasTwin(typ uint32, key []byte) bool {
	switch string(key) {
	case "arch", "syscall", "uring_op":
		return true
	case "saddr":
		return typ != TypeAVC && typ != TypeNetfilter
	}
	return ClassOf(key) == UserID
}
