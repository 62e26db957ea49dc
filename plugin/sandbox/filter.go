//go:build amd64 || arm64

package sandbox

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"slices"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// What the filter returns (seccomp(2)).
const (
	allow  = uint32(unix.SECCOMP_RET_ALLOW)
	refuse = uint32(unix.SECCOMP_RET_ERRNO) | uint32(unix.EPERM)
	absent = uint32(unix.SECCOMP_RET_ERRNO) | uint32(unix.ENOSYS) // callers fall back to an older call
)

// Places in struct seccomp_data (linux/seccomp.h). Of an argument it is the lower half: of int and flags
// the kernel takes no more.
const (
	atNumber = 0
	atArch   = 4
	atArgs   = 16
)

// firstX32 is the bit that calls of the x32 ABI have in their number (asm/unistd.h); on arm64 no call has it.
const firstX32 = 0x4000_0000

// refusedCalls are those that neither the relay nor the Go runtime makes. It is a list of what is refused,
// not of what is allowed, because the runtime's calls change from version to version.
var refusedCalls = []uint32{
	// Other processes.
	unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_PIDFD_GETFD,
	// Large parts of the kernel, where its faults mostly are.
	unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER,
	unix.SYS_USERFAULTFD, unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_KEYCTL,
	// Mounts and namespaces.
	unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT, unix.SYS_MOVE_MOUNT, unix.SYS_OPEN_TREE, unix.SYS_OPEN_TREE_ATTR,
	unix.SYS_FSOPEN, unix.SYS_FSCONFIG, unix.SYS_FSMOUNT, unix.SYS_FSPICK, unix.SYS_MOUNT_SETATTR,
	unix.SYS_CHROOT, unix.SYS_SETNS, unix.SYS_UNSHARE, unix.SYS_OPEN_BY_HANDLE_AT,
	// The kernel and the host themselves.
	unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE, unix.SYS_KEXEC_LOAD, unix.SYS_KEXEC_FILE_LOAD,
	unix.SYS_REBOOT, unix.SYS_SWAPON, unix.SYS_SWAPOFF, unix.SYS_ACCT, unix.SYS_QUOTACTL, unix.SYS_QUOTACTL_FD,
	unix.SYS_SYSLOG, unix.SYS_PERSONALITY,
	unix.SYS_CLOCK_SETTIME, unix.SYS_SETTIMEOFDAY, unix.SYS_CLOCK_ADJTIME, unix.SYS_ADJTIMEX,
}

// execCalls start programs.
var execCalls = append([]uint32{unix.SYS_EXECVE, unix.SYS_EXECVEAT}, forkCalls...)

// lastingCalls make what is there when the process has ended, by other ways than a file of its own.
var lastingCalls = append([]uint32{
	unix.SYS_LINKAT, unix.SYS_SYMLINKAT, unix.SYS_SHMGET, unix.SYS_MSGGET, unix.SYS_SEMGET, unix.SYS_MQ_OPEN,
}, linkCalls...)

// namespaces are the flags with which clone(2) makes namespaces.
const namespaces = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWUSER |
	unix.CLONE_NEWPID | unix.CLONE_NEWNET

// shmExec is SHM_EXEC (shmat(2)).
const shmExec = 0o100000

// rule says what becomes of a call.
type rule struct {
	call uint32
	then []bpf.Instruction // ends with a return, whatever it looks at
}

