package otlp

import (
	"hash/crc32"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	collector "go.opentelemetry.io/proto/slim/otlp/collector/logs/v1"
	common "go.opentelemetry.io/proto/slim/otlp/common/v1"
	logs "go.opentelemetry.io/proto/slim/otlp/logs/v1"
	resource "go.opentelemetry.io/proto/slim/otlp/resource/v1"
	"google.golang.org/protobuf/proto"

	"audisp-relay/audit/record"
	"audisp-relay/format"
	"audisp-relay/host"
)

// event is one event of a batch: its records, and the line that the sink's format makes of it.
type event struct {
	from, to int // records of the batch
	body     []byte
}

// size is about how many bytes of a request it takes.
func (e *event) size(original bool, b *record.Batch) int {
	n := len(e.body) + perEvent + int(b.Recs[e.from].NodeLen) // which may be an attribute
	if original {
		for k := e.from; k < e.to; k++ {
			n += int(b.Recs[k].Len)
		}
	}
	return n
}

// perEvent is about what a log record has besides body and original.
const perEvent = 180

// cutEvents appends to list the events of a batch that was encoded. One that has no bytes in the
// format is among them, with an empty body.
func cutEvents(list []event, b *record.Batch, out *format.Encoded) []event {
	start := 0
	for i := 0; i < out.Len(); {
		j := min(format.EventEnd(b, i), out.Len())
		end := out.End(j - 1)
		body := out.Bytes[start:end]
		if n := len(body); n > 0 && body[n-1] == '\n' {
			body = body[:n-1]
		}
		list = append(list, event{i, j, body})
		start, i = end, j
	}
	return list
}

// message is an ExportLogsServiceRequest that is filled again and again, so that an event costs no
// allocation. What is put in is not copied: the events' bytes have to last until it is encoded.
type message struct {
	original bool
	prefix   string // of log.record.uid: machine and boot
	// strip, where it is not nil, takes node= out of the records' text: the name is an attribute then.
	strip *format.Encoder
	now   func() time.Time

	request collector.ExportLogsServiceRequest
	scope   *logs.ScopeLogs
	host    value // host.name
	entries []*entry
	text    []byte            // what the log records' own strings are made of
	names   map[uint32]string // event_name of types that have a name in the tables
	list    []*logs.LogRecord
}

// entry is a log record with all that it points at.
type entry struct {
	rec      logs.LogRecord
	body     value
	node     attribute
	uid      attribute
	original attribute
	all      [3]*common.KeyValue // these, in this order
}

type attribute struct {
	kv common.KeyValue
	value
}

// value is an AnyValue of text, or of bytes where they are no text: protobuf's strings are UTF-8.
type value struct {
	any  common.AnyValue
	text common.AnyValue_StringValue
	raw  common.AnyValue_BytesValue
}

func (v *value) set(b []byte) {
	if utf8.Valid(b) {
		v.text.StringValue = record.Alias(b)
		v.any.Value = &v.text
		return
	}
	v.raw.BytesValue = b
	v.any.Value = &v.raw
}

func (a *attribute) init(key string) *common.KeyValue {
	a.kv.Key, a.kv.Value = key, &a.any
	return &a.kv
}

// identity is which machine, and which boot of it, records are sent from: 32 hex digits each. Either is
// "" where it cannot be read.
type identity struct{ machine, boot string }

func thisHost() identity {
	machine, _ := host.MachineID()
	return identity{machine, host.BootID()}
}

// newMessage returns a message of one host.
func newMessage(id identity, original bool) *message {
	m := &message{original: original, prefix: id.machine + "/" + id.boot + "/", now: time.Now, names: make(map[uint32]string)}
	m.scope = &logs.ScopeLogs{Scope: &common.InstrumentationScope{Name: "audisp-relay"}}
	attributes := []*common.KeyValue{stringAttribute("service.name", "auditd"), {Key: "host.name", Value: &m.host.any}}
	if id.machine != "" {
		attributes = append(attributes, stringAttribute("host.id", id.machine))
	}
	m.request.ResourceLogs = []*logs.ResourceLogs{{
		Resource:  &resource.Resource{Attributes: attributes},
		ScopeLogs: []*logs.ScopeLogs{m.scope},
	}}
	m.setHost("")
	return m
}

func stringAttribute(key, text string) *common.KeyValue {
	return &common.KeyValue{Key: key, Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: text}}}
}

