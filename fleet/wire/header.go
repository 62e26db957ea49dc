package wire

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Names of the fields in the header of a batch. Engines keep their case (NATS) or not.
const (
	NameHost     = "Audit-Host"
	NameName     = "Audit-Name"
	NameBoot     = "Audit-Boot"
	NameEpoch    = "Audit-Epoch"
	NameSink     = "Audit-Sink"
	NameSeq      = "Audit-Seq"
	NameCount    = "Audit-Count"
	NameLast     = "Audit-Last"
	NameFormat   = "Audit-Format"
	NameEncoding = "Audit-Encoding"
	NamePart     = "Audit-Part"
	NameFirst    = "Audit-First"
	NameUntil    = "Audit-Until"
)

// Zstd is the Encoding of a compressed body: one zstd frame.
const Zstd = "zstd"

// Bounds of what Parse takes.
const (
	maxName  = 255 // of a host name or a sink's, bytes
	maxWord  = 32  // of a format or an encoding
	maxParts = 1 << 16
	maxField = 512 // of any value
)

// timeFormat is RFC 3339 in UTC with milliseconds.
const timeFormat = "2006-01-02T15:04:05.000Z"

// Header is what a batch says of itself. All parts of one batch have the same header but for
// Part; their bodies one after the other are the body of the batch.
type Header struct {
	Host  string // machine-id, see ValidHost
	Name  string // host name, at most 255 bytes; whatever the host says: escape it
	Boot  string // boot id without dashes: serials begin again with it
	Epoch string // see NewEpoch: Seq begins again with it
	Sink  string // name of the sink in the host's configuration

	// Seq is the number of the batch's first record for this sink, from 1, without holes:
	// what the filter left out has none, markers of losses have one. Count is how many
	// records it has; with events, how many events.
	Seq   uint64
	Count uint64

	Last     Last   // where to continue in audit.log
	Format   string // "string", "binary", "json", ...
	Encoding string // "" or Zstd
	Part     Part   // zero: the batch is whole

	// First and Until are the times of the earliest and latest record, to the millisecond;
	// zero where no record has one.
	First, Until time.Time
}

// Last is the id of the last record of a batch that has one, and how many records of that event
// this sink has got up to it, from 1. Zero: no record has one.
type Last struct {
	Millis int64 // since 1970
	Serial uint32
	N      uint32
}

// Part is K of N, from 1, of a batch that is larger than the engine takes. Zero: it is whole.
type Part struct{ K, N int }

// Field is a name and a value of a header, or of attributes.
type Field struct{ Name, Value string }

// Next returns the Seq of the batch that follows this one.
func (h *Header) Next() uint64 { return h.Seq + h.Count }

// Append appends the fields of h, those that are empty left out, and returns the list. Times
// and numbers are written as Parse reads them; what Parse refuses is written as it is, but for
// control characters and too long names, which no header may have.
func (h *Header) Append(to []Field) []Field {
	add := func(name, value string) {
		if value != "" {
			to = append(to, Field{name, value})
		}
	}

	add(NameHost, h.Host)
	add(NameName, Clean(h.Name, maxName))
	add(NameBoot, h.Boot)
	add(NameEpoch, h.Epoch)
	add(NameSink, Clean(h.Sink, maxName))
	add(NameSeq, strconv.FormatUint(h.Seq, 10))
	add(NameCount, strconv.FormatUint(h.Count, 10))
	add(NameLast, h.Last.String())
	add(NameFormat, h.Format)
	add(NameEncoding, h.Encoding)
	add(NamePart, h.Part.String())
	add(NameFirst, timeText(h.First))
	add(NameUntil, timeText(h.Until))
	return to
}

// Map returns the fields as the header of a NATS message has them (nats.Header).
func (h *Header) Map() map[string][]string {
	fields := h.Append(make([]Field, 0, 16))
	m := make(map[string][]string, len(fields))
	for _, f := range fields {
		m[f.Name] = []string{f.Value}
	}
	return m
}