// rules of the filter: whether no program may be started, but perhaps the one of ExecSelf, and no
// memory be made executable.
func rules(noPrograms, noCode, self bool) (list []rule) {
	for _, call := range refusedCalls {
		list = append(list, rule{call, result(refuse)})
	}
	inet := result(allow)
	if noPrograms {
		inet = internet()
	}
	// The kernel's losses; who has a socket; interfaces, which package net and C libraries ask for.
	netlink := oneOf(2, []uint32{unix.NETLINK_AUDIT, unix.NETLINK_SOCK_DIAG, unix.NETLINK_ROUTE}, result(allow), result(refuse))
	list = append(slices.Concat(list, rulesHere),
		rule{unix.SYS_SOCKET, oneOf(0, []uint32{unix.AF_UNIX}, result(allow),
			oneOf(0, []uint32{unix.AF_INET, unix.AF_INET6}, inet,
				oneOf(0, []uint32{unix.AF_NETLINK}, netlink, result(refuse))))},
		rule{unix.SYS_SOCKETPAIR, oneOf(0, []uint32{unix.AF_UNIX}, result(allow), result(refuse))},
		rule{unix.SYS_MKNODAT, devices(2)},
		rule{unix.SYS_CLONE3, result(absent)}, // its flags are in memory, which a filter cannot read
	)

	clone := anyBit(0, namespaces, result(refuse), result(allow))
	if noPrograms {
		clone = anyBit(0, unix.CLONE_THREAD, clone, result(refuse))
		for _, call := range execCalls {
			then := result(refuse)
			if self && call == unix.SYS_EXECVE {
				then = selfOnly()
			}
			list = append(list, rule{call, then})
		}
		list = slices.Concat(list, signalRules(), lastingRules())
	}
	list = append(list, rule{unix.SYS_CLONE, clone})
	if noCode {
		for _, call := range []uint32{unix.SYS_MMAP, unix.SYS_MPROTECT, unix.SYS_PKEY_MPROTECT} {
			list = append(list, rule{call, anyBit(2, unix.PROT_EXEC, result(refuse), result(allow))})
		}
		list = append(list, rule{unix.SYS_SHMAT, anyBit(2, shmExec, result(refuse), result(allow))})
	}
	return list
}

// signalRules leave a process that starts no programs none to signal but itself, as the runtime does between threads, and keep it
// from outliving its monitor.
func signalRules() (list []rule) {
	self := []uint32{uint32(os.Getpid())} // it stays the same when another program takes this one's place
	for _, call := range []uint32{unix.SYS_KILL, unix.SYS_TGKILL} {
		list = append(list, rule{call, oneOf(0, self, result(allow), result(refuse))})
	}
	for _, call := range []uint32{unix.SYS_TKILL, unix.SYS_RT_SIGQUEUEINFO, unix.SYS_RT_TGSIGQUEUEINFO, unix.SYS_PIDFD_SEND_SIGNAL} {
		list = append(list, rule{call, result(refuse)})
	}
	return append(list, rule{unix.SYS_PRCTL, oneOf(0, []uint32{unix.PR_SET_PDEATHSIG}, result(refuse), result(allow))})
}

// lastingRules keep a process that starts no programs from what would outlive it: another name for a file of others in a directory that
// is given to root or another worker later, memory and queues that no process has, the end of reading on a socket that its
// successor has, too (the one from auditd), and a close(2) that waits in whoever the socket is given to. They keep code for the kernel away as well.
func lastingRules() (list []rule) {
	for _, call := range lastingCalls {
		list = append(list, rule{call, result(refuse)})
	}
	options := []uint32{unix.SO_LINGER, unix.SO_ATTACH_FILTER, unix.SO_ATTACH_BPF, unix.SO_ATTACH_REUSEPORT_CBPF, unix.SO_ATTACH_REUSEPORT_EBPF}
	return append(list,
		rule{unix.SYS_SHUTDOWN, oneOf(1, []uint32{unix.SHUT_WR}, result(allow), result(refuse))},
		rule{unix.SYS_SETSOCKOPT, oneOf(1, []uint32{unix.SOL_SOCKET}, oneOf(2, options, result(refuse), result(allow)),
			oneOf(1, []uint32{unix.IPPROTO_TCP}, oneOf(2, []uint32{unix.TCP_ULP}, result(refuse), result(allow)), result(allow)))})
}

// internet lets those sockets pass that a process makes which starts no programs: TCP and UDP, and MPTCP, which package net tries where it
// listens. For others (SCTP, DCCP, UDP-Lite), and for TLS in the kernel (TCP_ULP), the kernel would load modules that hardly anybody uses and that
// nobody else would have looked at.
func internet() []bpf.Instruction {
	p := []bpf.Instruction{
		argument(1),
		bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 0xf}, // what is above are flags (SOCK_TYPE_MASK in linux/net.h)
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.SOCK_STREAM, SkipTrue: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.SOCK_DGRAM, SkipTrue: 1},
		bpf.RetConstant{Val: refuse},
	}
	return append(p, oneOf(2, []uint32{0, unix.IPPROTO_TCP, unix.IPPROTO_UDP, unix.IPPROTO_MPTCP}, result(allow), result(refuse))...)
}

