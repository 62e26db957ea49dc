package integrity

import (
	"bytes"
	"math/bits"
	"strconv"

	"audisp-relay/audit/record"
)

// parts is a set of the record types an event is judged by.
type parts uint8

const (
	partCall     parts = 1 << iota // SYSCALL or URINGOP
	partPath                       // PATH, as many as items= says
	partCWD                        // CWD
	partTitle                      // PROCTITLE
	partExecve                     // EXECVE, all arguments
	partSockaddr                   // SOCKADDR
	partEOE
	partOther // another record that only comes with a system call

	numParts = 6 // those that can be missed
)

// certain are the parts that the rest of the event proves to exist. The others
// are expected where they have been the rule (expectedParts).
const certain = partCall | partPath | partExecve

// completeness is what the records of one event say of its completeness.
type completeness struct {
	has     parts
	want    parts  // by what its SYSCALL and PATH records say
	items   uint32 // PATH records it should have
	paths   uint32 // PATH records it has
	argc    uint32 // arguments its EXECVE records should have
	args    uint32 // arguments they have
	pieces  uint32 // digits that arguments in pieces should have
	digits  uint32 // digits that those have
	mayHide bool   // the call may have one PATH less than items= says
	addr    uint32 // bytes that its address should have, 0: not known
	addrHas uint32 // bytes that its address has
}

// add takes in one record that is no EXECVE; body is its text after the id.
func (s *completeness) add(typ uint32, body []byte) {
	switch typ {
	case record.TypeSyscall:
		s.want |= partTitle
		s.addCall(body)
	case record.TypeUring:
		s.addCall(body)
	case record.TypePath:
		s.paths++
		s.has |= partPath
		// Only a path that was looked up has a working directory. One from a
		// file descriptor has none before Linux 5.
		if !unnamed(body) {
			s.want |= partCWD
		}
	case record.TypeCWD:
		s.has |= partCWD
	case record.TypeProctitle:
		s.has |= partTitle
	case record.TypeSockaddr:
		s.has |= partSockaddr
		s.addrHas = addressBytes(body)
	case record.TypeEOE:
		s.has |= partEOE
	case record.TypeIPC, record.TypeSocketcall, record.TypeIPCSet, record.TypeMQOpen, record.TypeMQSendrecv, record.TypeMQNotify, record.TypeMQGetset,
		record.TypeFDPair, record.TypeObjPID, record.TypeBprmFcaps, record.TypeCapset, record.TypeMmap, record.TypeKernModule, record.TypeOpenat2:
		s.has |= partOther
	}
}

// unnamed reports whether a PATH record says name=(null).
func unnamed(body []byte) bool {
	const head, null = len("item="), len(" name=(null)")
	if len(body) < head || string(body[:head]) != "item=" {
		return false
	}
	body = body[head:]
	body = body[record.CountDigits(body):]
	return len(body) >= null && string(body[:null]) == " name=(null)"
}

// addCall reads "arch=c000003e syscall=59 success=yes ... items=2"
// (kernel/auditsc.c, audit_log_exit and audit_log_uring).
func (s *completeness) addCall(body []byte) {
	s.has |= partCall
	const arch, head, end = len("arch="), len("arch=c000003e"), len("arch=c000003e syscall=")
	if len(body) < end || string(body[:arch]) != "arch=" || string(body[head:end]) != " syscall=" {
		s.mayHide = bytes.HasPrefix(body, []byte("arch=")) // of another length: not known either
		s.addItems(body)
		return
	}

	rest := body[end:]
	n := number(rest)
	digits := record.CountDigits(rest)
	if digits > 9 { // x32, a set bit 30
		x, _ := strconv.ParseUint(string(rest[:min(digits, 19)]), 10, 64)
		n = uint32(x) &^ (1 << 30)
	}
	rest = rest[digits:]

	const success = len(" success=yes exit")
	yes := len(rest) > success && string(rest[:success]) == " success=yes exit"
	if yes {
		s.addItems(rest[success:])
	} else {
		s.addItems(rest)
	}

	c := callsOf(body[arch:head])
	if c == nil {
		s.mayHide = true
		return
	}
	switch n {
	case c.mqOpen, c.mqUnlink:
		s.mayHide = true
	case c.execve, c.execveat:
		if yes {
			s.want |= partExecve
		}
	case c.bind, c.connect:
		size := addressSize(rest)
		if size > 0 && (yes || !addressUnread(rest)) {
			s.want |= partSockaddr
			s.addr = size
		}
	}
}

