package ecs

// meaning says what records of some types, or some system calls, mean. Several words in
// one string have blanks between.
type meaning struct {
	of       string // record types, system calls; "*" is any other
	action   string // event.action
	category string // event.category
	kind     string // event.type
	what     string // auditd.summary.object.type
	object   string // fields for auditd.summary.object.primary: the first that is there
	*sources        // nil: as of &sources{}
}

// sources are the fields that other parts of an event are taken from, in each case the first that is
// there. Without, the actors are auid and uid, and how is exe or comm.
type sources struct {
	has           string // the meaning is for records with this field only, or with this field=value
	actor, actor2 string // auditd.summary.actor.primary, .secondary
	object2       string // auditd.summary.object.secondary
	how           string // auditd.summary.how
	source        string // source.ip
	path          int    // which PATH record is the file: this, counted from 0, or the first after it that is no directory's
}

// session is what records of programs about a session have, login those with an address besides.
var (
	session = sources{actor: "auid", actor2: "acct id uid", object2: "addr hostname", how: "exe terminal"}
	login   = sources{actor: "auid", actor2: "acct id uid", object2: "addr hostname", how: "exe terminal", source: "addr"}
)

// meanings is the table of what is known. All of it is there at compile time, so that a process that
// writes no ecs pays nothing for it. Of several rows for a type the last counts whose fields are there.
//
// The facts are those of go-libaudit v2.6.2 (aucoalesce/normalizations.yaml; Copyright 2017-2018
// Elasticsearch B.V., Apache License 2.0), which auditbeat uses. ANOM_LOGIN_ACCT and ANOM_MK_EXEC have
// other names there, and so no meaning.
var meanings = [...]meaning{
	// System calls.
	{"*", "", "process", "info", "", "", nil},
	{"creat", "opened-file", "file", "creation", "file", "", nil},
	{"fallocate truncate ftruncate", "opened-file", "file", "change", "file", "", nil},
	{"open openat readlink readlinkat", "opened-file", "file", "info", "file", "", nil},
	{"read", "read-file", "file", "info", "file", "", nil},
	{"write", "wrote-to-file", "file", "change", "file", "", nil},
	{"setxattr fsetxattr lsetxattr removexattr fremovexattr lremovexattr", "changed-file-attributes-of", "file", "change", "file", "", nil},
	{"chmod fchmod fchmodat", "changed-file-permissions-of", "file", "change", "file", "", nil},
	{"chown fchown fchownat lchown", "changed-file-ownership-of", "file", "change", "file", "", nil},
	{"KERN_MODULE finit_module init_module", "loaded-kernel-module", "driver", "start", "file", "name", nil},
	{"delete_module", "unloaded-kernel-module", "driver", "end", "file", "", nil},
	{"mkdir mkdirat", "created-directory", "file", "creation", "file", "", &sources{path: 1}},
	{"mount", "mounted", "file", "creation", "filesystem", "", &sources{path: 1}},
	{"rename renameat renameat2", "renamed", "file", "change", "file", "", &sources{path: 2}},
	{"access faccessat fstatat newfstatat stat stat64 fstat lstat getxattr lgetxattr fgetxattr", "checked-metadata-of", "file", "info", "file", "", nil},
	{"statfs fstatfs", "checked-filesystem-metadata-of", "file", "info", "filesystem", "", nil},
	{"link linkat", "linked", "file", "creation", "file", "", nil},
	{"symlink symlinkat", "symlinked", "file", "creation", "file", "", nil},
	{"umount umount2", "unmounted", "file", "deletion", "filesystem", "", nil},
	{"rmdir unlink unlinkat", "deleted", "file", "deletion", "file", "", nil},
	{"utime utimes futimesat futimens utimensat", "changed-timestamp-of", "file", "info", "file", "", nil},
	{"execve execveat", "executed", "process", "start", "file", "", nil},
	{"listen", "listen-for-connections", "network", "start", "socket", "", nil},
	{"accept accept4", "accepted-connection-from", "network", "connection start", "socket", "", nil},
	{"bind", "bound-socket", "network", "start", "socket", "", nil},
	{"connect", "connected-to", "network", "connection start", "socket", "", nil},
	{"recv recvfrom recvmsg recvmmsg", "received-from", "network", "connection info", "socket", "", nil},
	{"send sendto sendmsg sendmmsg", "sent-to", "network", "connection info", "socket", "", nil},
	{"kill tkill tgkill", "killed-pid", "process", "end", "process", "", nil},
	{"setuid seteuid setfsuid setreuid setgid setegid setfsgid setregid setresuid setresgid", "changed-identity-of", "process", "change", "process", "", &sources{how: "syscall"}},
	{"TIME_ADJNTPVAL TIME_INJOFFSET settimeofday clock_settime stime adjtimex clock_adjtime", "changed-system-time", "host", "change", "system", "", nil},
	{"mknod mknodat", "make-device", "file", "creation", "file", "", nil},
	{"sethostname setdomainname", "changed-system-name", "host", "change", "system", "", nil},
	{"mmap mmap2 brk", "allocated-memory", "process", "info", "memory", "", nil},
	{"sched_setparam sched_setscheduler sched_setattr", "adjusted-scheduling-policy-of", "process", "change", "process", "", &sources{how: "syscall"}},
	{"exit_group", "end", "process", "end", "process", "", &sources{how: "syscall"}},
	// Accounts and roles.
	{"ACCT_LOCK", "locked-account", "iam", "user info", "", "", nil},
	{"ACCT_UNLOCK", "unlocked-account", "iam", "user info", "", "", nil},
	{"ADD_GROUP", "added-group-account-to", "iam", "group creation", "account", "id acct", nil},
	{"ADD_USER", "added-user-account", "iam", "user creation", "account", "id acct", nil},
	{"DEL_GROUP", "deleted-group-account-from", "iam", "group deletion", "account", "id acct", nil},
	{"DEL_USER", "deleted-user-account", "iam", "user deletion", "account", "id acct", nil},
	{"GRP_MGMT", "modified-group-account", "iam", "group change", "account", "id acct", nil},
	{"ROLE_ASSIGN", "assigned-user-role-to", "iam", "user change", "account", "id acct", nil},
	{"ROLE_MODIFY", "modified-role", "iam", "change", "", "", nil},
	{"ROLE_REMOVE", "removed-user-role-from", "iam", "user change", "account", "id acct", nil},
	{"USER_MGMT", "modified-user-account", "iam", "user change", "user-session", "terminal", &session},
	{"USER_CHAUTHTOK", "changed-password", "iam", "user change", "user-session", "terminal", &session},
	{"GRP_CHAUTHTOK", "changed-group-password", "iam", "group change", "user-session", "acct", &session},
	// Logins and sessions.
	{"CRED_ACQ", "acquired-credentials", "authentication", "info", "user-session", "terminal", &session},
	{"CRED_DISP", "disposed-credentials", "authentication", "info", "user-session", "terminal", &session},
	{"CRED_REFR", "refreshed-credentials", "authentication", "info", "user-session", "terminal", &session},
	{"GRP_AUTH", "authenticated-to-group", "authentication", "info", "", "", nil},
	{"LOGIN", "changed-login-id-to", "authentication", "start", "user-session", "new-auid new_auid auid", &sources{actor: "old_auid old-auid", actor2: "uid"}},
	{"USER_ACCT", "was-authorized", "authentication", "info", "user-session", "terminal", &session},
	{"USER_AUTH", "authenticated", "authentication", "info", "user-session", "terminal", &session},
	{"USER_END", "ended-session", "session", "end", "user-session", "terminal", &session},
	{"USER_ERR", "error", "authentication", "info", "user-session", "terminal", &login},
	{"USER_LOGIN", "logged-in", "authentication", "start", "user-session", "terminal", &login},
	{"USER_LOGOUT", "logged-out", "authentication", "end", "user-session", "terminal", &session},
	{"USER_ROLE_CHANGE", "changed-role-to", "", "", "user-session", "selected-context", &session},
	{"USER_START", "started-session", "session", "start", "user-session", "terminal", &login},
	// Virtual machines.
	{"VIRT_CONTROL", "issued-vm-control", "host", "info", "virtual-machine", "op", &sources{object2: "vm"}},
	{"VIRT_CREATE", "created-vm-image", "host", "info", "", "", nil},
	{"VIRT_DESTROY", "deleted-vm-image", "host", "info", "", "", nil},
	{"VIRT_INTEGRITY_CHECK", "checked-integrity-of", "host", "info", "", "", nil},
	{"VIRT_MACHINE_ID", "assigned-vm-id", "host", "info", "virtual-machine", "vm", nil},
	{"VIRT_MIGRATE_IN", "migrated-vm-from", "host", "info", "", "", nil},
	{"VIRT_MIGRATE_OUT", "migrated-vm-to", "host", "info", "", "", nil},
	{"VIRT_RESOURCE", "assigned-vm-resource", "host", "info", "virtual-machine", "resrc", &sources{object2: "vm"}},
	// Processes.
	{"CHGRP_ID", "changed-group", "process", "change", "", "", nil},
	{"CHUSER_ID", "changed-user-id", "process", "change", "", "", nil},
	{"TEST", "sent-test", "process", "info", "", "", nil},
	{"TRUSTED_APP", "unknown", "process", "info", "", "", nil},
	{"USER_CMD", "ran-command", "process", "start", "process", "cmd", nil},
	// The host and its services.
	{"SYSTEM_BOOT", "booted-system", "host", "start", "system", "", nil},
	{"SYSTEM_RUNLEVEL", "changed-to-runlevel", "host", "change", "system", "new-level", nil},
	{"SYSTEM_SHUTDOWN", "shutdown-system", "host", "end", "system", "", nil},
	{"SERVICE_START", "started-service", "process", "start", "service", "unit", nil},
	{"SERVICE_STOP", "stopped-service", "process", "end", "service", "unit", nil},
	// The audit system and its daemon.
	{"CONFIG_CHANGE", "changed-audit-configuration", "process configuration", "change", "audit-config", "op key audit_enabled audit_pid audit_backlog_limit audit_failure", nil},
	{"DAEMON_ABORT", "aborted-auditd-startup", "process", "end", "service", "", nil},
	{"DAEMON_ACCEPT", "remote-audit-connected", "network", "connection start", "service", "", nil},
	{"DAEMON_CLOSE", "remote-audit-disconnected", "network", "connection start", "service", "", nil},
	{"DAEMON_CONFIG", "changed-auditd-configuration", "process configuration", "change", "service", "", nil},
	{"DAEMON_END", "shutdown-audit", "process", "end", "service", "", nil},
	{"DAEMON_ERR", "audit-error", "process", "info", "service", "", nil},
	{"DAEMON_RECONFIG", "reconfigured-auditd", "process configuration", "info", "service", "", nil},
	{"DAEMON_RESUME", "resumed-audit-logging", "process", "change", "service", "", nil},
	{"DAEMON_ROTATE", "rotated-audit-logs", "process", "change", "service", "", nil},
	{"DAEMON_START", "started-audit", "process", "start", "service", "", nil},
	{"KERNEL", "initialized-audit-subsystem", "process", "info", "", "", nil},
	// Configuration.
	{"USYS_CONFIG", "changed-configuration", "configuration", "change", "system", "op", nil},
	{"NETFILTER_CFG", "loaded-firewall-rule-to", "configuration", "change", "firewall", "table", nil},
	{"FEATURE_CHANGE", "changed-audit-feature", "configuration", "change", "system", "feature", nil},
	// Keystrokes.
	{"TTY USER_TTY", "typed", "", "", "keystrokes", "data", &sources{how: "comm exe"}},
	// Security modules.
	{"AVC", "violated-selinux-policy", "", "", "", "tcontext", &sources{has: "seresult", actor: "scontext", object2: "tclass"}},
	{"AVC", "granted-by-selinux-policy", "", "", "", "tcontext", &sources{has: "seresult=granted", actor: "scontext", object2: "tclass"}},
	{"AVC", "violated-apparmor-policy", "", "", "policy", "operation", &sources{has: "apparmor", object2: "requested_mask denied_mask capname"}},
	// What AppArmor says in the field of that name, and in operation (security/apparmor/audit.c). DENIED
	// and KILLED, and they alone, are violations of a policy that is enforced.
	{"apparmor=DENIED apparmor=KILLED apparmor=KILL", "violated-apparmor-policy", "", "", "", "", nil},
	{"apparmor=ALLOWED", "allowed-by-apparmor-complain-mode", "", "", "", "", nil},
	{"apparmor=AUDIT", "audited-by-apparmor-policy", "", "", "", "", nil},
	{"apparmor=HINT", "hinted-by-apparmor", "", "", "", "", nil},
	{"apparmor=ERROR", "apparmor-error", "", "", "", "", nil},
	{"apparmor=STATUS", "reported-apparmor-status", "configuration", "info", "", "", nil},
	{"apparmor=STATUS,profile_load apparmor=STATUS,profile_replace", "loaded-apparmor-profile", "configuration", "change", "", "", nil},
	{"apparmor=STATUS,profile_remove", "removed-apparmor-profile", "configuration", "change", "", "", nil},
	{"apparmor=*", "reported-by-apparmor", "", "", "", "", nil},
	{"FS_RELABEL", "relabeled-filesystem", "", "", "mac-config", "", nil},
	{"LABEL_LEVEL_CHANGE", "modified-level-of", "", "", "printer", "printer", nil},
	{"LABEL_OVERRIDE", "overrode-label-of", "", "", "mac-config", "", nil},
	{"MAC_CHECK", "mac-permission", "", "", "", "", nil},
	{"MAC_CONFIG_CHANGE", "changed-selinux-boolean", "configuration", "change", "mac-config", "bool", nil},
	{"MAC_POLICY_LOAD", "loaded-selinux-policy", "configuration", "access", "mac-config", "", nil},
	{"MAC_STATUS", "changed-selinux-enforcement", "configuration", "change", "mac-config", "enforcing", nil},
	{"USER_AVC", "access-permission", "", "", "", "", nil},
	{"USER_MAC_CONFIG_CHANGE", "changed-mac-configuration", "configuration", "change", "mac-config", "", nil},
	{"USER_MAC_POLICY_LOAD", "loaded-mac-policy", "configuration", "access", "mac-config", "", nil},
	{"USER_SELINUX_ERR", "access-error", "", "", "", "", nil},
	{"SECCOMP", "violated-seccomp-policy", "", "", "process", "syscall", nil},
	{"SELINUX_ERR", "caused-mac-policy-error", "", "", "system", "", nil},
	// Cryptography.
	{"CRYPTO_KEY_USER", "negotiated-crypto-key", "process", "info", "user-session", "fp", &login},
	{"CRYPTO_LOGIN", "crypto-officer-logged-in", "", "", "", "", nil},
	{"CRYPTO_LOGOUT", "crypto-officer-logged-out", "process", "info", "", "", nil},
	{"CRYPTO_SESSION", "started-crypto-session", "process", "info", "user-session", "addr", &sources{actor: "auid", actor2: "acct id uid", object2: "rport", how: "exe terminal", source: "addr"}},
	{"DAC_CHECK", "access-result", "", "", "", "", nil},
	// Anomalies.
	{"ANOM_ABEND", "crashed-program", "process intrusion_detection", "end info", "process", "comm exe", &sources{object2: "pid", how: "sig"}},
	{"ANOM_EXEC", "attempted-execution-of-forbidden-program", "process intrusion_detection", "start info", "process", "cmd", &sources{how: "terminal"}},
	{"ANOM_LINK", "used-suspicious-link", "file intrusion_detection", "access info", "", "", nil},
	{"ANOM_LOGIN_FAILURES", "failed-log-in-too-many-times-to", "authentication intrusion_detection", "start denied", "user-session", "terminal", &session},
	{"ANOM_LOGIN_LOCATION", "attempted-log-in-from-unusual-place-to", "authentication intrusion_detection", "start denied", "user-session", "terminal", &session},
	{"ANOM_LOGIN_SESSIONS", "opened-too-many-sessions-to", "authentication intrusion_detection", "start denied", "user-session", "terminal", &session},
	{"ANOM_LOGIN_TIME", "attempted-log-in-during-unusual-hour-to", "authentication intrusion_detection", "start denied", "user-session", "terminal", &session},
	{"ANOM_PROMISCUOUS", "changed-promiscuous-mode-on-device", "intrusion_detection", "info change", "network-device", "dev", nil},
	{"ANOM_RBAC_INTEGRITY_FAIL", "tested-file-system-integrity-of", "intrusion_detection", "info", "filesystem", "hostname", nil},
	{"ANOM_LOGIN_ACCT", "attempted-log-in-to-watched-account", "authentication intrusion_detection", "start denied", "", "", nil},
	{"ANOM_MAX_DAC", "max-discretionary-access-control-failures-reached", "intrusion_detection", "info", "", "", nil},
	{"ANOM_MAX_MAC", "max-mandatory-access-control-failures-reached", "intrusion_detection", "info", "", "", nil},
	{"ANOM_AMTU_FAIL", "abstract-machine-test-utility-failure", "intrusion_detection", "info", "", "", nil},
	{"ANOM_RBAC_FAIL", "rbac-self-test-failure", "intrusion_detection", "info", "", "", nil},
	{"ANOM_CRYPTO_FAIL", "crypto-system-test-failure", "intrusion_detection", "info", "", "", nil},
	{"ANOM_MK_EXEC", "made-an-executable", "file intrusion_detection", "change info", "", "", nil},
	{"ANOM_ACCESS_FS", "accessed-watched-file-or-directory", "file intrusion_detection", "access info", "", "", nil},
	{"ANOM_ADD_ACCT", "added-user-account", "iam intrusion_detection", "user creation info", "", "", nil},
	{"ANOM_DEL_ACCT", "deleted-user-account", "iam intrusion_detection", "user deletion info", "", "", nil},
	{"ANOM_MOD_ACCT", "modified-user-account", "iam intrusion_detection", "user change info", "", "", nil},
	{"ANOM_ROOT_TRANS", "user-became-root", "authentication intrusion_detection", "start info", "", "", nil},
	{"ANOM_LOGIN_SERVICE", "service-account-attempted-login", "authentication intrusion_detection", "start denied", "", "", nil},
	// Others.
	{"USER", "sent-message", "", "", "", "addr", nil},
	{"SOFTWARE_UPDATE", "package-updated", "package", "info", "", "", nil},
}

