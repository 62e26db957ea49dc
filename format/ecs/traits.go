package ecs

import (
	"encoding/binary"
	"strings"

	"audisp-relay/audit/record"
)

// traits are what the name of a field says of it.
type traits uint16

const (
	// ofProcess: the id of a user or group that every process has.
	ofProcess traits = 1 << iota
	// ofObject: one of the audit system's names for the id of a user or group that is not the process's own.
	ofObject
	// underProcess: it has a place under process, and so none in the event's data.
	underProcess
	// ofKernel: a program that says it would be taken for the kernel.
	ofKernel
	// likeID: the name ends as those of the ids of users and groups do; ofGroup: of groups.
	likeID
	ofGroup
	// maybeUnset: an id or a session, which is unset with a value of -1. Programs have names of their own for them.
	maybeUnset
	// ofSubject, ofLabel: it begins as the parts of the security context of a process or of a file do.
	ofSubject
	ofLabel
	// varies: its class is not the same in records of all types.
	varies
)

// keyTraits are those that a name has because of what it means.
var keyTraits = [...]struct {
	is   traits
	keys string
}{
	{ofProcess, "auid uid gid euid egid suid sgid fsuid fsgid"},
	{ofObject, "ouid ogid oauid old-auid old_auid new_auid iuid igid inode_uid inode_gid sauid obj_uid obj_gid"},
	{underProcess, "pid ppid proctitle comm exe cwd"},
	{ofKernel, "ses subj key"},
	{varies, "dev fp"}, // see record.ClassIn
}

// traitsOf returns the traits that a name has by its form.
func traitsOf(name string) (is traits) {
	if strings.HasSuffix(name, "gid") {
		is |= likeID | ofGroup | maybeUnset
	}
	if strings.HasSuffix(name, "uid") {
		is |= likeID | maybeUnset
	}
	if strings.HasSuffix(name, "-ses") || strings.HasSuffix(name, "_ses") {
		is |= maybeUnset
	}
	if strings.HasPrefix(name, "subj_") {
		is |= ofSubject
	}
	if strings.HasPrefix(name, "obj_") {
		is |= ofLabel
	}

	switch record.ClassOf([]byte(name)) {
	case record.UserID, record.Session:
		is |= maybeUnset
	}
	return is
}

// keyInfo is what is known of a key.
type keyInfo struct {
	json  string // `"name":`
	class record.Class
	is    traits
}

// allKeys is what is known of all keys.
type allKeys struct {
	infos    [keyCount]keyInfo
	names    keyIndex // as records have them
	capitals keyIndex // as auditd writes them where it adds names
	placed   keySet   // underProcess: they have a place there
	process  keySet   // ofProcess
	groups   keySet   // ofGroup
}

func newAllKeys() *allKeys {
	t := new(allKeys)
	for k := other + 1; k < keyCount; k++ {
		name := keyNames[k]
		t.names.add(k, name)
		t.capitals.add(k, strings.ToUpper(name))
		t.infos[k] = keyInfo{`"` + name + `":`, record.ClassOf([]byte(name)), traitsOf(name)}
	}
	for _, row := range keyTraits {
		for _, k := range t.list(row.keys) {
			t.infos[k].is |= row.is
		}
	}

	for k := range keyCount {
		is := t.infos[k].is
		if is&underProcess != 0 {
			t.placed.add(k)
		}
		if is&ofProcess != 0 {
			t.process.add(k)
		}
		if is&ofGroup != 0 {
			t.groups.add(k)
		}
	}
	return t
}

// list returns the keys of names with blanks between. All have to be in the table.
func (t *allKeys) list(names string) (keys []key) {
	for name := range strings.FieldsSeq(names) {
		k := t.find(name)
		if k == other {
			panic("the table of keys lacks " + name)
		}
		keys = append(keys, k)
	}
	return keys
}

// one returns the key of a name that has to be in the table, other for "".
func (t *allKeys) one(name string) key {
	if name == "" {
		return other
	}
	return t.list(name)[0]
}

// find returns the key of a name, other if it is not in the table.
func (t *allKeys) find(name string) key { return t.names.find([]byte(name)) }

// describe returns what is to be known of a field in records of a type.
func (t *allKeys) describe(typ uint32, k key, name []byte) (traits, record.Class) {
	info := &t.infos[k]
	switch {
	case k == other:
		return traitsOf(record.Alias(name)), record.ClassIn(typ, name)
	case info.is&varies != 0:
		return info.is, record.ClassIn(typ, name)
	}
	return info.is, info.class
}

// keySlots is how many places a keyIndex has: so many that nearly every name is found at the first look.
const (
	slotBits = 9
	keySlots = 1 << slotBits
)

// keyIndex finds the keys of names. The first eight bytes of a name are one number for it: most names have no more.
type keyIndex struct {
	slots [keySlots]key
	words [keyCount]uint64
	names [keyCount]string
}

func (t *keyIndex) add(k key, name string) {
	t.words[k], t.names[k] = firstWord([]byte(name)), name
	at := slotOf(t.words[k], len(name))
	for t.slots[at%keySlots] != other {
		at++
	}
	t.slots[at%keySlots] = k
}

// find returns the key of a name, other if it is not in the table.
func (t *keyIndex) find(name []byte) key {
	word := firstWord(name)
	for at := slotOf(word, len(name)); ; at++ {
		k := t.slots[at%keySlots]
		if k == other || (t.words[k] == word && len(t.names[k]) == len(name) && (len(name) <= 8 || t.names[k] == string(name))) {
			return k
		}
	}
}

// slotOf returns where the search for a name of n bytes begins.
func slotOf(word uint64, n int) uint64 { return (word + uint64(n)) * spread >> (64 - slotBits) }

// spread is a factor that spreads similar numbers over all (the golden ratio's).
const spread = 0x9E3779B97F4A7C15

// firstWord returns the first eight bytes of a name, with zeros for those that it lacks. In a record more
// follows after a name, so that all eight can nearly always be read at once.
func firstWord(name []byte) (word uint64) {
	n := len(name)
	if cap(name) < 8 {
		for i, c := range name {
			word |= uint64(c) << (8 * i)
		}
		return word
	}
	word = binary.LittleEndian.Uint64(name[:8])
	if n < 8 {
		word &= 1<<(8*n) - 1
	}
	return word
}
