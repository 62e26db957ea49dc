//go:build amd64 || arm64

package sandbox

import (
	"os"
	"os/exec"

	"golang.org/x/sys/unix"
)

// wrong makes arguments that no call takes, so that nothing happens where it is allowed.
const wrong = 1<<31 - 16

// attempts are what an attacker would try next. Each returns an error where it is refused, and does no harm
// where it is not: its arguments are wrong, or what it made is undone.
func attempts() map[string]func() error {
	all := map[string]func() error{
		"make a packet socket":  func() error { return open(unix.AF_PACKET, unix.SOCK_RAW, 0) },
		"make a vsock":          func() error { return open(unix.AF_VSOCK, unix.SOCK_STREAM, 0) },
		"listen to udev":        func() error { return open(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_KOBJECT_UEVENT) },
		"make a device":         func() error { return unix.Mknodat(unix.AT_FDCWD, "", unix.S_IFCHR|0o600, 0) },
		"ask for a personality": func() error { return call(unix.SYS_PERSONALITY, 1<<32-1) },
		"unshare":               func() error { return unix.Unshare(1) },
		"setns":                 func() error { return unix.Setns(-1, 0) },
		"fork into a namespace": func() error {
			return call(unix.SYS_CLONE, unix.CLONE_NEWUSER|unix.CLONE_FS|unix.CLONE_VM|unix.CLONE_SIGHAND|unix.CLONE_THREAD)
		},
	}
	for name, c := range map[string][]uintptr{
		"ptrace":            {unix.SYS_PTRACE, unix.PTRACE_PEEKDATA, wrong},
		"read a process":    {unix.SYS_PROCESS_VM_READV, wrong, 0, 0, 0, 0, 1},
		"write a process":   {unix.SYS_PROCESS_VM_WRITEV, wrong, 0, 0, 0, 0, 1},
		"take a descriptor": {unix.SYS_PIDFD_GETFD, wrong, 0, 1},
		"bpf":               {unix.SYS_BPF, wrong, 0, 0},
		"perf":              {unix.SYS_PERF_EVENT_OPEN, 0, 0, 0, 0, wrong},
		"io_uring":          {unix.SYS_IO_URING_ENTER, wrong, 0, 0, wrong},
		"userfaultfd":       {unix.SYS_USERFAULTFD, wrong | 1}, // UFFD_USER_MODE_ONLY: without it CAP_SYS_PTRACE is asked for first
		"mount":             {unix.SYS_MOUNT, 0, 0, 0, 0, 0},
		"umount":            {unix.SYS_UMOUNT2, 0, wrong},
		"pivot_root":        {unix.SYS_PIVOT_ROOT, 0, 0},
		"move a mount":      {unix.SYS_MOVE_MOUNT, wrong, 0, wrong, 0, wrong},
		"open a tree":       {unix.SYS_OPEN_TREE, wrong, 0, wrong},
		"open a fs":         {unix.SYS_FSOPEN, 0, wrong},
		"configure a fs":    {unix.SYS_FSCONFIG, wrong, wrong},
		"mount a fs":        {unix.SYS_FSMOUNT, wrong, wrong},
		"pick a fs":         {unix.SYS_FSPICK, wrong, 0, wrong},
		"change a mount":    {unix.SYS_MOUNT_SETATTR, wrong, 0, wrong},
		"chroot":            {unix.SYS_CHROOT, 0},
		"load a module":     {unix.SYS_FINIT_MODULE, wrong, 0, wrong},
		"unload a module":   {unix.SYS_DELETE_MODULE, 0, 0},
		"load a kernel":     {unix.SYS_KEXEC_LOAD, 0, wrong, 0, wrong},
		"reboot":            {unix.SYS_REBOOT, 0, 0, 0, 0},
		"open a handle":     {unix.SYS_OPEN_BY_HANDLE_AT, wrong, 0, 0},
		"add a key":         {unix.SYS_ADD_KEY, 0, 0, 0, 0, 0},
		"ask for a key":     {unix.SYS_REQUEST_KEY, 0, 0, 0, 0},
		"keyctl":            {unix.SYS_KEYCTL, wrong},
		"set the clock":     {unix.SYS_CLOCK_SETTIME, wrong, 0},
		"set the time":      {unix.SYS_SETTIMEOFDAY, 1, 0},
		"adjust the clock":  {unix.SYS_CLOCK_ADJTIME, wrong, 0},
		"adjust the time":   {unix.SYS_ADJTIMEX, 0},
		"swap on":           {unix.SYS_SWAPON, 0, wrong},
		"swap off":          {unix.SYS_SWAPOFF, 0},
		"account processes": {unix.SYS_ACCT, 1},
		"quotas":            {unix.SYS_QUOTACTL, wrong, 0, 0, 0},
		"read dmesg":        {unix.SYS_SYSLOG, wrong, 0, 0},
	} {
		all[name] = func() error { return call(c[0], c[1:]...) }
	}
	return all
}

