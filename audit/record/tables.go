package record

import (
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/elastic/go-libaudit/v2/auparse"
)

// ArchName returns the name of an AUDIT_ARCH_ value (linux/audit.h) as auditd prints it, ""
// when it has none.
func ArchName(code uint32) string { return archNames[code] }

// ArchCode is the reverse of ArchName.
func ArchCode(name string) (code uint32, ok bool) {
	code, ok = archCodes[name]
	return code, ok
}

// ParseArch reads the value of arch=: a number in hex without 0x, of eight digits at most.
func ParseArch(v []byte) (code uint32, ok bool) {
	n, ok := ParseHex(v)
	if !ok || len(v) > 8 {
		return 0, false
	}
	return uint32(n), true
}

var (
	archNames = map[uint32]string{
		// What go-libaudit's table lacks: 64 bit and little endian are bits 31 and 30, the
		// rest is the ELF machine (linux/elf-em.h).
		0xC0009026: "alpha",
		0x400000F3: "riscv32",
		0xC00000F3: "riscv64",
	}
	archCodes = make(map[string]uint32)
)

// The system calls of an arch by number. Nearly every record is of the two that have
// variables of their own.
var (
	x86_64, aarch64 []string
	syscalls        = make(map[uint32][]string)
	firstNumber     = make(map[uint32]int) // of those in countFrom
	syscallNames    = make(map[string]bool)
)

// sameNumbers are arches that have the numbers of another, which has a table. Those of
// aarch64 are the generic ones of 64 bits (asm-generic/unistd.h).
var sameNumbers = map[string]string{"ppc64": "ppc", "ppc64le": "ppc", "armeb": "arm", "riscv64": "aarch64", "loongarch64": "aarch64"}

// Since Linux 5.1 a new system call has the same number on all arches, from 424 on
// (scripts/syscall.tbl), but for those that count from another number.
const firstCommon = 424

var countFrom = map[string]int{
	"alpha": 110, "ia64": 1024,
	"mips": 4000, "mipsel": 4000, "mips64": 5000, "mipsel64": 5000, "mips64n32": 6000, "mipsel64n32": 6000,
}

// newSyscalls are those that go-libaudit's tables lack: of Linux 6.13 to 7.0.
var newSyscalls = map[int]string{
	463: "setxattrat", 464: "getxattrat", 465: "listxattrat", 466: "removexattrat", 467: "open_tree_attr",
	468: "file_getattr", 469: "file_setattr", 470: "listns", 471: "rseq_slice_yield",
}

// ownSyscalls are those of one arch.
var ownSyscalls = map[string]map[int]string{
	"x86_64":  {335: "uretprobe", 336: "uprobe"},
	"riscv64": {258: "riscv_hwprobe", 259: "riscv_flush_icache"},
}

// SyscallName returns the name of a system call of an arch, "" when it has none.
func SyscallName(arch uint32, nr int) string {
	var names []string
	switch arch {
	case uint32(auparse.AUDIT_ARCH_X86_64):
		names = x86_64
	case uint32(auparse.AUDIT_ARCH_AARCH64):
		names = aarch64
	default:
		names = syscalls[arch]
		nr -= firstNumber[arch]
	}
	if nr < 0 || nr >= len(names) {
		return ""
	}
	return names[nr]
}

// SyscallNames returns the names of all system calls of all arches, in no order.
func SyscallNames() iter.Seq[string] { return maps.Keys(syscallNames) }

// IsSyscall reports whether a system call of that name is in the table of some arch.
func IsSyscall(name string) bool { return syscallNames[name] }

var errnoNames []string

