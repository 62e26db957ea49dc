package filter

import (
	"slices"
	"strings"

	"audisp-relay/audit/process"
	"audisp-relay/audit/record"
)

// kind is the type of a field or of a part of an expression.
type kind uint8

const (
	none kind = iota
	number
	float // in expressions only
	text
	flag
	texts
	numbers
)

func (k kind) String() string {
	return [...]string{"nothing", "a number", "a number", "text", "true or false", "a list of texts", "a list of numbers"}[k]
}

func (k kind) isNumber() bool { return k == number || k == float }

// elem returns the kind of a list's elements, none when k is no list.
func (k kind) elem() kind {
	switch k {
	case texts:
		return text
	case numbers:
		return number
	}
	return none
}

// field is a value that expressions can mention.
type field struct {
	name string
	kind kind
	// cost says how much work load is, so that what is cheap is tried first.
	cost int
	load func(*Matcher, *value) // is given a value that is absent
	// each is the list that comparisons of this field run over: they hold when they
	// hold for any of its elements. A field without has one value.
	each string
	// known checks a text that the field is compared with, names are for its
	// suggestion. nil: any text will do.
	known func(string) bool
	names func() []string
	// newer reports whether a text may be one that the tables lack. Then known compares it with all that they have.
	newer func(string) bool
	// grows: more texts than the known ones may come, so that one which is not known is worth
	// a warning and no error.
	grows bool
	// present returns a text that the field is compared with as the field has it: the present name of what had another before, the
	// usual form of an address. nil: it is compared as it stands.
	present func(string) string
	// isLabel: its texts are labels of processes, which the configuration knows.
	isLabel bool
}

// Costs of loading, in no unit.
const (
	fromHeader = 1
	fromKeys   = 4
	fromMain   = 6
	fromAny    = 20
	fromNames  = 30
	fromTable  = 42 // of processes, by what the main record says; no others have this cost or the next
	fromFiles  = 43 // of processes, by what an execve's PATH records say, too
	fromArgs   = 60
	regexCost  = 100
	// lastCost is that of what is settled as a whole: it may fail, and so comes last.
	lastCost = 1000
)

// fields are those that expressions may mention by their names.
var fields = make(map[string]*field)

// dotted are the words before the dot in names of fields, and what to write instead of such a word alone.
var dotted = map[string]string{"msg": "msg.acct and the like", "parent": "parent.exe or parent.cmdline"}

// fieldNames are the names of fields, for suggestions.
var fieldNames []string

func addField(f field) { fields[f.name] = &f }

func init() {
	addEnvelope()
	addSyscall()
	for id, user := range idNames {
		key := strings.ReplaceAll(id, "_", "-")
		p := newPattern(key)
		isGroup := strings.HasSuffix(id, "gid")
		addField(numberField(key))
		addField(field{name: user, kind: text, cost: fromNames, load: func(m *Matcher, v *value) { v.s = m.idName(&p, &v.hint, isGroup) }})
	}
	for _, key := range []string{"ses", "oses", "old-ses", "pid", "ppid", "opid", "exit", "items", "sig", "list"} {
		addField(numberField(key))
	}

	addField(programField("exe", (*process.Process).Exe))
	addField(programField("comm", (*process.Process).Comm))
	for _, key := range []string{
		"subj", "tty", "ocomm", // of the kernel
		"acct", "op", "res", "hostname", "terminal", "cmd", "unit", "grantors", // of programs
		"obj", "scontext", "tcontext", "tclass", "permissive", "apparmor", "operation", "profile", // of security modules
	} {
		addField(textField(key, key, fromMain))
	}
	addPaths()
	addOthers()
	addWhole()
	addProcess()
	for _, key := range []string{
		"acct", "addr", "auid", "cmd", "comm", "cwd", "exe", "fp", "grantors", "grp", "hostname", "id", "key", "kind", "laddr", "lport", "new_group",
		"op", "pid", "reason", "res", "result", "rport", "ses", "spid", "subj", "suid", "terminal", "tty", "uid", "unit", "uuid", "vm", "vm-ctx",
	} {
		p := newPattern(key)
		f := field{name: "msg." + strings.ReplaceAll(key, "-", "_"), kind: text, cost: fromAny, load: func(m *Matcher, v *value) { v.s = m.text(p.class, m.findMessage(&p)) }}
		if p.class == record.UserID || p.class == record.Int || p.class == record.Session {
			f.kind = number
			f.load = func(m *Matcher, v *value) { v.n = readNumber(p.class, m.findMessage(&p)) }
		}
		addField(f)
	}

	for name := range fields {
		if !strings.HasSuffix(name, "*") {
			fieldNames = append(fieldNames, name)
		}
	}
	slices.Sort(fieldNames)
	fieldNames = slices.Clip(fieldNames) // who appends to it does not write into it
}

