package record

import (
	"iter"
	"maps"
	"strings"
	"sync"
)

// arch is one of the machines that audit knows.
type arch struct {
	code  uint32 // AUDIT_ARCH_ (linux/audit.h): 64 bit and little endian are bits 31 and 30, the rest is the ELF machine
	name  string // as auditd prints it
	calls []string
	first int64 // the number of calls[0]
}

// arches are go-libaudit's and three that it lacks, alpha and those of RISC-V (linux/elf-em.h).
// Some have the numbers of another: those of aarch64 are the generic ones of 64 bits
// (asm-generic/unistd.h). Of those without a table only the calls are known that have the same
// number on all arches, from 424 on since Linux 5.1 (scripts/syscall.tbl), where some count from
// another number than 0. Nearly every record is of one of the first two.
var arches = [...]arch{
	{0xC000003E, "x86_64", x86Calls[:], 0},
	{0xC00000B7, "aarch64", aarch64Calls[:], 0},
	{0x40000028, "arm", armCalls[:], 0},
	{0x28, "armeb", armCalls[:], 0},
	{0x40000003, "i386", i386Calls[:], 0},
	{0xC0000102, "loongarch64", aarch64Calls[:], 0},
	{0x14, "ppc", ppcCalls[:], 0},
	{0x80000015, "ppc64", ppcCalls[:], 0},
	{0xC0000015, "ppc64le", ppcCalls[:], 0},
	{0xC00000F3, "riscv64", aarch64Calls[:], 0},
	{0x16, "s390", s390Calls[:], 0},
	{0x80000016, "s390x", s390xCalls[:], 0},

	{0xC0009026, "alpha", commonCalls[:], 110},
	{0x4000008C, "c6x", commonCalls[:], 0},
	{0x8C, "c6xbe", commonCalls[:], 0},
	{0x4000004C, "cris", commonCalls[:], 0},
	{0x5441, "frv", commonCalls[:], 0},
	{0x2E, "h8300", commonCalls[:], 0},
	{0xC0000032, "ia64", commonCalls[:], 1024},
	{0x40000102, "loongarch32", commonCalls[:], 0},
	{0x58, "m32r", commonCalls[:], 0},
	{0x4, "m68k", commonCalls[:], 0},
	{0x8, "mips", commonCalls[:], 4000},
	{0x80000008, "mips64", commonCalls[:], 5000},
	{0xA0000008, "mips64n32", commonCalls[:], 6000},
	{0x40000008, "mipsel", commonCalls[:], 4000},
	{0xC0000008, "mipsel64", commonCalls[:], 5000},
	{0xE0000008, "mipsel64n32", commonCalls[:], 6000},
	{0x40000071, "nios2", commonCalls[:], 0},
	{0xF, "parisc", commonCalls[:], 0},
	{0x8000000F, "parisc64", commonCalls[:], 0},
	{0x400000F3, "riscv32", commonCalls[:], 0},
	{0x2A, "sh", commonCalls[:], 0},
	{0x8000002A, "sh64", commonCalls[:], 0},
	{0x4000002A, "shel", commonCalls[:], 0},
	{0xC000002A, "shel64", commonCalls[:], 0},
	{0x2, "sparc", commonCalls[:], 0},
	{0x8000002B, "sparc64", commonCalls[:], 0},
}

// archOf returns the arch of an AUDIT_ARCH_ value, nil when there is no such arch.
func archOf(code uint32) *arch {
	for i := range arches {
		if arches[i].code == code {
			return &arches[i]
		}
	}
	return nil
}

// ArchName returns the name of an AUDIT_ARCH_ value (linux/audit.h) as auditd prints it, ""
// when it has none.
func ArchName(code uint32) string {
	if a := archOf(code); a != nil {
		return a.name
	}
	return ""
}

// ArchNames returns the names of all arches, in no order.
func ArchNames() (names []string) {
	for i := range arches {
		names = append(names, arches[i].name)
	}
	return names
}

// ArchCode is the reverse of ArchName.
func ArchCode(name string) (code uint32, ok bool) {
	for i := range arches {
		if arches[i].name == name {
			return arches[i].code, true
		}
	}
	return 0, false
}

// ParseArch reads the value of arch=: a number in hex without 0x, of eight digits at most.
func ParseArch(v []byte) (code uint32, ok bool) {
	n, ok := ParseHex(v)
	if !ok || len(v) > 8 {
		return 0, false
	}
	return uint32(n), true
}

// riscvCalls are those that riscv64 alone has.
var riscvCalls = [...]string{258: "riscv_hwprobe", 259: "riscv_flush_icache"}

// Calls of x32 programs are of the arch x86_64, with a bit more in their numbers (arch/x86/include/uapi/asm/unistd.h, __X32_SYSCALL_BIT). Most are
// those of 64 bits; some have numbers of their own, from firstX32 on (arch/x86/entry/syscalls/syscall_64.tbl).
const (
	x32Bit   = 0x40000000
	firstX32 = 512
)

