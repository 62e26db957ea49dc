package sigma

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"

	"audisp-relay/filter"
)

// source is a log source whose rules are converted.
type source struct {
	service, category string
	lookAt            func(uses) outlook
	target            func(look outlook, field string, types []string) (target, error)
}

// outlook is what a rule as a whole asks for.
type outlook struct {
	base     string   // what holds for the events that such rules are about; "" for all
	list     string   // the rule is asked of each element of this list by itself; "": of the event
	element  string   // how an element is written: # within any(LIST, ...), or the field whose any value counts
	keywords string   // where words without a field are looked for
	types    []string // the record types of selections that name none
	name     string   // the field for names in PATH records, where there is no list
	ifNew    bool     // list is of new files, and the rule asks for these with nametype
	oldFiles bool     // an element is a file that was there before
}

// kind is how a field's values are compared.
type kind uint8

const (
	asText    kind = iota
	asNumber       // in decimal digits
	asCount        // asNumber, of a record that may not have it: then a filter has 0
	asID           // asNumber, 4294967295 where it is not set or not there
	asHex          // a system call's argument, as the record has it
	asType         // the type of a record
	asCall         // the name of a system call, or its number
	asOutcome      // yes or no
	asTrue         // what holds for all events that the rule is about
)

// target is the field of package filter that a field of Sigma means.
type target struct {
	text string
	kind kind
}

// lists are those that rules are asked of, with the field that is any of their elements.
var lists = map[string]string{"paths": "path", "full_paths": "full_path", "created_paths": "created"}

// sources are the log sources whose rules are converted.
var sources = []*source{
	{
		category: "process_creation",
		lookAt:   func(uses) outlook { return outlook{base: `type == "EXECVE"`, keywords: "text"} },
		target: named(map[string]target{
			"CommandLine": {text: "cmdline"}, "CurrentDirectory": {text: "cwd"}, "ParentProcessId": {"ppid", asNumber},
			"LogonId": {"uid", asID}, "TerminalSessionId": {"ses", asID}, // as Sysmon for Linux fills them (ebpfKern/sysmonProcCreate.c)
		}),
	},
	{
		category: "file_event",
		lookAt:   lookAtFiles,
		target: func(look outlook, field string, types []string) (target, error) {
			if field == "TargetFilename" && look.list != "" {
				return target{text: look.element}, nil
			}
			return namedFile(look, field, types)
		},
	},
	{
		category: "network_connection",
		lookAt:   func(uses) outlook { return outlook{base: connects, keywords: "text"} },
		target: named(map[string]target{
			"DestinationIp": {text: "addr"}, "DestinationPort": {"port", asNumber}, "Initiated": {kind: asTrue},
		}),
	},
	{service: "auditd", lookAt: lookAtRecords, target: recordField},
}

var namedFile = named(map[string]target{
	"TargetFilename": {text: "created"}, "CommandLine": {text: "proctitle"},
})

// connects is what holds for a connect over IP: by the call of that name, by socketcall(2), of which a0 is an int, see matchHex, and by io_uring,
// whose operation has a record of its own (linux/io_uring.h, IORING_OP_CONNECT) beside that of the address, which io_uring_enter(2) has read.
const connects = `family in ["inet", "inet6"] and (syscall == "connect" or (syscall == "socketcall" and (a0 == 3 or iends(field("a0"), "00000003"))) or field("uring_op") == "16")`

// ofAll are fields that all categories have.
var ofAll = map[string]target{
	"Image": {text: "exe"}, "User": {text: "user"}, "ProcessId": {"pid", asNumber},
	"ParentImage": {text: "parent.exe"}, "ParentCommandLine": {text: "parent.cmdline"},
}

// missing says why audit cannot answer a field that is in published rules.
var missing = map[string]string{
	"DestinationHostname": "the kernel knows addresses, not names",
	"Hashes":              "records have no checksums",
}

// named returns the target of a category's fields: those of its own, and those that all have.
func named(fields map[string]target) func(outlook, string, []string) (target, error) {
	return func(_ outlook, field string, _ []string) (target, error) {
		for _, known := range []map[string]target{fields, ofAll} {
			if t, ok := known[field]; ok {
				return t, nil
			}
		}
		why := missing[field]
		if why == "" {
			why = "the records of such an event have nothing that it could mean"
		}
		return target{}, fmt.Errorf("field %s: %s", quoteBrief(field), why)
	}
}

// lookAtFiles: a rule for new files is asked of each of them by itself, unless it looks for words, which may be anywhere.
func lookAtFiles(u uses) outlook {
	if u.fields["TargetFilename"] && !u.keywords {
		return outlook{base: `type == "PATH" and success`, list: "created_paths"}
	}
	return outlook{base: `nametype == "CREATE" and success`, keywords: "text"}
}

