package json

import (
	"bytes"
	"slices"
	"strings"
	"sync/atomic"

	"audisp-relay/audit/record"
)

// recordType is what the encoder knows of the records of one type.
type recordType struct {
	name  string
	json  string // the name in quotes, or null
	steps []step // the fields it mostly has, in their order
	memo  int    // object.memo
	until []byte // object.until
}

// kind says how the value of a field is shown and restored: the class of its key, or a
// rule of its own.
type kind uint8

const (
	kindPlain   = kind(record.Plain)
	kindInt     = kind(record.Int)
	kindID      = kind(record.UserID)
	kindSession = kind(record.Session)
	kindText    = kind(record.Text)
	kindHex     = kind(record.Hex)
)

const (
	kindSuccess kind = iota + 32
	kindExit
	kindArch
	kindSyscall
	kindUring
	kindKey
	kindMsg
	kindSaddr
)

// step is a field that is expected at a place of a record, with what it is written with.
type step struct {
	key   []byte
	field prefix // "auid="
	json  chunk  // `,"auid":`
	begin chunk  // json, and what values of that kind begin with: `,"a0":"0x`
	kind  kind
	name  chunk // `,"auser":` of an id
}

// level says in which object a field is shown.
type level uint8

const (
	top      level = 1 << iota // the event itself
	other                      // in other_records
	path                       // in paths
	sockaddr                   // in sockaddrs
	message                    // in msg
)

// kindOf returns the kind of a field in records of a type, shown at a level.
func kindOf(typ uint32, l level, key []byte) kind {
	switch string(key) {
	case "success":
		return kindSuccess
	case "exit":
		return kindExit
	case "arch":
		return kindArch
	case "syscall":
		return kindSyscall
	case "uring_op":
		return kindUring
	case "key":
		if l&(top|other) != 0 {
			return kindKey
		}
	case "msg":
		if l != message {
			return kindMsg
		}
	case "saddr":
		if l == sockaddr {
			return kindSaddr
		}
	}

	if typ > record.LastType { // no type of the kernel
		typ = 0
	}
	return kind(record.ClassIn(typ, key))
}

// reserved are the keys that the format itself has: fields of these names are shown under
// others (object.admit).
var reserved = func() map[string]level {
	m := make(map[string]level)
	add := func(l level, keys string) {
		for _, k := range strings.Fields(keys) {
			m[k] |= l
		}
	}
	add(top, `id serial node type record_types keys cwd paths sockaddrs args argc args_missing args_cut proctitle
		command_line command_line_cut exec_id script exe_sha256 systemd_unit container_id labels parent ancestors
		other_records incomplete recovered names node_source frame encoding rules`)
	add(other, "type keys")
	add(sockaddr, `family abstract path addr port flowinfo scope pid groups call digipeaters network node protocol itf vpi
		vci ifindex hatype pkttype halen hwaddr sap addrtype alg_type alg_name device target cid flags queue umem_fd
		message_type tag`)
	add(top|other|path|sockaddr, "raw tail spelled separator")
	add(top|other|path|sockaddr|message, `words quoted literal blanks seperms syscall_number uring_op_name
		user auser euser suser fsuser ouser oauser iuser sauser old-auser group egroup sgroup fsgroup ogroup igroup
		id_name inode_uid_name obj_uid_name inode_gid_name new_gid_name obj_gid_name`)
	return m
}()

// isReserved reports whether a field of that key, in a record of that type, is not shown
// under it.
func isReserved(typ uint32, l level, key []byte) bool {
	if string(key) == "errno" { // elsewhere it is a field (integrity_audit.c)
		return typ == record.TypeSyscall || typ == record.TypeUring
	}
	return reserved[string(key)]&l != 0
}

// splitID cuts the key of an id in what stands before and after the part that makes way
// for user or group: auid is shown with auser, id with id_name.
func splitID(key []byte) (before int, insert string) {
	if n := len(key) - 3; n >= 0 && bytes.IndexByte(key, '_') < 0 {
		switch string(key[n:]) {
		case "uid":
			return n, "user"
		case "gid":
			return n, "group"
		}
	}
	return len(key), "_name"
}

