package decode

import "github.com/elastic/go-libaudit/v2/auparse"

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
	if len(v) == 0 || len(v) > 8 {
		return 0, false
	}
	for _, c := range v {
		d := nibble[c]
		if d > 15 {
			return 0, false
		}
		code = code<<4 | uint32(d)
	}
	return code, true
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
)

// sameNumbers are arches that have the numbers of another, which has a table.
var sameNumbers = map[string]string{"ppc64": "ppc", "ppc64le": "ppc", "armeb": "arm"}

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
	}
	if nr < 0 || nr >= len(names) {
		return ""
	}
	return names[nr]
}

var errnoNames []string

// kernelErrnos are those that a program never sees, but the exit= of a system call that
// a signal has interrupted may have (linux/errno.h of the kernel's own headers).
var kernelErrnos = map[int]string{
	512: "ERESTARTSYS", 513: "ERESTARTNOINTR", 514: "ERESTARTNOHAND", 515: "ENOIOCTLCMD",
	516: "ERESTART_RESTARTBLOCK", 517: "EPROBE_DEFER", 518: "EOPENSTALE", 519: "ENOPARAM",
	521: "EBADHANDLE", 522: "ENOTSYNC", 523: "EBADCOOKIE", 524: "ENOTSUPP", 525: "ETOOSMALL",
	526: "ESERVERFAULT", 527: "EBADTYPE", 528: "EJUKEBOX", 529: "EIOCBQUEUED", 530: "ERECALLCONFLICT",
}

// ErrnoName returns the name of an error number (2 is ENOENT), "" when it has none. The
// numbers are those of most arches; alpha, mips, parisc and sparc have others from 35 on.
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
	}
	tables := make(map[string][]string)
	for arch, names := range auparse.AuditSyscalls {
		var table []string
		for nr, name := range names {
			table = set(table, nr, name)
		}
		tables[arch] = table
	}
	for code, name := range archNames {
		if same, ok := sameNumbers[name]; ok {
			name = same
		}
		if t := tables[name]; t != nil {
			syscalls[code] = t
		}
	}
	x86_64, aarch64 = tables["x86_64"], tables["aarch64"]

	for n, name := range auparse.AuditErrnoToName {
		errnoNames = set(errnoNames, n, name)
	}
	for n, name := range kernelErrnos {
		errnoNames = set(errnoNames, n, name)
	}
}

// maxNumber bounds the tables: no number of go-libaudit's is near it.
const maxNumber = 1 << 16

// set puts name at n, behind the end if need be.
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