// idNames are the fields of ids, and those of their names.
var idNames = map[string]string{
	"auid": "auser", "uid": "user", "euid": "euser", "suid": "suser", "fsuid": "fsuser",
	"gid": "group", "egid": "egroup", "sgid": "sgroup", "fsgid": "fsgroup", "oauid": "oauser", "sauid": "sauser", "old_auid": "old_auser",
}

// numberField returns the field that is the number of key in the main record, else in
// the first other record that has it.
func numberField(key string) field {
	p := newPattern(key)
	return field{name: strings.ReplaceAll(key, "-", "_"), kind: number, cost: fromMain, load: func(m *Matcher, v *value) { v.n = readNumber(p.class, m.find(&p, &v.hint)) }}
}

// textField returns the field that is the text of key in the main record, else in
// the first other record that has it.
func textField(name, key string, cost int) field {
	p := newPattern(key)
	return field{name: name, kind: text, cost: cost, load: func(m *Matcher, v *value) { v.s = m.text(p.class, m.find(&p, &v.hint)) }}
}

// addEnvelope adds what is known of an event without its fields.
func addEnvelope() {
	typeNames := recordTypes
	addField(field{name: "type", kind: text, cost: fromHeader, each: "types*", known: isType, newer: isNewType, names: typeNames, present: presentType, load: func(m *Matcher, v *value) { v.s = m.typeName(m.main) }})
	addField(field{name: "types", kind: texts, cost: fromHeader, known: isType, newer: isNewType, names: typeNames, present: presentType, load: loadTypes})
	addField(field{name: "types*", kind: texts, cost: fromHeader, known: isType, newer: isNewType, names: typeNames, present: presentType, load: loadTypes})
	fields["record_types"] = fields["types"]
	addField(field{name: "main_type", kind: text, cost: fromHeader, known: isType, newer: isNewType, names: typeNames, present: presentType, load: func(m *Matcher, v *value) { v.s = m.typeName(m.main) }})
	addList("key", "keys", fromKeys, loadKeys)
	addField(field{name: "node", kind: text, cost: fromHeader, load: func(m *Matcher, v *value) { v.s = record.Alias(m.b.Node(m.main)) }})
	addField(field{name: "serial", kind: number, cost: fromHeader, load: func(m *Matcher, v *value) { v.n = int64(m.b.Recs[m.main].Serial) }})
	addField(field{name: "time", kind: number, cost: fromHeader, load: func(m *Matcher, v *value) { v.n = m.b.Recs[m.main].Millis }})
	addField(field{name: "id", kind: text, cost: fromHeader, load: func(m *Matcher, v *value) { v.s = record.Alias(record.Parse(m.b, m.main).ID) }})
	addField(field{name: "recovered", kind: flag, cost: fromHeader, load: loadRecovered})
	addField(field{name: "incomplete", kind: flag, cost: fromHeader, load: loadIncomplete})
}