// compile makes the program of the rules. Calls of other architectures, whose numbers mean others, are
// refused, whatever they are.
func compile(list []rule) []bpf.Instruction {
	p := []bpf.Instruction{
		bpf.LoadAbsolute{Off: atArch, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: auditArch, SkipTrue: 1},
		bpf.RetConstant{Val: refuse},
		bpf.LoadAbsolute{Off: atNumber, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpGreaterOrEqual, Val: firstX32, SkipFalse: 1},
		bpf.RetConstant{Val: refuse},
	}
	for _, r := range list {
		p = append(p, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: r.call, SkipTrue: uint8(len(r.then))})
		p = append(p, r.then...)
	}
	return append(p, result(allow)...)
}

func result(val uint32) []bpf.Instruction { return []bpf.Instruction{bpf.RetConstant{Val: val}} }

func argument(n uint32) bpf.Instruction { return bpf.LoadAbsolute{Off: atArgs + 8*n, Size: 4} }

// oneOf continues with yes if an argument is one of the values, else with no. Both end with a return.
func oneOf(arg uint32, values []uint32, yes, no []bpf.Instruction) []bpf.Instruction {
	p := []bpf.Instruction{argument(arg)}
	for i, v := range values {
		p = append(p, bpf.JumpIf{Cond: bpf.JumpEqual, Val: v, SkipTrue: uint8(len(values) - 1 - i + len(no))})
	}
	return slices.Concat(p, no, yes)
}

// anyBit continues with yes if an argument has one of the bits, else with no. Both end with a return.
func anyBit(arg, bits uint32, yes, no []bpf.Instruction) []bpf.Instruction {
	p := []bpf.Instruction{argument(arg), bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: bits, SkipTrue: uint8(len(no))}}
	return slices.Concat(p, no, yes)
}

// devices refuses a mode of mknod(2) that makes a device.
func devices(arg uint32) []bpf.Instruction {
	return []bpf.Instruction{
		argument(arg),
		bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: unix.S_IFMT},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.S_IFCHR, SkipTrue: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.S_IFBLK, SkipTrue: 1},
		bpf.RetConstant{Val: allow},
		bpf.RetConstant{Val: refuse},
	}
}

// setFilter makes a filter that of every thread. Without SPEC_ALLOW kernels before 5.16 make the process
// slower against Spectre, which is meant for processes that run code of others.
func setFilter(program *unix.SockFprog, flags uintptr) (thread uintptr, errno unix.Errno) {
	thread, _, errno = unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(program)))
	return thread, errno
}

// filter is a program of seccomp(2).
type filter []unix.SockFilter

func newFilter(noPrograms, noCode bool, self *Self) (filter, error) {
	raw, err := bpf.Assemble(compile(rules(noPrograms, noCode, self != nil)))
	if err != nil {
		return nil, fmt.Errorf("assemble the filter: %w", err)
	}
	f := make(filter, len(raw))
	for i, in := range raw {
		f[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	return f, nil
}

// name is the same for filters that are the same.
func (f filter) name() string {
	sum := sha256.New()
	binary.Write(sum, binary.LittleEndian, []unix.SockFilter(f)) // a hash takes it
	return hex.EncodeToString(sum.Sum(nil))
}

// install makes the filter that of every thread (seccomp(2), TSYNC). inForce is the name of one that the program
// before has left: of filters that are the same, one is enough.
func (f filter) install(inForce string) error {
	if mode, err := unix.PrctlRetInt(unix.PR_GET_SECCOMP, 0, 0, 0, 0); err == nil && mode == unix.SECCOMP_MODE_FILTER && inForce == f.name() {
		return nil
	}
	program := unix.SockFprog{Len: uint16(len(f)), Filter: &f[0]}
	thread, errno := setFilter(&program, unix.SECCOMP_FILTER_FLAG_TSYNC|unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW)
	if errno == unix.EINVAL { // before 4.17 there was not the latter
		thread, errno = setFilter(&program, unix.SECCOMP_FILTER_FLAG_TSYNC)
	}

	switch {
	case errno == unix.ENOSYS || errno == unix.EINVAL:
		return notHere("this kernel has no seccomp filters")
	case errno == unix.EACCES:
		return notHere("without no_new_privs it needs CAP_SYS_ADMIN")
	case errno != 0:
		return fmt.Errorf("seccomp: %w", errno)
	case thread != 0:
		return fmt.Errorf("seccomp: thread %d has a filter of its own", thread)
	}
	return nil
}