var x32Calls = [...]string{
	"rt_sigaction", "rt_sigreturn", "ioctl", "readv", "writev", "recvfrom", "sendmsg", "recvmsg", "execve", "ptrace", "rt_sigpending", "rt_sigtimedwait",
	"rt_sigqueueinfo", "sigaltstack", "timer_create", "mq_notify", "kexec_load", "waitid", "set_robust_list", "get_robust_list", "vmsplice", "move_pages",
	"preadv", "pwritev", "rt_tgsigqueueinfo", "recvmmsg", "sendmmsg", "process_vm_readv", "process_vm_writev", "setsockopt", "getsockopt", "io_setup",
	"io_submit", "execveat", "preadv2", "pwritev2",
}

// x32Name returns the name of a system call of an x32 program by its number without the bit, "" when it has none.
func x32Name(nr int64) string {
	switch {
	case nr >= firstX32 && nr < firstX32+int64(len(x32Calls)):
		return x32Calls[nr-firstX32]
	case nr < int64(len(x86Calls)):
		return x86Calls[nr]
	}
	return ""
}

// SyscallName returns the name of a system call of an arch, "" when it has none.
func SyscallName(code uint32, nr int64) string {
	a := archOf(code)
	if a == nil {
		return ""
	}
	nr -= a.first
	if nr < 0 || nr >= int64(len(a.calls)) {
		if a == &arches[0] && nr >= x32Bit && nr < 2*x32Bit {
			return x32Name(nr - x32Bit)
		}
		return ""
	}
	if a.calls[nr] == "" && a.name == "riscv64" && nr < int64(len(riscvCalls)) {
		return riscvCalls[nr]
	}
	return a.calls[nr]
}

// syscallNames are the names of the system calls of all arches. Only filters ask for them.
var syscallNames = sync.OnceValue(func() map[string]bool {
	all := make(map[string]bool, 1024)
	add := func(names []string) {
		for _, name := range names {
			if name != "" {
				all[name] = true
			}
		}
	}
	for i := range arches {
		add(arches[i].calls)
	}
	add(riscvCalls[:])
	return all
})

// SyscallNames returns the names of all system calls of all arches, in no order.
func SyscallNames() iter.Seq[string] { return maps.Keys(syscallNames()) }

// IsSyscall reports whether a system call of that name is in the table of some arch.
func IsSyscall(name string) bool { return syscallNames()[name] }

// kernelErrnos are those that a program never sees, but the exit= of a system call that
// a signal has interrupted may have (linux/errno.h of the kernel's own headers).
var kernelErrnos = [...]string{
	"ERESTARTSYS", "ERESTARTNOINTR", "ERESTARTNOHAND", "ENOIOCTLCMD", "ERESTART_RESTARTBLOCK", "EPROBE_DEFER", "EOPENSTALE", "ENOPARAM", "",
	"EBADHANDLE", "ENOTSYNC", "EBADCOOKIE", "ENOTSUPP", "ETOOSMALL", "ESERVERFAULT", "EBADTYPE", "EJUKEBOX", "EIOCBQUEUED", "ERECALLCONFLICT",
}

// firstInternal is the first of them.
const firstInternal = 512

// ErrnoNameOn returns the name of an error number of an arch, "" when it has none. No table
// here has what is particular to alpha, mips, parisc and sparc, which have numbers of their own
// from 35 on (their asm/errno.h).
func ErrnoNameOn(code uint32, n int64) string {
	const lastCommon = 34
	if (n > lastCommon && n < firstInternal) || n == 11 {
		switch name := ArchName(code); {
		case name == "alpha":
			return ""
		case n > lastCommon && (strings.HasPrefix(name, "mips") || strings.HasPrefix(name, "parisc") || strings.HasPrefix(name, "sparc")):
			return ""
		}
	}
	return ErrnoName(n)
}

// MaxErrno is the largest number that may be an error's (linux/err.h).
const MaxErrno = 4095

// ErrnoName returns the name of an error number (2 is ENOENT), "" when it has none. The
// numbers are those of most arches: see ErrnoNameOn.
func ErrnoName(n int64) string {
	switch {
	case n >= 0 && n < int64(len(errnoNames)):
		return errnoNames[n]
	case n >= firstInternal && n-firstInternal < int64(len(kernelErrnos)):
		return kernelErrnos[n-firstInternal]
	}
	return ""
}

// familyNames are those of auparse's famtab.h, but for unix, which auditd calls local.
var familyNames = [...]string{
	"unspec", "unix", "inet", "ax25", "ipx", "appletalk", "netrom", "bridge", "atmpvc", "x25",
	"inet6", "rose", "decnet", "netbeui", "security", "key", "netlink", "packet", "ash", "econet",
	"atmsvc", "rds", "sna", "irda", "pppox", "wanpipe", "llc", "ib", "mpls", "can",
	"tipc", "bluetooth", "iucv", "rxrpc", "isdn", "phonet", "ieee802154", "caif", "alg", "nfc",
	"vsock", "kcm", "qipcrtr", "smc", "xdp", "mctp",
}

// FamilyName returns the name of an address family, "" when it has none.
func FamilyName(n uint16) string {
	if int(n) < len(familyNames) {
		return familyNames[n]
	}
	return ""
}
