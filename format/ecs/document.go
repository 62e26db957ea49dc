package ecs

import (
	"net/netip"
	"strings"

	"audisp-relay/audit/record"
	"audisp-relay/format/jsontext"
)

// Version of the Elastic Common Schema whose field names are used.
const version = "9.4.0"

// appendLine appends the event's line. A string that is no UTF-8 has all of it written again,
// with percent signs.
func (e *Encoder) appendLine(dst []byte) []byte {
	from := len(dst)
	e.w = writer{jsontext.Writer{Buf: dst}}
	e.writeLine()
	if e.w.Bad {
		e.w = writer{jsontext.Writer{Buf: e.w.Buf[:from], Percent: true}}
		e.writeLine()
	}
	dst = append(e.w.Buf, '\n')
	e.w = writer{}
	return dst
}

func (e *Encoder) writeLine() {
	w, d := &e.w, &e.doc
	w.Buf = append(w.Buf, `{"@timestamp":`...)
	e.writeTimestamp()
	e.writeEvent()
	e.writeDataStream()
	w.Buf = append(w.Buf, `,"host":{`...)
	w.Some("name", d.node)
	if e.isLocal() {
		w.Some("id", e.opts.HostID)
	}
	w.Literal("os", `{"type":"linux"}},"service":{"type":"auditd"}`)
	e.writeUser()

	w.account("group", d.group)
	e.writeProcess()
	e.writePlace()
	e.writeFile()
	w.address("source", &d.source)
	w.address("destination", &d.dest)
	if d.direction != "" {
		m := w.Open("network", '{')
		w.Str("direction", d.direction)
		w.Close(m, '}')
	}

	e.writeTags()
	e.writeAuditd()
	e.writeLabels()
	w.Buf = append(w.Buf, `,"ecs":{"version":"`+version+`"}}`...)
}

// writeTimestamp writes the event's time. An index refuses an event without one.
func (e *Encoder) writeTimestamp() {
	millis := e.doc.millis
	if e.doc.written {
		millis = e.now().UnixMilli()
	}
	e.w.Buf = e.stamp.Append(e.w.Buf, millis)
}

func (e *Encoder) writeEvent() {
	w, d := &e.w, &e.doc
	w.Buf = append(w.Buf, `,"event":{`...)
	w.Some("id", d.id)
	w.Literal("kind", `"event"`)
	if d.category == ([2]string{}) {
		d.category[0] = `"` + classOf(d.typ) + `"`
	}
	w.words("category", d.category)
	w.words("type", d.kind)
	w.Some("action", d.summary.action)
	w.outcome(d.result)
	w.Literal("module", `"auditd"`)
	w.Some("dataset", e.opts.DataStream.Dataset)
	if d.listed {
		e.writeOriginal()
	}
	w.Buf = append(w.Buf, '}')
}

// writeDataStream writes the data stream that the event is for, where the configuration names one.
func (e *Encoder) writeDataStream() {
	w, s := &e.w, &e.opts.DataStream
	if s.Dataset == "" {
		return
	}
	m := w.Open("data_stream", '{')
	w.Str("type", "logs")
	w.Str("dataset", s.Dataset)
	w.Str("namespace", s.Namespace)
	w.Close(m, '}')
}

// writeOriginal writes the records as auditd would log them: without node= and what
// the line ends with.
func (e *Encoder) writeOriginal() {
	w := &e.w
	a := w.Open("original", '[')
	for k := range e.recs {
		r := &e.recs[k]
		line := r.line[:len(r.line)-len(r.Tail)]
		if len(r.Node) > 0 && len(r.ID) > 0 {
			line = line[len("node=")+len(r.Node)+1:]
		}
		if r.kind == record.Ver0 {
			header := append(record.AppendTypeName([]byte("type="), r.Type), " msg="...)
			line = append(header, line...)
		}
		w.Item(record.Alias(line))
	}
	w.Close(a, ']')
}

// number writes what the schema wants to be a number, if it is one.
func (w *writer) number(key, val string) {
	if _, ok := canonical(val); ok {
		w.Key(key)
		w.Buf = append(w.Buf, val...)
	}
}

// idNumber writes the id of a user or group, which is a string to the schema, if it is one.
func (w *writer) idNumber(key, val string) {
	if isNumber(val) {
		w.Str(key, val)
	}
}

// outcome writes one of the three words that the schema has.
func (w *writer) outcome(result string) {
	switch result {
	case "success", "unknown":
		w.Str("outcome", result)
	case "fail":
		w.Str("outcome", "failure")
	}
}

func (e *Encoder) writeFile() {
	w, d := &e.w, &e.doc
	if d.file < 0 {
		return
	}
	value := func(k key) string { val, _ := e.fileValue(k); return val }
	m := w.Open("file", '{')
	w.Some("path", d.path)
	name, extension := splitName(d.path)
	w.Some("name", name)
	w.Some("extension", extension)
	w.Some("device", value(keyRdev))
	w.Some("inode", value(keyInode))
	w.Some("mode", d.mode)
	w.idNumber("uid", value(keyOUID))
	w.idNumber("gid", value(keyOGID))
	w.Some("owner", value(keyOwner))
	w.Some("group", value(keyGroup))

	for k := range e.recs {
		if r := &e.recs[k]; r.path == d.file {
			e.writeContext(r, ofLabel)
		}
	}
	w.Close(m, '}')
}

// splitName returns the last name in a path, and what follows its last dot; a name that begins with its only dot has no extension.
func splitName(path string) (name, extension string) {
	name = path[strings.LastIndexByte(path, '/')+1:]
	if dot := strings.LastIndexByte(name, '.'); dot > 0 {
		extension = name[dot+1:]
	}
	return name, extension
}

// writeContext writes the security context of a process or of a file, which a record has.
func (e *Encoder) writeContext(r *parsedRecord, of traits) {
	if !r.contexts {
		return
	}
	w := &e.w
	m := w.Open("selinux", '{')
	for i := r.from; i < r.to; i++ {
		if f := &e.fields[i]; f.context && f.is&of != 0 {
			_, label, _ := strings.Cut(f.name, "_")
			w.Str(label, f.val)
		}
	}
	w.Close(m, '}')
}

// address writes a peer. An address that is none, which a program may have sent, would
// have the index refuse the event if it stood under ip.
func (w *writer) address(key string, a *address) {
	if *a == (address{}) {
		return
	}
	m := w.Open(key, '{')
	if ip, err := netip.ParseAddr(a.ip); err == nil && ip.Zone() == "" {
		w.Str("ip", a.ip)
	} else {
		w.Some("address", a.ip)
	}
	w.number("port", a.port)
	if a.path != "" {
		w.Str("address", a.path)
		w.Str("path", a.path)
	}
	w.Close(m, '}')
}

// words writes an array of two lists of JSON strings, of which each may be empty.
func (w *writer) words(key string, lists [2]string) {
	if lists == ([2]string{}) {
		return
	}
	w.Key(key)
	w.Buf = append(append(w.Buf, '['), lists[0]...)
	if lists[0] != "" && lists[1] != "" {
		w.Buf = append(w.Buf, ',')
	}
	w.Buf = append(append(w.Buf, lists[1]...), ']')
}

func (e *Encoder) writeLabels() {
	w, d := &e.w, &e.doc
	m := w.Open("labels", '{')
	if d.incomplete {
		w.Str("incomplete", "true")
	}
	if d.recovered {
		w.Str("recovered", "true")
	}
	if d.written {
		w.Str("timestamp", "written")
	}
	if w.Percent {
		w.Str("encoding", "percent")
	}
	w.Close(m, '}')
}