// addSyscall adds the fields of SYSCALL records that are not shown as they stand.
func addSyscall() {
	addField(field{name: "success", kind: flag, cost: fromMain, load: func(m *Matcher, v *value) { v.n = flagNumber(m.outcome() > 0) }})
	addField(field{name: "failed", kind: flag, cost: fromMain, load: func(m *Matcher, v *value) { v.n = flagNumber(m.outcome() < 0) }})
	addField(field{name: "errno", kind: text, cost: fromMain, known: isErrno, names: errnoNames, load: loadErrno})
	addField(field{name: "syscall", kind: text, cost: fromMain, known: isSyscall, names: syscallNames, grows: true, load: loadSyscall})
	addField(field{name: "syscall_number", kind: number, cost: fromMain, load: func(m *Matcher, v *value) { v.n = m.syscallNumber() }})
	addField(field{name: "arch", kind: text, cost: fromMain, known: isArch, names: archNames, load: loadArch})
	for _, key := range []string{"a0", "a1", "a2", "a3"} {
		p := newPattern(key)
		addField(field{name: key, kind: number, cost: fromMain, load: func(m *Matcher, v *value) { v.n = m.syscallArg(&p, &v.hint) }})
	}
}

// addPaths adds what is in the PATH records: an event can have many.
func addPaths() {
	for name, key := range map[string]string{"path": "name", "nametype": "nametype"} {
		p := newPattern(key)
		addList(name, name+"s", fromAny, func(m *Matcher, v *value) { m.loadAll(v, &p) })
	}

	for _, key := range []string{"ouid", "ogid", "inode"} {
		p := newPattern(key)
		many := key + "s"
		absent := int64(0)
		if p.class == record.UserID {
			absent = unset
		}
		addField(field{name: many, kind: numbers, cost: fromAny, load: func(m *Matcher, v *value) { m.loadAllNumbers(v, &p) }})
		addField(field{name: many + "*", kind: numbers, cost: fromAny, load: func(m *Matcher, v *value) {
			if m.loadAllNumbers(v, &p); len(v.nums) == 0 {
				v.nums = append(v.nums, absent)
			}
		}})
		addField(field{name: key, kind: number, cost: fromAny, each: many + "*", load: func(m *Matcher, v *value) {
			v.n = absent
			if m.loadAllNumbers(v, &p); len(v.nums) > 0 {
				v.n = v.nums[0]
			}
		}})
	}
}

// addOthers adds what comes from records of other types.
func addOthers() {
	addField(field{name: "cwd", kind: text, cost: fromAny, load: func(m *Matcher, v *value) { v.s = m.cwd() }})
	addField(field{name: "args", kind: texts, cost: fromArgs, load: loadArgs})
	addField(field{name: "argc", kind: number, cost: fromArgs, load: loadArgc})
	addField(field{name: "proctitle", kind: text, cost: fromAny, load: loadProctitle})
	addField(field{name: "family", kind: text, cost: fromAny, known: isFamily, names: familyNames, load: loadFamily})
	addField(field{name: "addr", kind: text, cost: fromAny, present: usualAddr, load: loadAddr})
	addField(field{name: "port", kind: number, cost: fromAny, load: loadPort})
	addField(field{name: "seresult", kind: text, cost: fromAny, each: "seresults*", load: firstOf(loadResults)})
	addField(field{name: "seresults*", kind: texts, cost: fromAny, load: orEmpty(loadResults)})
	addField(field{name: "seperms", kind: texts, cost: fromAny, load: loadPerms})
}

// addList adds a field that can have several values in an event, and the list of them.
func addList(one, many string, cost int, load func(*Matcher, *value)) {
	addField(field{name: many, kind: texts, cost: cost, load: load})
	addField(field{name: many + "*", kind: texts, cost: cost, load: orEmpty(load)})
	addField(field{name: one, kind: text, cost: cost, each: many + "*", load: firstOf(load)})
}

// orEmpty makes a list that has nothing have an empty text: what is absent compares
// as "".
func orEmpty(load func(*Matcher, *value)) func(*Matcher, *value) {
	return func(m *Matcher, v *value) {
		if load(m, v); len(v.texts) == 0 {
			v.texts = append(v.texts, "")
		}
	}
}

// firstOf loads the first element of a list, "" when it has none.
func firstOf(load func(*Matcher, *value)) func(*Matcher, *value) {
	return func(m *Matcher, v *value) {
		if load(m, v); len(v.texts) > 0 {
			v.s = v.texts[0]
		}
	}
}
