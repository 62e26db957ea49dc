package record

import (
	"bytes"
	"strconv"
	"sync"
)

// Record types that the relay has to know, by their numbers (linux/audit.h; those of programs
// and of auditd itself: audit-records.h).
const (
	TypeUser           uint32 = 1005
	TypeLogin          uint32 = 1006
	TypeUserAuth       uint32 = 1100
	TypeUserAVC        uint32 = 1107
	TypeUserLogin      uint32 = 1112
	TypeUserSELinuxErr uint32 = 1122
	TypeUserTTY        uint32 = 1124
	TypeDaemonStart    uint32 = 1200
	TypeDaemonEnd      uint32 = 1201
	TypeDaemonAbort    uint32 = 1202
	TypeDaemonConfig   uint32 = 1203
	TypeDaemonReconfig uint32 = 1204
	TypeDaemonRotate   uint32 = 1205
	TypeDaemonResume   uint32 = 1206
	TypeDaemonErr      uint32 = 1209
	TypeSyscall        uint32 = 1300
	TypePath           uint32 = 1302
	TypeIPC            uint32 = 1303
	TypeSocketcall     uint32 = 1304
	TypeConfig         uint32 = 1305
	TypeSockaddr       uint32 = 1306
	TypeCWD            uint32 = 1307
	TypeExecve         uint32 = 1309
	TypeIPCSet         uint32 = 1311
	TypeMQOpen         uint32 = 1312
	TypeMQSendrecv     uint32 = 1313
	TypeMQNotify       uint32 = 1314
	TypeMQGetset       uint32 = 1315
	TypeFDPair         uint32 = 1317
	TypeObjPID         uint32 = 1318
	TypeTTY            uint32 = 1319
	TypeEOE            uint32 = 1320
	TypeBprmFcaps      uint32 = 1321
	TypeCapset         uint32 = 1322
	TypeMmap           uint32 = 1323
	TypeNetfilter      uint32 = 1324
	TypeNetfilterCfg   uint32 = 1325
	TypeSeccomp        uint32 = 1326
	TypeProctitle      uint32 = 1327
	TypeFeature        uint32 = 1328
	TypeReplace        uint32 = 1329
	TypeKernModule     uint32 = 1330
	TypeInjOffset      uint32 = 1332
	TypeAdjNtp         uint32 = 1333
	TypeListener       uint32 = 1335
	TypeUring          uint32 = 1336
	TypeOpenat2        uint32 = 1337
	TypeAVC            uint32 = 1400
	TypeSELinuxErr     uint32 = 1401
	TypeMACLoad        uint32 = 1403
	TypeTaskContexts   uint32 = 1420
	TypeObjContexts    uint32 = 1421
	TypeLandlockAccess uint32 = 1423
	TypeAnomPromisc    uint32 = 1700
	TypeAnomAbend      uint32 = 1701
	TypeAnomLink       uint32 = 1702
	TypeKernel         uint32 = 2000
	TypeCryptoKeyUser  uint32 = 2404
)

// The range of type numbers that have names (linux/audit.h: 1000 to 2999).
const FirstType, LastType uint32 = 1000, 2999

// typeNumbers are the numbers of the types' names: made when first asked for one that is not
// among the usual.
var typeNumbers = sync.OnceValue(func() map[string]uint32 {
	numbers := make(map[string]uint32, 256)
	for i, name := range typeNames {
		if name != "" {
			numbers[name] = FirstType + uint32(i)
		}
	}
	return numbers
})

// NamedType is where the numbers of types begin that are known by their names only:
// a newer auditd has names that the tables lack. Such a number is made of the name, so
// that it is the same in the stream, in audit.log and in a spool, and takes no memory
// whatever names come. Two names may share one: the name itself is asked of the
// record (Batch.AppendType). The kernel has none of these numbers: its own have 16 bits.
const NamedType = 1 << 31

// namedDaemon is set in the numbers of names that begin with DAEMON_.
const namedDaemon = 1 << 30

// OfDaemon reports whether records of type n are auditd's own, which have serials of
// their own: 1200 to 1299.
func OfDaemon(n uint32) bool { return n/100 == 12 || n >= NamedType|namedDaemon }

// OfProgram reports whether records of type n are sent by programs, which say what they like
// in them.
func OfProgram(n uint32) bool {
	return n == TypeUser || (n >= 1100 && n < 1200) || (n >= 2100 && n < 3000)
}

// Alone reports whether a record of type n makes up an event by itself, but for what the kernel
// adds: messages of programs and the kernel's own (auparse, audit_is_last_record).
func Alone(n uint32) bool {
	return n == TypeUser || (n >= 1100 && n < 1200) || (n >= TypeKernel && n < NamedType)
}

// IsPart reports whether records of type n only say more of what another record of the event says.
func IsPart(n uint32) bool {
	switch n {
	case TypePath, TypeSockaddr, TypeCWD, TypeExecve, TypeProctitle, TypeEOE:
		return true
	}
	return false
}