// others are system calls that go-libaudit knows nothing of, with one that it knows and that does the same: they are newer, or those of
// 32 bits. Whoever opens a file by openat2 has opened it.
var others = [...]struct{ calls, as string }{
	{"openat2", "openat"},
	{"truncate64 ftruncate64", "truncate"},
	{"readv pread64 preadv preadv2", "read"},
	{"writev pwrite64 pwritev pwritev2", "write"},
	{"setxattrat removexattrat file_setattr", "setxattr"},
	{"fchmodat2", "fchmodat"},
	{"chown32 fchown32 lchown32", "chown"},
	{"move_mount", "mount"},
	{"statx lstat64 fstat64 fstatat64 faccessat2 getxattrat listxattr llistxattr flistxattr listxattrat file_getattr", "stat"},
	{"statfs64 fstatfs64", "statfs"},
	{"utimensat_time64", "utimensat"},
	{"recvmmsg_time64", "recvmmsg"},
	{"rt_sigqueueinfo rt_tgsigqueueinfo pidfd_send_signal", "kill"},
	{"setuid32 setreuid32 setresuid32 setfsuid32 setgid32 setregid32 setresgid32 setfsgid32", "setuid"},
	{"clock_settime64 clock_adjtime64", "clock_settime"},
}

// classes are what the records of a range of types are about, as audit-userspace has it
// (auparse/normalize.c): event.category where there is no other.
var classes = [...]struct {
	first, last uint32
	name        string
}{
	{1100, 1106, "user-login"}, {1107, 1107, "mac-decision"}, {1108, 1110, "user-login"}, {1111, 1111, "configuration"},
	{1112, 1113, "user-login"}, {1114, 1117, "user-account"}, {1119, 1121, "user-space"}, {1122, 1122, "mac-decision"},
	{1123, 1123, "user-space"}, {1124, 1124, "TTY"}, {1125, 1125, "user-space"}, {1126, 1126, "user-login"},
	{1127, 1131, "system-services"}, {1132, 1133, "user-account"}, {1135, 1136, "user-account"}, {1200, 1299, "audit-daemon"},
	{1300, 1304, "audit-rule"}, {1305, 1305, "configuration"}, {1306, 1315, "audit-rule"}, {1317, 1318, "audit-rule"},
	{1319, 1319, "TTY"}, {1321, 1324, "audit-rule"}, {1325, 1325, "configuration"}, {1326, 1326, "dac-decision"},
	{1328, 1329, "configuration"}, {1400, 1402, "mac-decision"}, {1403, 1501, "mac"}, {1502, 1503, "mac-decision"},
	{1504, 1505, "mac"}, {1506, 1506, "mac-decision"}, {1600, 1699, "crypto"}, {1700, 1799, "anomaly"},
	{1800, 1899, "integrity"}, {2000, 2000, "system-services"}, {2100, 2108, "anomaly"}, {2109, 2109, "integrity"},
	{2110, 2199, "anomaly"}, {2200, 2299, "anomaly-response"}, {2300, 2399, "mac"}, {2400, 2499, "crypto"},
	{2500, 2599, "virt"},
}

// classOf returns what records of a type are about.
func classOf(typ uint32) string {
	for _, c := range classes {
		if typ >= c.first && typ <= c.last {
			return c.name
		}
	}
	return "unknown"
}
