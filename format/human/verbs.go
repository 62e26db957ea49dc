package human

import "strings"

// verb is what an event is called, in which colour; place says how an address stands
// to it.
type verb struct{ word, colour, place string }

// What kinds of events are coloured as.
const (
	execColour   = green
	fileColour   = cyan
	netColour    = blue
	loginColour  = yellow
	configColour = magenta
	alertColour  = red
	otherColour  = bold
)

// callVerbs are system calls whose own name is not the usual word, or that are of a kind.
var callVerbs = map[string]verb{
	"execve": {"exec", execColour, ""}, "execveat": {"exec", execColour, ""},

	"open": {"open", fileColour, ""}, "openat": {"open", fileColour, ""}, "openat2": {"open", fileColour, ""},
	"open_by_handle_at": {"open", fileColour, ""}, "creat": {"create", fileColour, ""},
	"truncate": {"truncate", fileColour, ""}, "ftruncate": {"truncate", fileColour, ""},
	"unlink": {"delete", fileColour, ""}, "unlinkat": {"delete", fileColour, ""}, "rmdir": {"rmdir", fileColour, ""},
	"rename": {"rename", fileColour, ""}, "renameat": {"rename", fileColour, ""}, "renameat2": {"rename", fileColour, ""},
	"link": {"link", fileColour, ""}, "linkat": {"link", fileColour, ""},
	"symlink": {"symlink", fileColour, ""}, "symlinkat": {"symlink", fileColour, ""},
	"mkdir": {"mkdir", fileColour, ""}, "mkdirat": {"mkdir", fileColour, ""},
	"mknod": {"mknod", fileColour, ""}, "mknodat": {"mknod", fileColour, ""},
	"chmod": {"chmod", fileColour, ""}, "fchmod": {"chmod", fileColour, ""}, "fchmodat": {"chmod", fileColour, ""}, "fchmodat2": {"chmod", fileColour, ""},
	"chown": {"chown", fileColour, ""}, "fchown": {"chown", fileColour, ""}, "fchownat": {"chown", fileColour, ""}, "lchown": {"chown", fileColour, ""},
	"setxattr": {"setxattr", fileColour, ""}, "lsetxattr": {"setxattr", fileColour, ""}, "fsetxattr": {"setxattr", fileColour, ""},
	"removexattr": {"removexattr", fileColour, ""}, "lremovexattr": {"removexattr", fileColour, ""}, "fremovexattr": {"removexattr", fileColour, ""},

	"connect": {"connect", netColour, "to "}, "bind": {"bind", netColour, "on "}, "listen": {"listen", netColour, "on "},
	"accept": {"accept", netColour, "from "}, "accept4": {"accept", netColour, "from "}, "socket": {"socket", netColour, ""},
	"sendto": {"send", netColour, "to "}, "sendmsg": {"send", netColour, "to "}, "sendmmsg": {"send", netColour, "to "},
	"recvfrom": {"receive", netColour, "from "}, "recvmsg": {"receive", netColour, "from "}, "recvmmsg": {"receive", netColour, "from "},

	"mount": {"mount", configColour, ""}, "umount2": {"umount", configColour, ""},
	"init_module": {"load module", configColour, ""}, "finit_module": {"load module", configColour, ""},
	"delete_module": {"unload module", configColour, ""},
	"settimeofday":  {"set clock", configColour, ""}, "clock_settime": {"set clock", configColour, ""},
	"adjtimex": {"adjust clock", configColour, ""}, "clock_adjtime": {"adjust clock", configColour, ""},
	"sethostname": {"sethostname", configColour, ""}, "setdomainname": {"setdomainname", configColour, ""},
	"kill": {"kill", alertColour, ""}, "tkill": {"kill", alertColour, ""}, "tgkill": {"kill", alertColour, ""},
	"ptrace": {"ptrace", alertColour, ""}, "process_vm_writev": {"process_vm_writev", alertColour, ""},
}