// lookAtRecords: a rule of service auditd speaks of one record, an expression of the whole event. That differs for PATH records, of which an event
// has several: a rule that asks for nothing else is asked of each name by itself. A file is meant, and so its absolute path, unless the rule looks
// for a relative name.
func lookAtRecords(u uses) outlook {
	look := outlook{keywords: "text", types: []string{"EXECVE"}, name: "full_path"}
	paths := "full_paths"
	if u.relative {
		look.name, paths = "path", "paths"
	}
	if len(u.types) > 0 && !slices.ContainsFunc(slices.Collect(maps.Keys(u.types)), isOfFiles) {
		look.name = nameOfRecord
	}
	switch {
	case u.types["SYSCALL"] && len(u.types) == 1:
		look.types = []string{"SYSCALL"}
	case u.types["SYSCALL"]:
		look.types = []string{"EXECVE", "SYSCALL"} // it is not said which of them
	}
	if u.types["EXECVE"] { // its arguments stand apart in the record, and words in rules go over several
		look.keywords = "cmdline"
	}
	if len(u.types) == 0 && slices.ContainsFunc(u.names(), isArgument) {
		look.base = `type == "EXECVE"`
	}

	others := slices.DeleteFunc(u.names(), func(f string) bool { return f == "type" || f == "name" || f == "nametype" })
	onlyPaths := len(u.types) == 1 && u.types["PATH"] && u.fields["name"] && len(others) == 0 && !u.keywords
	switch {
	case onlyPaths && !u.fields["nametype"]:
		look.base, look.list = `type == "PATH"`, paths
	case onlyPaths && u.onlyCreates:
		look.base, look.list, look.ifNew = `type == "PATH"`, "created_paths", true
	}
	return look
}

var (
	argument  = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^a(0|[1-9][0-9]{0,3})$`) })
	fieldName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`) })
)

// nameOfRecord is what records other than PATH have as name=: AVC of a file, KERN_MODULE of a module.
const nameOfRecord = `field("name")`

// isOfFiles reports whether events with a record of a type may have PATH records, and a rule that names it these.
func isOfFiles(typ string) bool { return typ == "PATH" || typ == "SYSCALL" || typ == "EXECVE" }

func isArgument(field string) bool { return argument().MatchString(field) }

// enriched are the names that auditd adds in capitals, as filters call them.
var enriched = map[string]target{
	"SYSCALL": {"syscall", asCall}, "syscall": {"syscall", asCall}, "ARCH": {text: "arch"}, "arch": {text: `field("arch")`}, "type": {kind: asType}, "success": {kind: asOutcome},
	"AUID": {text: "auser"}, "UID": {text: "user"}, "EUID": {text: "euser"}, "SUID": {text: "suser"}, "FSUID": {text: "fsuser"},
	"GID": {text: "group"}, "EGID": {text: "egroup"}, "SGID": {text: "sgroup"}, "FSGID": {text: "fsgroup"},
	"msg": {text: "text"},
}

// notOfRecords are names that mean one thing in filters and, if any, another in records.
var notOfRecords = []string{
	"id", "serial", "time", "text", "main_type", "errno", "syscall_number", "path", "created", "family",
	"user", "auser", "euser", "suser", "fsuser", "oauser", "sauser", "old_auser", "group", "egroup", "sgroup", "fsgroup",
}

// recordField returns the target of a field of records.
func recordField(look outlook, field string, types []string) (target, error) {
	switch t, known := enriched[field]; {
	case known:
		return t, nil
	case field == "name" && look.list != "":
		return target{text: look.element}, nil
	case field == "name" && !slices.ContainsFunc(types, isOfFiles):
		return target{text: nameOfRecord}, nil
	case field == "name":
		return target{text: look.name}, nil
	case field == "nametype" && look.list != "":
		return target{kind: asTrue}, nil
	case isArgument(field):
		return argumentField(field, types)
	}

	if !slices.Contains(notOfRecords, field) {
		switch filter.KindOf(field) {
		case "text":
			return target{text: field}, nil
		case "number":
			return target{field, asCount}, nil
		case "id":
			return target{field, asID}, nil
		}
	}
	if !fieldName().MatchString(field) {
		return target{}, fmt.Errorf("field %s: no record has a field of such a name", quoteBrief(field))
	}
	return target{text: fmt.Sprintf("field(%q)", field)}, nil
}

// argumentField returns the target of a0 and the like: arguments of a program in EXECVE records, of a system call in SYSCALL
// records.
func argumentField(field string, types []string) (target, error) {
	switch {
	case !slices.Contains(types, "SYSCALL"):
		return target{text: "args[" + field[1:] + "]"}, nil
	case len(types) > 1:
		return target{}, errors.New("field " + field + ": means one thing in EXECVE records and another in SYSCALL records: name one type")
	case len(field) != 2 || field[1] > '3':
		return target{}, errors.New("field " + field + ": SYSCALL records have a0 to a3")
	}
	return target{field, asHex}, nil
}

// isWord reports whether a text has letters only.
func isWord(s string) bool {
	return s != "" && strings.Trim(strings.ToLower(s), "abcdefghijklmnopqrstuvwxyz_0123456789") == ""
}