// addItems reads items=. Few letters i stand before it, which makes this quicker
// than to search for the word.
func (s *completeness) addItems(body []byte) {
	for {
		k := bytes.IndexByte(body, 'i')
		if k < 0 {
			return
		}
		body = body[k+1:]
		const name = len("tems=")
		if len(body) > name && string(body[:name]) == "tems=" {
			body = body[name:]
			break
		}
	}
	if s.items = number(body); s.items > 0 {
		s.want |= partPath
	}
}

// addressUnread reports whether a call failed in a way that says nothing of
// whether its address was read: EBADF, ENOMEM, EFAULT, EINVAL, ENOTSOCK.
func addressUnread(rest []byte) bool {
	rest, ok := bytes.CutPrefix(rest, []byte(" success=no exit=-"))
	if !ok {
		return true
	}
	switch number(rest) {
	case 9, 12, 14, 22, 88:
		return true
	}
	return false
}

// addressSize returns how long the address is that a call of bind or connect was
// given, its third argument: 0 where it has none, or none that the kernel takes
// (net/socket.c, move_addr_to_kernel).
func addressSize(rest []byte) uint32 {
	const name, longest = "a2=", 128 // struct sockaddr_storage
	for !bytes.HasPrefix(rest, []byte(name)) {
		k := bytes.IndexByte(rest, ' ')
		if k < 0 {
			return 0
		}
		rest = rest[k+1:]
	}
	value, _, _ := bytes.Cut(rest[len(name):], []byte{' '})
	size, err := strconv.ParseUint(string(value), 16, 64)
	if err != nil || uint32(size) > longest { // it is an int: the upper half is not looked at
		return 0
	}
	return uint32(size)
}

// addressBytes returns how many bytes the hex of a SOCKADDR record has.
func addressBytes(body []byte) uint32 {
	hex, ok := bytes.CutPrefix(body, []byte("saddr="))
	if !ok {
		return 0
	}
	hex, _, _ = bytes.Cut(hex, []byte{record.Separator})
	// Where the address has lost its end, another record may follow at once.
	n := len(hex)
	if n > 0 && noHex[hex[n-1]] == 0 && bytes.IndexByte(hex, '=') < 0 {
		return uint32(n) / 2
	}
	n = 0
	for n < len(hex) && noHex[hex[n]] == 0 {
		n++
	}
	return uint32(n) / 2
}

// calls are the numbers of the system calls whose events have something
// special: a successful exec has EXECVE, bind and connect have SOCKADDR; mq_open
// and mq_unlink hide the PATH of a parent that items= counts
// (audit_inode_parent_hidden).
type calls struct {
	execve, execveat, bind, connect, mqOpen, mqUnlink uint32
}

var (
	callsX86     = &calls{59, 322, 49, 42, 240, 241}
	callsI386    = &calls{11, 358, 361, 362, 277, 278}
	callsGeneric = &calls{221, 281, 200, 203, 180, 181}
	callsARM     = &calls{11, 387, 282, 283, 274, 275}
	callsPPC     = &calls{11, 362, 327, 328, 262, 263}
	callsS390    = &calls{11, 354, 361, 362, 271, 272}
)

// callsOf returns the calls of an architecture, nil where they are not known: there any
// call may hide a PATH.
func callsOf(arch []byte) *calls {
	switch string(arch) {
	case "c000003e": // x86_64
		return callsX86
	case "40000003": // i386
		return callsI386
	case "c00000b7", "c00000f3", "c0000102": // aarch64, riscv64, loongarch64
		return callsGeneric
	case "40000028": // arm
		return callsARM
	case "c0000015", "80000015": // ppc64le, ppc64
		return callsPPC
	case "80000016": // s390x
		return callsS390
	}
	return nil
}