// kernelErrnos are those that a program never sees, but the exit= of a system call that
// a signal has interrupted may have (linux/errno.h of the kernel's own headers).
var kernelErrnos = map[int]string{
	512: "ERESTARTSYS", 513: "ERESTARTNOINTR", 514: "ERESTARTNOHAND", 515: "ENOIOCTLCMD",
	516: "ERESTART_RESTARTBLOCK", 517: "EPROBE_DEFER", 518: "EOPENSTALE", 519: "ENOPARAM",
	521: "EBADHANDLE", 522: "ENOTSYNC", 523: "EBADCOOKIE", 524: "ENOTSUPP", 525: "ETOOSMALL",
	526: "ESERVERFAULT", 527: "EBADTYPE", 528: "EJUKEBOX", 529: "EIOCBQUEUED", 530: "ERECALLCONFLICT",
}

// ownErrnos are the arches that have numbers of their own from 35 on (their asm/errno.h).
var ownErrnos = make(map[uint32]bool)

// ErrnoNameOn returns the name of an error number of an arch, "" when it has none. No table
// here has what is particular to alpha, mips, parisc and sparc.
func ErrnoNameOn(arch uint32, n int) string {
	const lastCommon, firstInternal = 34, 512
	if ownErrnos[arch] && ((n > lastCommon && n < firstInternal) || (n == 11 && archNames[arch] == "alpha")) {
		return ""
	}
	return ErrnoName(n)
}

// MaxErrno is the largest number that may be an error's (linux/err.h).
const MaxErrno = 4095

// ErrnoName returns the name of an error number (2 is ENOENT), "" when it has none. The
// numbers are those of most arches: see ErrnoNameOn.
func ErrnoName(n int) string {
	if n < 0 || n >= len(errnoNames) {
		return ""
	}
	return errnoNames[n]
}

// init makes tables of go-libaudit's maps, so that a look-up costs no hash or a small one.
func init() {
	for code, name := range auparse.AuditArchNames {
		archNames[uint32(code)] = name
	}
	for code, name := range archNames {
		archCodes[name] = code
		if name == "alpha" || strings.HasPrefix(name, "mips") || strings.HasPrefix(name, "parisc") || strings.HasPrefix(name, "sparc") {
			ownErrnos[code] = true
		}
	}
	makeSyscalls()
	for n, name := range auparse.AuditErrnoToName {
		errnoNames = set(errnoNames, n, name)
	}
	for n, name := range kernelErrnos {
		errnoNames = set(errnoNames, n, name)
	}
}

func makeSyscalls() {
	common := maps.Clone(newSyscalls)
	for nr, name := range auparse.AuditSyscalls["x86_64"] {
		if nr >= firstCommon {
			common[nr] = name
		}
	}
	tables := make(map[string][]string)
	for arch, names := range auparse.AuditSyscalls {
		tables[arch] = makeTable(names, common)
	}
	rest := makeTable(nil, common) // of the other arches
	for code, name := range archNames {
		table, ok := tables[name]
		if same := sameNumbers[name]; same != "" {
			table, ok = tables[same]
		}
		if !ok {
			table = rest
		}
		if own := ownSyscalls[name]; own != nil {
			table = slices.Clone(table)
			for nr, call := range own {
				table = set(table, nr, call)
			}
		}
		syscalls[code], firstNumber[code] = table, countFrom[name]
		for _, call := range table {
			if call != "" {
				syscallNames[call] = true
			}
		}
	}
	x86_64, aarch64 = syscalls[uint32(auparse.AUDIT_ARCH_X86_64)], syscalls[uint32(auparse.AUDIT_ARCH_AARCH64)]
}

// maxNumber bounds the tables: no number of go-libaudit's is near it.
const maxNumber = 1 << 16

// makeTable makes a table of names and of those of common whose numbers have none. Many
// arches share one, as the collector looks at every name of a table again and again.
func makeTable(names, common map[int]string) []string {
	var table []string
	for nr, name := range names {
		table = set(table, nr, name)
	}
	for nr, call := range common {
		if nr >= len(table) || table[nr] == "" {
			table = set(table, nr, call)
		}
	}
	return slices.Clip(slices.Clone(table))
}

// set puts name at n, after the end if need be.
func set(names []string, n int, name string) []string {
	if n < 0 || n > maxNumber {
		return names
	}
	for n >= len(names) {
		names = append(names, "")
	}
	names[n] = name
	return names
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