// setHost sets host.name.
func (m *message) setHost(name string) { m.host.set([]byte(strings.ToValidUTF8(name, "?"))) }

// fill makes the message one of these events of b.
func (m *message) fill(b *record.Batch, events []event) {
	m.text, m.list = m.text[:0], m.list[:0]
	observed := uint64(m.now().UnixNano())
	for i := range events {
		if i == len(m.entries) {
			m.entries = append(m.entries, m.newEntry())
		}
		e := m.entries[i]
		m.put(e, b, &events[i])
		e.rec.ObservedTimeUnixNano = observed
		m.list = append(m.list, &e.rec)
	}
	m.scope.LogRecords = m.list
}

func (m *message) newEntry() *entry {
	e := new(entry)
	e.rec.Body = &e.body.any
	e.all = [3]*common.KeyValue{e.node.init("host.name"), e.uid.init("log.record.uid"), e.original.init("log.record.original")}
	return e
}

const nanosPerMilli = 1_000_000

// put makes e the log record of an event.
func (m *message) put(e *entry, b *record.Batch, ev *event) {
	main := max(record.MainOf(b.Recs[ev.from:ev.to]), 0) + ev.from
	e.body.set(ev.body)
	e.rec.TimeUnixNano, e.rec.EventName = 0, ""
	e.rec.SeverityNumber = severityOf(b, ev.from, ev.to)
	e.rec.SeverityText = severityText(e.rec.SeverityNumber)
	from, to := 2, 2 // of all: none
	if r := &b.Recs[main]; r.HasID() {
		if r.Millis > 0 && r.Millis <= math.MaxInt64/nanosPerMilli { // they end in 2262
			e.rec.TimeUnixNano = uint64(r.Millis) * nanosPerMilli
		}
		e.rec.EventName = m.eventName(b, main)
		e.uid.set(m.uid(b, ev))
		from = 1
		if name := m.node(b, ev.from); len(name) > 0 {
			e.node.set(name)
			from = 0
		}
	}

	if m.original {
		e.original.set(m.records(b, ev))
		to = 3
	}
	e.rec.Attributes = e.all[from:to]
}

// node is the name that was taken out of the text of record i; nil where none is.
func (m *message) node(b *record.Batch, i int) []byte {
	if m.strip == nil {
		return nil
	}
	start := len(m.text)
	m.text = m.strip.AppendNode(m.text, b, i)
	return m.text[start:len(m.text):len(m.text)]
}

// eventName is "auditd." and the type of record i in lower case.
func (m *message) eventName(b *record.Batch, i int) string {
	typ := b.Recs[i].Type
	if name, known := m.names[typ]; known {
		return name
	}
	name := "auditd." + strings.ToLower(string(b.AppendType(nil, i)))
	if record.HasTypeName(typ) { // of others there may be any number
		m.names[typ] = name
	}
	return name
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// uid is by what a receiver knows an event that it has got twice: machine, boot and id. Of an event
// that was given in parts, which all have its id, a checksum of the records follows: each part is
// to be kept.
func (m *message) uid(b *record.Batch, ev *event) []byte {
	r, start := &b.Recs[ev.from], len(m.text)
	m.text = append(m.text, m.prefix...)
	m.text = record.AppendEventID(m.text, r.Millis, r.Serial)
	if b.Recs[ev.to-1].Flags&record.Partial != 0 {
		sum := uint32(0)
		for k := ev.from; k < ev.to; k++ {
			sum = crc32.Update(sum, castagnoli, b.Text(k))
		}
		m.text = append(m.text, "/part-"...)
		m.text = strconv.AppendUint(m.text, uint64(sum), 16)
	}
	return m.text[start:len(m.text):len(m.text)]
}

// records is the text of an event's records, a line each.
func (m *message) records(b *record.Batch, ev *event) []byte {
	start := len(m.text)
	for k := ev.from; k < ev.to; k++ {
		if k > ev.from && b.Recs[k].Flags&record.Cont == 0 {
			m.text = append(m.text, '\n')
		}
		text := b.Bytes(k)
		if m.strip != nil {
			text = text[b.NodeEnd(k):]
		}
		if n := len(text); n > 0 && text[n-1] == '\n' {
			text = text[:n-1]
		}
		m.text = append(m.text, text...)
	}
	return m.text[start:len(m.text):len(m.text)]
}

// encode appends the message as protobuf.
func (m *message) encode(dst []byte) ([]byte, error) {
	return proto.MarshalOptions{}.MarshalAppend(dst, &m.request)
}