// Parse reads a header from the values that get returns, "" for a field that is not there
// (nats.Header.Get). Any values may come: what is no header of a batch is an error that says
// which field is wrong, and leaves h as it was.
func (h *Header) Parse(get func(name string) string) error {
	r := fieldReader{get: get}
	read := Header{
		Host:     r.value(NameHost, ValidHost),
		Name:     r.value(NameName, printable),
		Boot:     r.value(NameBoot, optional(func(s string) bool { return isHex(s, hostLen) })),
		Epoch:    r.value(NameEpoch, ValidEpoch),
		Sink:     r.value(NameSink, func(s string) bool { return s != "" && printable(s) }),
		Format:   r.value(NameFormat, optional(isWord)),
		Encoding: r.value(NameEncoding, optional(isWord)),
	}

	read.Seq, read.Count = r.number(NameSeq), r.number(NameCount)
	read.First, read.Until = r.time(NameFirst), r.time(NameUntil)
	parseField(&r, NameLast, parseLast, &read.Last)
	parseField(&r, NamePart, parsePart, &read.Part)
	if r.err == nil && (read.Seq == 0 || read.Seq > math.MaxInt64 || read.Count > math.MaxInt64) {
		r.fail(NameSeq, get(NameSeq))
	}
	if r.err == nil {
		*h = read
	}
	return r.err
}

// fieldReader reads the fields of a header, and keeps the first error.
type fieldReader struct {
	get func(string) string
	err error
}

func (r *fieldReader) fail(name, value string) {
	if r.err == nil {
		r.err = fmt.Errorf("no header of a batch: %s is %.64q", name, value)
	}
}

// value returns a field that is as ok wants it.
func (r *fieldReader) value(name string, ok func(string) bool) string {
	value := r.get(name)
	if len(value) > maxField || !ok(value) {
		r.fail(name, value)
		return ""
	}
	return value
}

// number returns a field that has to be there.
func (r *fieldReader) number(name string) uint64 {
	n, ok := decimal(r.get(name), 64)
	if !ok {
		r.fail(name, r.get(name))
	}
	return n
}

// time returns a time that need not be there.
func (r *fieldReader) time(name string) time.Time {
	value := r.get(name)
	if value == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339Nano, value)
	if err != nil || len(value) > maxWord {
		r.fail(name, value)
		return time.Time{}
	}
	return t.UTC().Truncate(time.Millisecond)
}

// parseField reads a field that need not be there.
func parseField[T any](r *fieldReader, name string, parse func(string) (T, bool), to *T) {
	value := r.get(name)
	if value == "" {
		return
	}
	read, ok := parse(value)
	if !ok {
		r.fail(name, value)
		return
	}
	*to = read
}

// String returns "SEC.MS:SERIAL/N", "" for none.
func (l Last) String() string {
	if l == (Last{}) {
		return ""
	}
	return fmt.Sprintf("%d.%03d:%d/%d", l.Millis/1000, l.Millis%1000, l.Serial, l.N)
}

func parseLast(s string) (l Last, ok bool) {
	sec, rest, _ := strings.Cut(s, ".")
	ms, rest, _ := strings.Cut(rest, ":")
	serial, count, _ := strings.Cut(rest, "/")
	whole, ok1 := decimal(sec, 48)
	part, ok2 := decimal(ms, 10)
	number, ok3 := decimal(serial, 32)
	n, ok4 := decimal(count, 32)
	if !ok1 || !ok2 || !ok3 || !ok4 || len(ms) != 3 {
		return Last{}, false
	}
	return Last{Millis: int64(whole)*1000 + int64(part), Serial: uint32(number), N: uint32(n)}, true
}

// String returns "K/N", "" for a batch that is whole.
func (p Part) String() string {
	if p == (Part{}) {
		return ""
	}
	return strconv.Itoa(p.K) + "/" + strconv.Itoa(p.N)
}

func parsePart(s string) (Part, bool) {
	k, n, _ := strings.Cut(s, "/")
	part, ok1 := decimal(k, 32)
	of, ok2 := decimal(n, 32)
	if !ok1 || !ok2 || part < 1 || part > of || of > maxParts {
		return Part{}, false
	}
	return Part{int(part), int(of)}, true
}

// decimal reads a number of that many bits that has no sign and no zero in front.
func decimal(s string, bits int) (uint64, bool) {
	n, err := strconv.ParseUint(s, 10, bits)
	return n, err == nil && s[0] != '+'
}

func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(timeFormat)
}

// optional makes a check that has no objection to nothing.
func optional(ok func(string) bool) func(string) bool {
	return func(s string) bool { return s == "" || ok(s) }
}

// isWord reports whether s is a name of a format or an encoding.
func isWord(s string) bool {
	return len(s) <= maxWord && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-_") == ""
}

// printable reports whether s is short and has no control characters.
func printable(s string) bool { return len(s) <= maxName && Clean(s, maxName) == s }

// Clean returns s as a header and a terminal may have it: without control characters and what
// is no UTF-8, each of which becomes a question mark, and at most n bytes of it.
func Clean(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == utf8.RuneError || (r >= 0x7f && r < 0xa0) {
			return '?'
		}
		return r
	}, s)
	for len(s) > n {
		_, size := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-size]
	}
	return s
}
