package record

import (
	"bytes"
	"hash/crc32"
	"strconv"
)

// ID distinguishes a record from all others: its event, its type and a checksum of
// its text. It is the same whether the record came as a line, as a frame or
// from audit.log: node= and type= prefixes and trailing blanks, in which these
// differ, are left out, and a newline counts as the space auditd makes of it.
type ID struct {
	Millis int64  `json:"millis"` // time of the event, ms since 1970
	Serial uint32 `json:"serial"`
	Type   uint32 `json:"type"`
	Sum    uint32 `json:"sum"` // CRC-32C of "audit(SEC.MS:SERIAL): ..."
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ID returns the identity of record i; of one without a readable header it is
// the checksum of its text alone.
func (b *Batch) ID(i int) ID {
	r := &b.Recs[i]
	text := b.Text(i)
	sum := crc32.Checksum(text, castagnoli)
	if bytes.IndexByte(text, '\n') >= 0 {
		sum = crc32.Checksum(bytes.ReplaceAll(text, []byte{'\n'}, []byte{' '}), castagnoli)
	}
	return ID{Millis: r.Millis, Serial: r.Serial, Type: b.typeOf(i), Sum: sum}
}

// Text returns the part of record i that stream and log have in common: from
// "audit(" on, without blanks, newlines and NULs at its end.
func (b *Batch) Text(i int) []byte {
	text := b.Bytes(i)
	from := bytes.LastIndexByte(b.Header(i), '(') - len("audit") // the id has no parenthesis
	return TrimEnd(text[max(0, from):])
}

// The kernel's serials begin again with each boot: an event is of another boot than those before
// it if its serial is more than RebootSerials below theirs and its time more than RebootMillis after
// theirs. Neither alone says so: events come late, and clocks are set.
const (
	RebootSerials = 1024
	RebootMillis  = 10_000
)

// AppendEventID appends "SEC.MS:SERIAL", as records have it.
func AppendEventID(dst []byte, millis int64, serial uint32) []byte {
	dst = strconv.AppendInt(dst, millis/1000, 10)
	ms := millis % 1000
	dst = append(dst, '.', byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10), ':')
	return strconv.AppendUint(dst, uint64(serial), 10)
}
