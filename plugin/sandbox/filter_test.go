//go:build amd64 || arm64

package sandbox

import (
	"encoding/binary"
	"os"
	"slices"
	"testing"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// verdict runs a filter as the kernel does, over struct seccomp_data. The machine of package bpf reads
// numbers of a network, so the words are in that order.
func verdict(t interface{ Fatal(...any) }, filter []bpf.Instruction, arch, call uint32, args ...uint64) uint32 {
	vm, err := bpf.NewVM(filter)
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, 64)
	binary.BigEndian.PutUint32(data[atNumber:], call)
	binary.BigEndian.PutUint32(data[atArch:], arch)
	for i, arg := range args {
		binary.BigEndian.PutUint32(data[atArgs+8*i:], uint32(arg))
		binary.BigEndian.PutUint32(data[atArgs+8*i+4:], uint32(arg>>32))
	}
	got, err := vm.Run(data)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(got)
}

const (
	goThread = unix.CLONE_VM | unix.CLONE_FS | unix.CLONE_FILES | unix.CLONE_SIGHAND | unix.CLONE_SYSVSEM | unix.CLONE_THREAD
	goFork   = unix.CLONE_VM | unix.CLONE_VFORK | unix.CLONE_PIDFD | uint64(unix.SIGCHLD)
	readWrt  = unix.PROT_READ | unix.PROT_WRITE
	anon     = unix.MAP_ANON | unix.MAP_PRIVATE
)