// newSteps makes the steps of a type's fields.
func newSteps(typ uint32, l level, keys string) (steps []step) {
	for _, key := range strings.Fields(keys) {
		s := step{key: []byte(key), field: newPrefix(key + "="), json: newChunk(`,"` + key + `":`), kind: kindOf(typ, l, []byte(key))}
		switch s.begin = s.json; s.kind {
		case kindHex:
			s.begin = newChunk(`,"` + key + `":"0x`)
		case kindPlain:
			s.begin = newChunk(`,"` + key + `":"`)
		case kindID:
			n, insert := splitID([]byte(key))
			s.name = newChunk(`,"` + key[:n] + insert + `":`)
		}
		steps = append(steps, s)
	}
	return steps
}

// The fields of common records in the order in which the kernel writes them (kernel/audit*.c).
// One that is not there is skipped; what comes out of order costs a search.
const (
	syscallFields = `arch syscall per success exit a0 a1 a2 a3 items ppid pid auid uid gid euid suid fsuid egid sgid
		fsgid tty ses comm exe subj key`
	pathFields = `item name inode dev mode ouid ogid rdev obj objtype nametype cap_fp cap_fi cap_fe cap_fver cap_frootid`
	userFields = "pid uid auid ses subj msg"
	// msgFields are what most programs send (audit_log_user_message and its like in libaudit).
	msgFields = "op grantors unit acct id comm cwd cmd exe hostname addr terminal res"
)

// messageType is what programs send, as if it were a record.
var messageType = recordType{steps: newSteps(0, message, msgFields), memo: noMemo}

// recordTypes are those that records were seen of.
var recordTypes [record.LastType - record.FirstType + 1]atomic.Pointer[recordType]

var nameless = recordType{json: "null", memo: noMemo}

func newType(n uint32, name string) *recordType {
	l, fields := top|other, ""
	remembered, until := "", "" // the fields that begin and end the part of a record which a memo holds
	switch {
	case n == record.TypePath:
		l, fields, remembered = path, pathFields, "dev"
	case n == record.TypeSockaddr:
		l, fields, remembered = sockaddr, "saddr", "saddr"
	case n == record.TypeSyscall:
		fields, remembered, until = syscallFields, "auid", "comm=" // the same process, whatever it calls itself and is audited for
	case n == record.TypeBprmFcaps:
		fields, remembered = "fver fp fi fe old_pp old_pi old_pe old_pa pp pi pe pa frootid", "fver"
	case n == record.TypeLogin:
		fields = "pid uid subj old-auid auid tty old-ses ses res"
	case n == record.TypeConfig:
		fields = "auid ses subj op key list res"
	case n == record.TypeObjPID:
		fields = "opid oauid ouid oses obj ocomm"
	case record.OfProgram(n), n >= record.NamedType:
		fields = userFields
	}

	t := &recordType{name: name, json: `"` + name + `"`, steps: newSteps(n, l, fields)}
	t.memo, t.until = noMemo, []byte(until)
	if n := slices.IndexFunc(t.steps, func(st step) bool { return string(st.key) == remembered }); n >= 0 {
		t.memo = n
	}
	return t
}

// maxNamed is how many types an encoder remembers that the tables have no name for.
const maxNamed = 64

// typeOf returns what is known of record i's type. It is made when the first record of the
// type comes.
func (e *Encoder) typeOf(b *record.Batch, i int) *recordType {
	n := b.Recs[i].Type
	switch {
	case record.HasTypeName(n):
		known := &recordTypes[n-record.FirstType]
		t := known.Load()
		if t == nil {
			t = newType(n, string(record.AppendTypeName(nil, n)))
			known.Store(t)
		}
		return t
	case n == 0 && !b.Recs[i].HasID():
		return &nameless
	}

	e.scratch = b.AppendType(e.scratch[:0], i)
	k := namedType{n, string(e.scratch)}
	t := e.named[k]
	if t == nil {
		if len(e.named) >= maxNamed { // a stream may have any number of them
			clear(e.named)
		}
		if e.named == nil {
			e.named = make(map[namedType]*recordType)
		}
		t = newType(n, k.name)
		e.named[k] = t
	}
	return t
}

// namedType is a type that the tables have no name for.
type namedType struct {
	number uint32
	name   string
}