// execAttempts start programs, or are of use to who may not.
func execAttempts() map[string]func() error {
	return map[string]func() error{
		"run a program":      func() error { return exec.Command("/bin/true").Run() },
		"exec":               func() error { return unix.Exec("", nil, nil) },
		"execveat":           func() error { return call(unix.SYS_EXECVEAT, wrong, 0, 0, 0, wrong) },
		"signal its parent":  func() error { return unix.Kill(os.Getppid(), 0) },
		"outlive its parent": func() error { return unix.Prctl(unix.PR_SET_PDEATHSIG, 0, 0, 0, 0) },

		"name another's file":   func() error { return unix.Linkat(unix.AT_FDCWD, "", unix.AT_FDCWD, "", 0) },
		"lead root elsewhere":   func() error { return unix.Symlinkat("x", unix.AT_FDCWD, "") },
		"keep memory":           func() error { return call(unix.SYS_SHMGET, wrong, 0, 0) },
		"keep messages":         func() error { return call(unix.SYS_MSGGET, wrong, 0) },
		"keep semaphores":       func() error { return call(unix.SYS_SEMGET, wrong, 0, 0) },
		"keep a queue":          func() error { return call(unix.SYS_MQ_OPEN, 0, 0, 0, 0) },
		"end a stream's input":  func() error { return call(unix.SYS_SHUTDOWN, wrong, unix.SHUT_RD) },
		"end a stream":          func() error { return call(unix.SYS_SHUTDOWN, wrong, unix.SHUT_RDWR) },
		"have a close wait":     func() error { return call(unix.SYS_SETSOCKOPT, wrong, unix.SOL_SOCKET, unix.SO_LINGER, 0, 0) },
		"speak a rare type":     func() error { return open(unix.AF_INET, unix.SOCK_RDM, 0) },
		"speak a rare protocol": func() error { return open(unix.AF_INET6, unix.SOCK_STREAM, 253) }, // for experiments: there is no module
		"put TLS into a socket": func() error { return call(unix.SYS_SETSOCKOPT, wrong, unix.IPPROTO_TCP, unix.TCP_ULP, 0, 0) },
		"filter a socket":       func() error { return call(unix.SYS_SETSOCKOPT, wrong, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, 0, 0) },
	}
}

// codeAttempts make memory executable.
func codeAttempts() map[string]func() error {
	const size = 4096
	return map[string]func() error{
		"map code": func() error {
			m, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON)
			if err == nil {
				unix.Munmap(m)
			}
			return err
		},
		"turn data into code": func() error {
			m, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
			if err != nil {
				return err
			}
			defer unix.Munmap(m)
			return unix.Mprotect(m, unix.PROT_READ|unix.PROT_EXEC)
		},
		"attach code": func() error { return call(unix.SYS_SHMAT, wrong, 0, shmExec) },
	}
}

func open(domain, typ, proto int) error {
	fd, err := unix.Socket(domain, typ|unix.SOCK_CLOEXEC, proto)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

// call makes a system call with up to six arguments.
func call(number uintptr, args ...uintptr) error {
	var a [6]uintptr
	copy(a[:], args)
	if _, _, errno := unix.Syscall6(number, a[0], a[1], a[2], a[3], a[4], a[5]); errno != 0 {
		return errno
	}
	return nil
}

// coreLimit and dumpable say what a core dump would have.
func coreLimit() uint64 {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_CORE, &limit) != nil {
		return 1
	}
	return limit.Cur
}

func dumpable() int {
	n, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	if err != nil {
		return -1
	}
	return n
}