// typeVerbs are the words for records that say what happened. Others are called by their
// type.
var typeVerbs = map[string]verb{
	"LOGIN": {"login id", loginColour, ""}, "USER_LOGIN": {"login", loginColour, ""}, "USER_LOGOUT": {"logout", loginColour, ""},
	"USER_START": {"session start", loginColour, ""}, "USER_END": {"session end", loginColour, ""},
	"USER_AUTH": {"authenticate", loginColour, ""}, "USER_ACCT": {"account check", loginColour, ""},
	"CRED_ACQ": {"credentials", loginColour, ""}, "CRED_DISP": {"credentials end", loginColour, ""}, "CRED_REFR": {"credentials renew", loginColour, ""},
	"USER_CHAUTHTOK": {"change password", loginColour, ""}, "USER_CMD": {"command", execColour, ""}, "USER_ERR": {"login error", loginColour, ""},
	"USER_MGMT": {"change user", configColour, ""}, "GRP_MGMT": {"change group", configColour, ""}, "ACCT_LOCK": {"lock account", configColour, ""}, "ACCT_UNLOCK": {"unlock account", configColour, ""},
	"ADD_USER": {"add user", configColour, ""}, "DEL_USER": {"delete user", configColour, ""},
	"ADD_GROUP": {"add group", configColour, ""}, "DEL_GROUP": {"delete group", configColour, ""},
	"ROLE_ASSIGN": {"assign role", configColour, ""}, "ROLE_REMOVE": {"remove role", configColour, ""},
	"USER": {"message", otherColour, ""}, "TRUSTED_APP": {"message", otherColour, ""},
	"TTY": {"keystrokes", otherColour, ""}, "USER_TTY": {"keystrokes", otherColour, ""},
	"SERVICE_START": {"service start", configColour, ""}, "SERVICE_STOP": {"service stop", configColour, ""},
	"SYSTEM_BOOT": {"boot", configColour, ""}, "SYSTEM_SHUTDOWN": {"shutdown", configColour, ""}, "SYSTEM_RUNLEVEL": {"runlevel", configColour, ""},
	"SOFTWARE_UPDATE": {"software", configColour, ""}, "CHUSER_ID": {"change user id", loginColour, ""}, "CHGRP_ID": {"change group id", loginColour, ""},

	"CONFIG_CHANGE": {"audit config", configColour, ""}, "USYS_CONFIG": {"system config", configColour, ""}, "FEATURE_CHANGE": {"audit feature", configColour, ""},
	"DAEMON_START": {"auditd start", configColour, ""}, "DAEMON_END": {"auditd end", configColour, ""}, "DAEMON_ABORT": {"auditd abort", alertColour, ""},
	"DAEMON_CONFIG": {"auditd config", configColour, ""}, "DAEMON_ROTATE": {"auditd rotate", configColour, ""}, "DAEMON_RESUME": {"auditd resume", configColour, ""},
	"DAEMON_ERR": {"auditd error", alertColour, ""}, "DAEMON_ACCEPT": {"auditd accept", configColour, ""}, "DAEMON_CLOSE": {"auditd close", configColour, ""},
	"NETFILTER_CFG": {"netfilter", configColour, ""}, "NETFILTER_PKT": {"packet", netColour, ""}, "KERN_MODULE": {"module", configColour, ""}, "BPF": {"bpf", configColour, ""},
	"TIME_INJOFFSET": {"clock offset", configColour, ""}, "TIME_ADJNTPVAL": {"clock ntp", configColour, ""},
	"MAC_POLICY_LOAD": {"selinux policy", configColour, ""}, "MAC_STATUS": {"selinux status", configColour, ""}, "MAC_CONFIG_CHANGE": {"selinux boolean", configColour, ""},

	"AVC": {"avc", alertColour, ""}, "USER_AVC": {"avc", alertColour, ""}, "SELINUX_ERR": {"selinux error", alertColour, ""}, "USER_SELINUX_ERR": {"selinux error", alertColour, ""},
	"SECCOMP": {"seccomp", alertColour, ""}, "ANOM_ABEND": {"crash", alertColour, ""}, "ANOM_PROMISCUOUS": {"promiscuous", alertColour, ""}, "ANOM_LINK": {"link refused", alertColour, ""},
	"FANOTIFY": {"fanotify", alertColour, ""},
}

// verbOfType returns what a record of a type is called.
func verbOfType(name string) verb {
	v, ok := typeVerbs[name]
	switch {
	case ok:
		return v
	case strings.HasPrefix(name, "ANOM_"), strings.HasPrefix(name, "RESP_"), strings.HasPrefix(name, "INTEGRITY_"):
		return verb{name, alertColour, ""}
	case strings.HasPrefix(name, "DAEMON_"), strings.HasPrefix(name, "MAC_"):
		return verb{name, configColour, ""}
	}
	return verb{name, otherColour, ""}
}