// TestFilter holds calls against what becomes of them where programs may be started, where not, and where
// memory may not be made executable either.
func TestFilter(t *testing.T) {
	never, always := [3]uint32{refuse, refuse, refuse}, [3]uint32{allow, allow, allow}
	exec, code := [3]uint32{allow, refuse, refuse}, [3]uint32{allow, allow, refuse}
	type row struct {
		name string
		call uint32
		args []uint64
		want [3]uint32
	}
	rows := []row{
		{"unix socket", unix.SYS_SOCKET, []uint64{unix.AF_UNIX, unix.SOCK_STREAM, 0}, always},
		{"IPv4 socket", unix.SYS_SOCKET, []uint64{unix.AF_INET, unix.SOCK_DGRAM, 0}, always},
		{"IPv6 socket", unix.SYS_SOCKET, []uint64{unix.AF_INET6, unix.SOCK_STREAM, 0}, always},
		{"TCP", unix.SYS_SOCKET, []uint64{unix.AF_INET, unix.SOCK_STREAM | unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK, unix.IPPROTO_TCP}, always},
		{"MPTCP", unix.SYS_SOCKET, []uint64{unix.AF_INET6, unix.SOCK_STREAM | unix.SOCK_CLOEXEC, unix.IPPROTO_MPTCP}, always},
		{"UDP", unix.SYS_SOCKET, []uint64{unix.AF_INET6, unix.SOCK_DGRAM | unix.SOCK_NONBLOCK, unix.IPPROTO_UDP}, always},
		{"SCTP", unix.SYS_SOCKET, []uint64{unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_SCTP}, exec},
		{"SCTP, by its type", unix.SYS_SOCKET, []uint64{unix.AF_INET6, unix.SOCK_SEQPACKET | unix.SOCK_CLOEXEC, 0}, exec},
		{"DCCP, by its type", unix.SYS_SOCKET, []uint64{unix.AF_INET, unix.SOCK_DCCP, 0}, exec},
		{"UDP-Lite", unix.SYS_SOCKET, []uint64{unix.AF_INET, unix.SOCK_DGRAM, unix.IPPROTO_UDPLITE}, exec},
		{"raw IPv4", unix.SYS_SOCKET, []uint64{unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_TCP}, exec},
		{"unix socket of another type", unix.SYS_SOCKET, []uint64{unix.AF_UNIX, unix.SOCK_SEQPACKET, 0}, always},
		{"TLS in the kernel", unix.SYS_SETSOCKOPT, []uint64{3, unix.IPPROTO_TCP, unix.TCP_ULP}, exec},
		{"no delay", unix.SYS_SETSOCKOPT, []uint64{3, unix.IPPROTO_TCP, unix.TCP_NODELAY}, always},
		{"packet socket", unix.SYS_SOCKET, []uint64{unix.AF_PACKET, unix.SOCK_RAW, 0}, never},
		{"vsock", unix.SYS_SOCKET, []uint64{unix.AF_VSOCK, unix.SOCK_STREAM, 0}, never},
		{"no family", unix.SYS_SOCKET, []uint64{0, unix.SOCK_STREAM, 0}, never},
		{"audit", unix.SYS_SOCKET, []uint64{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_AUDIT}, always},
		{"sock_diag", unix.SYS_SOCKET, []uint64{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_SOCK_DIAG}, always},
		{"rtnetlink", unix.SYS_SOCKET, []uint64{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE}, always},
		{"netfilter", unix.SYS_SOCKET, []uint64{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_NETFILTER}, never},
		{"socket pair", unix.SYS_SOCKETPAIR, []uint64{unix.AF_UNIX, unix.SOCK_STREAM, 0}, always},
		{"other pair", unix.SYS_SOCKETPAIR, []uint64{unix.AF_TIPC, unix.SOCK_STREAM, 0}, never},
		{"named pipe", unix.SYS_MKNODAT, []uint64{0, 0, unix.S_IFIFO | 0o600}, always},
		{"plain file", unix.SYS_MKNODAT, []uint64{0, 0, 0o600}, always},
		{"socket's file", unix.SYS_MKNODAT, []uint64{0, 0, unix.S_IFSOCK | 0o600}, always},
		{"character device", unix.SYS_MKNODAT, []uint64{0, 0, unix.S_IFCHR | 0o600}, never},
		{"block device", unix.SYS_MKNODAT, []uint64{0, 0, unix.S_IFBLK | 0o600}, never},
		{"thread", unix.SYS_CLONE, []uint64{goThread}, always},
		{"child", unix.SYS_CLONE, []uint64{goFork}, exec},
		{"child in a namespace", unix.SYS_CLONE, []uint64{goFork | unix.CLONE_NEWUSER}, never},
		{"thread in a namespace", unix.SYS_CLONE, []uint64{goThread | unix.CLONE_NEWNET}, never},
		{"clone3", unix.SYS_CLONE3, nil, [3]uint32{absent, absent, absent}},
		{"signal to a thread of its own", unix.SYS_TGKILL, []uint64{uint64(os.Getpid()), 1, 23}, always},
		{"signal to itself", unix.SYS_KILL, []uint64{uint64(os.Getpid()), 6}, always},
		{"signal to a thread of another", unix.SYS_TGKILL, []uint64{1, 1, 23}, exec},
		{"signal to another", unix.SYS_KILL, []uint64{1, 9}, exec},
		{"signal to a group", unix.SYS_KILL, []uint64{1<<64 - 1, 9}, exec},
		{"signal by a descriptor", unix.SYS_PIDFD_SEND_SIGNAL, []uint64{3, 9}, exec},
		{"signal with a value", unix.SYS_RT_SIGQUEUEINFO, []uint64{uint64(os.Getpid()), 9}, exec},
		{"signal when the parent ends", unix.SYS_PRCTL, []uint64{unix.PR_SET_PDEATHSIG, 0}, exec},
		{"name of the process", unix.SYS_PRCTL, []uint64{unix.PR_SET_NAME, 1}, always},
		{"end of writing", unix.SYS_SHUTDOWN, []uint64{3, unix.SHUT_WR}, always},
		{"end of reading", unix.SYS_SHUTDOWN, []uint64{3, unix.SHUT_RD}, exec},
		{"end of both", unix.SYS_SHUTDOWN, []uint64{3, unix.SHUT_RDWR}, exec},
		{"end of what there is not", unix.SYS_SHUTDOWN, []uint64{3, 3}, exec},
		{"room in a socket", unix.SYS_SETSOCKOPT, []uint64{3, unix.SOL_SOCKET, unix.SO_SNDBUF}, always},
		{"another level's option of that number", unix.SYS_SETSOCKOPT, []uint64{3, unix.IPPROTO_TCP, unix.SO_LINGER}, always},
		{"close that waits", unix.SYS_SETSOCKOPT, []uint64{3, unix.SOL_SOCKET, unix.SO_LINGER}, exec},
		{"filter of a socket", unix.SYS_SETSOCKOPT, []uint64{3, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER}, exec},
		{"program of a socket", unix.SYS_SETSOCKOPT, []uint64{3, unix.SOL_SOCKET, unix.SO_ATTACH_BPF}, exec},
		{"memory", unix.SYS_MMAP, []uint64{0, 4096, readWrt, anon}, always},
		{"code", unix.SYS_MMAP, []uint64{0, 4096, unix.PROT_EXEC | unix.PROT_READ, anon}, code},
		{"memory that stays data", unix.SYS_MPROTECT, []uint64{0, 4096, readWrt}, always},
		{"memory that becomes code", unix.SYS_MPROTECT, []uint64{0, 4096, unix.PROT_EXEC}, code},
		{"with a key", unix.SYS_PKEY_MPROTECT, []uint64{0, 4096, unix.PROT_EXEC, 0}, code},
		{"shared memory", unix.SYS_SHMAT, []uint64{1, 0, 0}, always},
		{"shared code", unix.SYS_SHMAT, []uint64{1, 0, shmExec}, code},
	}
	for _, call := range refusedCalls {
		rows = append(rows, row{"refused", call, nil, never})
	}
	for _, call := range execCalls {
		rows = append(rows, row{"exec", call, nil, exec})
	}
	for _, call := range lastingCalls {
		rows = append(rows, row{"lasting", call, nil, exec})
	}
	for _, call := range used {
		rows = append(rows, row{"used", call, nil, always})
	}
	for n, filter := range filters() {
		for _, r := range rows {
			if got := verdict(t, filter, auditArch, r.call, r.args...); got != r.want[n] {
				t.Errorf("filter %d: %s, call %d: %#x, want %#x", n, r.name, r.call, got, r.want[n])
			}
		}
	}
}

