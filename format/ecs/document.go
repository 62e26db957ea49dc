package ecs

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"

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
	w.Buf = append(w.Buf, '{')
	e.writeTimestamp()
	e.writeEvent()
	e.writeDataStream()
	m := w.Open("host", '{')
	w.Some("name", d.node)
	if e.isLocal() {
		w.Some("id", e.opts.HostID)
	}
	o := w.Open("os", '{')
	w.Str("type", "linux")
	w.Close(o, '}')
	w.Close(m, '}')
	w.Buf = append(w.Buf, `,"service":{"type":"auditd"}`...)
	e.writeUser()

	w.account("group", d.group)
	e.writeProcess()
	e.writePlace()
	e.writeFile()
	w.address("source", &d.source)
	w.address("destination", &d.dest)
	m = w.Open("network", '{')
	w.Some("direction", d.direction)
	w.Close(m, '}')

	e.writeTags()
	e.writeAuditd()
	e.writeLabels()
	w.Buf = append(w.Buf, `,"ecs":{"version":"`+version+`"}}`...)
}

// writeTimestamp writes the event's time. An index refuses an event without one.
func (e *Encoder) writeTimestamp() {
	t := time.UnixMilli(e.doc.millis)
	if e.doc.written {
		t = e.now()
	}
	e.w.Key("@timestamp")
	e.w.Buf = t.UTC().AppendFormat(e.w.Buf, `"2006-01-02T15:04:05.000Z"`)
}

func (e *Encoder) writeEvent() {
	w, d := &e.w, &e.doc
	m := w.Open("event", '{')
	w.Some("id", d.id)
	w.Str("kind", "event")
	w.words("category", cmp.Or(d.category, classOf(d.typ)))
	w.words("type", d.kind)
	w.Some("action", d.summary.action)
	w.outcome(d.result)
	w.Str("module", "auditd")
	w.Some("dataset", e.opts.DataStream.Dataset)
	if d.listed {
		e.writeOriginal()
	}
	w.Close(m, '}')
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

// places are those of a user's other ids; any other id is user.KEY.
var places = []struct{ key, user, group string }{
	{key: "audit", user: "auid"},
	{key: "filesystem", user: "fsuid", group: "fsgid"},
	{key: "saved", user: "suid", group: "sgid"},
}

func (e *Encoder) writeUser() {
	w, d := &e.w, &e.doc
	m := w.Open("user", '{')
	w.entity(d.user)
	w.account("group", e.id("gid").entity)
	o := w.Open("effective", '{')
	w.entity(d.effective)
	if !d.impliedEGID {
		w.account("group", e.id("egid").entity)
	}
	w.Close(o, '}')

	for _, p := range places {
		o = w.Open(p.key, '{')
		w.entity(e.id(p.user).entity)
		if p.group != "" {
			w.account("group", e.id(p.group).entity)
		}
		w.Close(o, '}')
	}
	slices.SortFunc(e.ids, func(a, b identity) int { return strings.Compare(a.key, b.key) })
	for i := range e.ids {
		if key := e.ids[i].key; !isOfProcess(key) {
			w.account(key, e.ids[i].entity)
		}
	}

	w.account("target", d.target)
	if d.main >= 0 {
		r := &e.recs[d.main]
		w.selinux(e.fields[r.from:r.to], "subj_")
	}
	w.Close(m, '}')
	e.writeRelated()
}

// writeRelated writes related.user: each name of a user once.
func (e *Encoder) writeRelated() {
	w, d := &e.w, &e.doc
	names := append(e.sorted[:0], d.user.Name, d.effective.Name, d.target.Name)
	for i := range e.ids {
		if !strings.HasSuffix(e.ids[i].key, "gid") {
			names = append(names, e.ids[i].Name)
		}
	}
	slices.Sort(names)
	e.sorted = slices.Compact(names)
	m := w.Open("related", '{')
	a := w.Open("user", '[')
	for _, name := range e.sorted {
		if name != "" {
			w.Item(name)
		}
	}
	w.Close(a, ']')
	w.Close(m, '}')
}

// account writes a user or a group as an object.
func (w *writer) account(key string, e entity) {
	m := w.Open(key, '{')
	w.entity(e)
	w.Close(m, '}')
}

func (w *writer) entity(e entity) {
	w.Some("id", e.ID)
	w.Some("name", e.Name)
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
	if d.file == nil {
		return
	}
	value := func(key string) string { val, _ := get(d.fields, key); return val }
	m := w.Open("file", '{')
	w.Some("path", d.path)
	name, extension := splitName(d.path)
	w.Some("name", name)
	w.Some("extension", extension)
	w.Some("device", value("rdev"))
	w.Some("inode", value("inode"))
	w.Some("mode", d.mode)
	w.idNumber("uid", value("ouid"))
	w.idNumber("gid", value("ogid"))
	w.Some("owner", value("owner"))
	w.Some("group", value("group"))
	w.selinux(e.fields[d.file.from:d.file.to], "obj_")
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

// selinux writes the security context in the fields of a record that begin with prefix.
func (w *writer) selinux(fields []field, prefix string) {
	m := w.Open("selinux", '{')
	for i := range fields {
		if label, ok := strings.CutPrefix(fields[i].key, prefix); ok && fields[i].context {
			w.Str(label, fields[i].val)
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

// words writes an array of the words of a string.
func (w *writer) words(key, words string) {
	m := w.Open(key, '[')
	for word := range strings.FieldsSeq(words) {
		w.Item(word)
	}
	w.Close(m, ']')
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