// addExecve counts the arguments in one of the event's EXECVE records. The first
// record says argc=. A long argument comes in pieces, "a2_len=N a2[0]=HEX" and in
// the next records "a2[1]=HEX", N digits in all; a piece is the first or the last
// field of its record (kernel/auditsc.c, audit_log_execve_info).
// tail is the length of its last field, -1 where that is not known.
func (s *completeness) addExecve(body []byte, tail int) {
	if rest, ok := bytes.CutPrefix(body, []byte("argc=")); ok {
		s.argc = number(rest)
		body = bytes.TrimLeft(rest[record.CountDigits(rest):], " ")
		s.has |= partExecve
	}
	if tail < 0 || tail > len(body) {
		tail = len(body) - lastBlank(body) - 1
	}

	first, _, _ := bytes.Cut(body, []byte{' '})
	last := body[len(body)-tail:]
	if len(first) == 0 || len(last) == 0 || first[0] != 'a' || last[0] != 'a' {
		return
	}
	from, to := number(first[1:]), number(last[1:])
	if to < from {
		return
	}
	s.args += to - from + 1
	if n, piece := digitsOf(first); n > 0 {
		s.digits += n
		if piece > 0 {
			s.args-- // counted where it began
		}
	}

	if tail == len(body) {
		return
	}
	if n, _ := digitsOf(last); n > 0 {
		s.digits += n
		before := body[:len(body)-tail-1] // ends with "aN_len=DIGITS"
		if k := bytes.LastIndex(before[max(0, len(before)-32):], []byte("_len=")); k >= 0 {
			s.pieces += number(before[max(0, len(before)-32)+k+len("_len="):])
		}
	}
}

// digitsOf returns how long the piece of an argument in field "a2[1]=HEX" is, 0
// if it holds a whole one, and which piece it is.
func digitsOf(field []byte) (n, piece uint32) {
	k := 1 + record.CountDigits(field[1:])
	if k >= len(field) || field[k] != '[' {
		return 0, 0
	}
	field = field[k+1:]
	k = record.CountDigits(field)
	if !bytes.HasPrefix(field[k:], []byte("]=")) {
		return 0, 0
	}
	return uint32(len(field) - k - len("]=")), number(field)
}

// lacks returns the parts that should be there and are not.
func (s *completeness) lacks() parts {
	if s.has&partCall == 0 {
		if s.has != 0 || s.args > 0 {
			return partCall
		}
		return 0 // nothing that belongs to a system call
	}

	lack := s.want &^ s.has
	paths := s.paths
	if s.mayHide {
		paths++
	}
	if paths < s.items {
		lack |= partPath
	} else {
		lack &^= partPath
	}
	if (s.args > 0 && s.has&partExecve == 0) || s.args < s.argc || s.digits < s.pieces {
		lack |= partExecve
	}
	return lack
}

// number reads the decimal number b begins with; at most nine digits.
func number(b []byte) uint32 {
	n, _, _ := record.ReadDigits(b, 9)
	return uint32(n)
}

// expectedParts says which parts the events of a node have as a rule: an exclude rule
// can take PROCTITLE, CWD or any other type out, and old kernels lack some.
type expectedParts struct {
	score    [numParts]int8
	expected parts
	full     parts // those of the highest score
}

// A part is expected after scoreEnough events that had it; one that lacks it costs
// scoreCost, so that a loss of one in twenty is still seen as a loss.
const (
	scoreMax    = 64
	scoreEnough = 16
	scoreCost   = 8
)

// newExpectedParts expects every part: where one is excluded, the first look into the
// log shows it (forget). So an early loss is not taken for the rule.
func newExpectedParts() (h expectedParts) {
	for k := range h.score {
		h.score[k] = scoreMax
	}
	h.full = 1<<numParts - 1
	h.expected = h.full
	return h
}

// learnFrom takes in an event that was judged.
func (h *expectedParts) learnFrom(s *completeness, lack parts) {
	had := (s.want | partCall) & s.has
	for rest := lack | had&^h.full; rest != 0; rest &= rest - 1 {
		k := bits.TrailingZeros8(uint8(rest))
		part := parts(1) << k
		if lack&part != 0 {
			h.score[k] = max(0, h.score[k]-scoreCost)
			h.full &^= part
		} else if h.score[k]++; h.score[k] == scoreMax {
			h.full |= part
		}
		if h.score[k] >= scoreEnough {
			h.expected |= part
		} else {
			h.expected &^= part
		}
	}
}

// forget makes the parts unexpected: the log lacks them too.
func (h *expectedParts) forget(lack parts) {
	for k := range h.score {
		if lack>>k&1 != 0 {
			h.score[k] = 0
			h.expected &^= 1 << k
			h.full &^= 1 << k
		}
	}
}