// filters are those that are used, from few refusals to many.
func filters() [3][]bpf.Instruction {
	return [3][]bpf.Instruction{compile(rules(false, false, false)), compile(rules(true, false, false)), compile(rules(true, true, false))}
}

// used are calls of the relay and of the runtime, some of each kind.
var used = []uint32{
	unix.SYS_READ, unix.SYS_WRITE, unix.SYS_WRITEV, unix.SYS_PWRITE64, unix.SYS_CLOSE, unix.SYS_OPENAT, unix.SYS_FSTAT, unix.SYS_FSYNC,
	unix.SYS_FCHMODAT, unix.SYS_FCHOWNAT, unix.SYS_RENAMEAT, unix.SYS_UNLINKAT, unix.SYS_MKDIRAT, unix.SYS_FLOCK, unix.SYS_GETDENTS64,
	unix.SYS_FUTEX, unix.SYS_MADVISE, unix.SYS_MUNMAP, unix.SYS_NANOSLEEP, unix.SYS_CLOCK_GETTIME, unix.SYS_EPOLL_PWAIT, unix.SYS_EPOLL_CTL,
	unix.SYS_EVENTFD2, unix.SYS_PIPE2, unix.SYS_PPOLL, unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN,
	unix.SYS_EXIT, unix.SYS_EXIT_GROUP, unix.SYS_CONNECT, unix.SYS_BIND, unix.SYS_LISTEN, unix.SYS_ACCEPT4, unix.SYS_SENDTO,
	unix.SYS_RECVFROM, unix.SYS_RECVMSG, unix.SYS_SETSOCKOPT, unix.SYS_GETSOCKOPT, unix.SYS_PRCTL, unix.SYS_CAPSET, unix.SYS_GETRANDOM,
	unix.SYS_SETPRIORITY, unix.SYS_WAITID, unix.SYS_PIDFD_OPEN, unix.SYS_SCHED_YIELD, unix.SYS_UNAME, unix.SYS_STATFS,
}

// TestOtherABIs: numbers of other architectures and of x32 mean other calls, so all are refused.
func TestOtherABIs(t *testing.T) {
	for n, filter := range filters() {
		for _, arch := range []uint32{unix.AUDIT_ARCH_I386, unix.AUDIT_ARCH_ARM, unix.AUDIT_ARCH_X86_64, unix.AUDIT_ARCH_AARCH64, 0} {
			if got := verdict(t, filter, arch, unix.SYS_GETPID); (got == allow) != (arch == auditArch) || (got != allow && got != refuse) {
				t.Errorf("filter %d, architecture %#x: %#x", n, arch, got)
			}
		}
		for _, call := range []uint32{firstX32, firstX32 | unix.SYS_GETPID, firstX32 + 520, 1<<32 - 1} {
			if got := verdict(t, filter, auditArch, call); got != refuse {
				t.Errorf("filter %d, call %#x: %#x", n, call, got)
			}
		}
	}
}

// TestUpperHalvesDoNotMatter: the kernel takes an int and flags without them, so nothing of that kind gets
// by with one that is set.
func TestUpperHalvesDoNotMatter(t *testing.T) {
	all := filters()
	var known []uint32
	for _, r := range rules(true, true, false) {
		known = append(known, r.call)
	}
	rapid.Check(t, func(t *rapid.T) {
		call := rapid.OneOf(rapid.SampledFrom(known), rapid.Uint32Range(0, 600)).Draw(t, "call")
		args := rapid.SliceOfN(rapid.Uint64Range(0, 1<<32-1), 6, 6).Draw(t, "arguments")
		upper := rapid.SliceOfN(rapid.Uint32(), 6, 6).Draw(t, "upper halves")
		more := slices.Clone(args)
		for i := range more {
			more[i] |= uint64(upper[i]) << 32
		}
		for _, filter := range all {
			got := verdict(t, filter, auditArch, call, args...)
			if with := verdict(t, filter, auditArch, call, more...); with != got {
				t.Fatalf("%#x, with upper halves %#x", got, with)
			}
			if got != allow && got != refuse && got != absent {
				t.Fatalf("%#x", got)
			}
		}
	})
}
