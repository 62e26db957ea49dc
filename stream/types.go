package stream

import (
	"strconv"

	"github.com/elastic/go-libaudit/v2/auparse"
)

// Record types that the relay itself has to know (linux/audit.h).
const (
	TypeSyscall   = uint32(auparse.AUDIT_SYSCALL)
	TypeEOE       = uint32(auparse.AUDIT_EOE)
	TypeProctitle = uint32(auparse.AUDIT_PROCTITLE)
)

// The range of type numbers that have names (linux/audit.h: 1000 to 2999).
const firstType, lastType = 1000, 2999

var (
	typeNumbers = make(map[string]uint32, 256)
	typeNames   [lastType - firstType + 1]string
)

// newer are types that go-libaudit's table does not have yet (linux/audit.h).
var newer = map[string]uint32{"LANDLOCK_ACCESS": 1423, "LANDLOCK_DOMAIN": 1424}

// init asks go-libaudit's table for every number once: after that a name
// costs a look-up without allocation.
func init() {
	for n := firstType; n <= lastType; n++ {
		name := auparse.AuditMessageType(n).String()
		if len(name) > 8 && name[:8] == "UNKNOWN[" {
			continue
		}
		typeNumbers[name] = uint32(n)
		typeNames[n-firstType] = name
	}
	for name, n := range newer {
		typeNumbers[name] = n
		typeNames[n-firstType] = name
	}
}

// TypeNumber returns the number of a record type name, 0 if there is none.
// "UNKNOWN[n]", which auditd writes for types it has no name for, is n.
func TypeNumber(name []byte) uint32 {
	switch string(name) { // nine of ten records are of these
	case "SYSCALL":
		return TypeSyscall
	case "PATH":
		return uint32(auparse.AUDIT_PATH)
	case "CWD":
		return uint32(auparse.AUDIT_CWD)
	case "PROCTITLE":
		return TypeProctitle
	case "EOE":
		return TypeEOE
	}
	if n, ok := typeNumbers[string(name)]; ok {
		return n
	}
	return unknownNumber(name)
}

func unknownNumber(name []byte) uint32 {
	const prefix = "UNKNOWN["
	if len(name) < len(prefix)+2 || string(name[:len(prefix)]) != prefix || name[len(name)-1] != ']' {
		return 0
	}
	n, rest, ok := digits(name[len(prefix):], 10)
	if !ok || len(rest) != 1 || n > 1<<32-1 {
		return 0
	}
	return uint32(n)
}

// AppendTypeName appends the name of type n as auditd prints it.
func AppendTypeName(dst []byte, n uint32) []byte {
	if n >= firstType && n <= lastType && typeNames[n-firstType] != "" {
		return append(dst, typeNames[n-firstType]...)
	}
	dst = append(dst, "UNKNOWN["...)
	dst = strconv.AppendUint(dst, uint64(n), 10)
	return append(dst, ']')
}
