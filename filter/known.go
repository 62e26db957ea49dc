package filter

import (
	"maps"
	"slices"
	"strings"
	"sync"

	"audisp-relay/audit/record"
	"audisp-relay/suggest"
)

// recordTypes are the names of record types, in the order of their numbers.
var recordTypes = sync.OnceValue(func() (names []string) {
	for n := record.FirstType; n <= record.LastType; n++ {
		if record.HasTypeName(n) {
			names = append(names, string(record.AppendTypeName(nil, n)))
		}
	}
	return names
})

// isType reports whether a record may be of a type of that name. One that the tables lack
// may be of a newer auditd, unless it is so near to one they have that it was misspelt.
func isType(name string) bool {
	n := record.TypeNumber([]byte(name))
	if n < record.NamedType {
		return n != 0 || name == ""
	}
	if strings.ToUpper(name) != name {
		return false
	}
	near := suggest.Nearest(name, recordTypes())
	return near == "" || suggest.Distance(name, near) > 1
}

// isNewType reports whether a name is not in the tables and may be that of a newer auditd.
func isNewType(name string) bool {
	return record.TypeNumber([]byte(name)) >= record.NamedType && strings.ToUpper(name) == name
}

// presentType returns the present name of the type that a name says: auditd wrote
// UNKNOWN[1424] before it had one.
func presentType(name string) string {
	n := record.TypeNumber([]byte(name))
	if n == 0 || n >= record.NamedType {
		return name
	}
	return string(record.AppendTypeName(nil, n))
}

func isSyscall(name string) bool { return name == "" || record.IsSyscall(name) }

func syscallNames() []string { return slices.Sorted(record.SyscallNames()) }

// errnos are the names of error numbers: those of the tables, and the other name that some have
// (errno.h).
var errnos = sync.OnceValue(func() map[string]int64 {
	names := map[string]int64{"EDEADLOCK": 35, "EWOULDBLOCK": 11}
	for n := range int64(record.MaxErrno + 1) {
		if name := record.ErrnoName(n); name != "" {
			names[name] = n
		}
	}
	return names
})

func isErrno(name string) bool {
	_, ok := errnos()[name]
	return ok || name == ""
}

func errnoNames() []string { return slices.Sorted(maps.Keys(errnos())) }

// isArch takes a name, or the number of an arch that has none as json writes it.
func isArch(name string) bool {
	if number, ok := strings.CutPrefix(name, "0x"); ok {
		code, ok := record.ParseArch([]byte(number))
		return ok && record.ArchName(code) == ""
	}
	_, ok := record.ArchCode(name)
	return ok || name == ""
}

func archNames() []string { return slices.Sorted(slices.Values(record.ArchNames())) }

// familyNames are the names of address families, as field family has them.
var familyNames = sync.OnceValue(func() (names []string) {
	for n := range uint16(256) {
		if name := record.FamilyName(n); name != "" {
			names = append(names, name)
		}
	}
	return names
})

func isFamily(name string) bool { return name == "" || slices.Contains(familyNames(), name) }

// KindOf returns what an expression may compare a field with: "text", "number", "id" (a number that is unset where it is not there),
// "flag" or "list"; "" of a name that is no field.
func KindOf(name string) string {
	f := fields[name]
	if f == nil || strings.HasSuffix(name, "*") {
		return ""
	}
	if f.kind == number {
		switch record.ClassOf([]byte(strings.ReplaceAll(name, "_", "-"))) {
		case record.UserID, record.Session:
			return "id"
		}
	}
	return map[kind]string{text: "text", number: "number", flag: "flag", texts: "list", numbers: "list"}[f.kind]
}