// MainOf returns which of an event's records is the main one, whose fields are the event's own: the
// first SYSCALL, else the first that is no part; -1 when there are only parts.
func MainOf(recs []Record) int {
	first := -1
	for k := range recs {
		switch n := recs[k].Type; {
		case n == TypeSyscall:
			return k
		case first < 0 && !IsPart(n):
			first = k
		}
	}
	return first
}

// maxTypeName is the most bytes that the name of a type has. auditd's have 30 at most.
const maxTypeName = 64

// TypeNumber returns the number of a record type name: that of the tables, else one
// from NamedType on; 0 for what cannot be the name of a type. "UNKNOWN[n]", which
// auditd writes for types it has no name for, is n.
func TypeNumber(name []byte) uint32 {
	switch string(name) { // nine of ten records are of these
	case "SYSCALL":
		return TypeSyscall
	case "PATH":
		return TypePath
	case "CWD":
		return TypeCWD
	case "PROCTITLE":
		return TypeProctitle
	case "EOE":
		return TypeEOE
	}

	if n, ok := typeNumbers()[string(name)]; ok {
		return n
	}
	if n, ok := unknownNumber(name); ok {
		return n
	}
	return namedNumber(name)
}

// HasTypeName reports whether the tables have a name for type n.
func HasTypeName(n uint32) bool {
	return n >= FirstType && n <= LastType && typeNames[n-FirstType] != ""
}

func unknownNumber(name []byte) (number uint32, ok bool) {
	const prefix = "UNKNOWN["
	if len(name) < len(prefix)+2 || string(name[:len(prefix)]) != prefix || name[len(name)-1] != ']' {
		return 0, false
	}
	n, rest, ok := ReadDigits(name[len(prefix):], 10)
	if !ok || len(rest) != 1 || n >= NamedType {
		return 0, false
	}
	return uint32(n), true
}

// namedNumber makes a number of a name that the tables lack (FNV-1a).
func namedNumber(name []byte) uint32 {
	if !isTypeName(name) {
		return 0
	}
	h := uint32(2166136261)
	for _, c := range name {
		h = (h ^ uint32(c)) * 16777619
	}
	h &= namedDaemon - 1
	if HasPrefix(name, "DAEMON_") {
		h |= namedDaemon
	}
	return NamedType | h
}

// isTypeName reports whether auditd could call a type so: in letters, digits, '_' and
// '-', or UNKNOWN[n], n being digits. What is no name makes no header, and what is one can be written
// into any format as it stands.
func isTypeName(name []byte) bool {
	if len(name) == 0 || len(name) > maxTypeName {
		return false
	}
	if n := len(name) - 1; HasPrefix(name, "UNKNOWN[") && name[n] == ']' {
		digits := name[len("UNKNOWN["):n]
		return len(digits) > 0 && CountDigits(digits) == len(digits)
	}
	for _, c := range name {
		if c-'A' >= 26 && c-'a' >= 26 && !IsDigit(c) && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

// AppendTypeName appends the name of type n as auditd prints it. A record of a type
// that the tables lack may say more: see Batch.AppendType.
func AppendTypeName(dst []byte, n uint32) []byte {
	if HasTypeName(n) {
		return append(dst, typeNames[n-FirstType]...)
	}
	dst = append(dst, "UNKNOWN["...)
	dst = strconv.AppendUint(dst, uint64(n), 10)
	return append(dst, ']')
}

// AppendType appends the name of record i's type: that of the tables, else the one the
// record itself has.
func (b *Batch) AppendType(dst []byte, i int) []byte {
	n := b.Recs[i].Type
	if n != 0 && !HasTypeName(n) {
		if name := b.typeText(i); name != nil {
			return append(dst, name...)
		}
	}
	return AppendTypeName(dst, n)
}

// SameType reports whether records i and j are of one type.
func (b *Batch) SameType(i, j int) bool {
	n := b.Recs[i].Type
	return n == b.Recs[j].Type && (n < NamedType || string(b.typeText(i)) == string(b.typeText(j)))
}

// typeText returns NAME of the "type=NAME " that record i begins with; nil without.
func (b *Batch) typeText(i int) []byte {
	r := &b.Recs[i]
	if r.Kind != Line && r.Kind != Ver1 {
		return nil
	}
	text := b.AfterNode(i)
	if !HasPrefix(text, "type=") {
		return nil
	}
	text = text[len("type="):]
	end := bytes.IndexByte(text[:min(maxTypeName+1, len(text))], ' ')
	if end < 0 || !isTypeName(text[:end]) {
		return nil
	}
	return text[:end]
}

// typeOf returns the number of record i's type by which it is known everywhere: a frame
// may have a number for which audit.log has a name that the tables lack.
func (b *Batch) typeOf(i int) uint32 {
	r := &b.Recs[i]
	if r.Kind == Ver1 && r.Type != 0 && !HasTypeName(r.Type) {
		if name := b.typeText(i); name != nil {
			return TypeNumber(name)
		}
	}
	return r.Type
}
