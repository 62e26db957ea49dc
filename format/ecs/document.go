package ecs

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"

	"audisp-relay/audit/record"
)

// Version of the Elastic Common Schema whose field names are used.
const version = "8.0.0"

// appendLine appends the event's line. A string that is no UTF-8 has all of it written again,
// with percent signs.
func (e *Encoder) appendLine(dst []byte) []byte {
	from := len(dst)
	e.w = writer{buf: dst}
	e.writeLine()
	if e.w.bad {
		e.w = writer{buf: e.w.buf[:from], percent: true}
		e.writeLine()
	}
	dst = append(e.w.buf, '\n')
	e.w = writer{}
	return dst
}

func (e *Encoder) writeLine() {
	w, d := &e.w, &e.doc
	w.buf = append(w.buf, '{')
	e.writeTimestamp()
	e.writeEvent()
	m := w.open("host", '{')
	w.some("name", d.node)
	w.close(m, '}')
	w.buf = append(w.buf, `,"service":{"type":"auditd"}`...)
	e.writeUser()

	w.account("group", d.group)
	e.writeProcess()
	e.writeFile()
	w.address("source", &d.source)
	w.address("destination", &d.dest)
	m = w.open("network", '{')
	w.some("direction", d.direction)
	w.close(m, '}')

	w.list("tags", e.tags)
	e.writeAuditd()
	e.writeLabels()
	w.buf = append(w.buf, `,"ecs":{"version":"`+version+`"}}`...)
}

// writeTimestamp writes the event's time. An index refuses an event without one.
func (e *Encoder) writeTimestamp() {
	t := time.UnixMilli(e.doc.millis)
	if e.doc.written {
		t = e.now()
	}
	e.w.key("@timestamp")
	e.w.buf = t.UTC().AppendFormat(e.w.buf, `"2006-01-02T15:04:05.000Z"`)
}

func (e *Encoder) writeEvent() {
	w, d := &e.w, &e.doc
	m := w.open("event", '{')
	w.some("id", d.id)
	w.str("kind", "event")
	w.words("category", cmp.Or(d.category, classOf(d.typ)))
	w.words("type", d.kind)
	w.some("action", d.summary.action)
	w.outcome(d.result)
	w.str("module", "auditd")
	if d.listed {
		e.writeOriginal()
	}
	w.close(m, '}')
}

// writeOriginal writes the records as auditd would log them: without node= and what
// the line ends with.
func (e *Encoder) writeOriginal() {
	w := &e.w
	a := w.open("original", '[')
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
		w.item(record.Alias(line))
	}
	w.close(a, ']')
}

// places are those of a user's other ids; any other id is user.KEY.
var places = []struct{ key, user, group string }{
	{key: "audit", user: "auid"},
	{key: "filesystem", user: "fsuid", group: "fsgid"},
	{key: "saved", user: "suid", group: "sgid"},
}

func (e *Encoder) writeUser() {
	w, d := &e.w, &e.doc
	m := w.open("user", '{')
	w.entity(d.user)
	w.account("group", e.id("gid").entity)
	o := w.open("effective", '{')
	w.entity(d.effective)
	if !d.impliedEGID {
		w.account("group", e.id("egid").entity)
	}
	w.close(o, '}')

	for _, p := range places {
		o = w.open(p.key, '{')
		w.entity(e.id(p.user).entity)
		if p.group != "" {
			w.account("group", e.id(p.group).entity)
		}
		w.close(o, '}')
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
	w.close(m, '}')
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
	m := w.open("related", '{')
	a := w.open("user", '[')
	for _, name := range e.sorted {
		if name != "" {
			w.item(name)
		}
	}
	w.close(a, ']')
	w.close(m, '}')
}

// account writes a user or a group as an object.
func (w *writer) account(key string, e entity) {
	m := w.open(key, '{')
	w.entity(e)
	w.close(m, '}')
}

func (w *writer) entity(e entity) {
	w.some("id", e.ID)
	w.some("name", e.Name)
}

func (e *Encoder) writeProcess() {
	w := &e.w
	value := func(key string) string { val, _ := get(e.data, key); return val }
	m := w.open("process", '{')
	w.number("pid", value("pid"))
	o := w.open("parent", '{')
	w.number("pid", value("ppid"))
	w.close(o, '}')
	w.some("name", value("comm"))
	w.some("executable", value("exe"))
	w.some("working_directory", value("cwd"))
	o = w.open("args", '[')
	for i := range e.args.Len() {
		if text, state := e.args.Arg(i); state != record.ArgMissing {
			w.item(record.Alias(text))
		}
	}
	w.close(o, ']')
	w.some("title", value("proctitle"))
	w.close(m, '}')
}

// number writes what the schema wants to be a number, if it is one.
func (w *writer) number(key, val string) {
	if _, ok := canonical(val); ok {
		w.key(key)
		w.buf = append(w.buf, val...)
	}
}

// idNumber writes the id of a user or group, which is a string to the schema, if it is one.
func (w *writer) idNumber(key, val string) {
	if isNumber(val) {
		w.str(key, val)
	}
}

// outcome writes one of the three words that the schema has.
func (w *writer) outcome(result string) {
	switch result {
	case "success", "unknown":
		w.str("outcome", result)
	case "fail":
		w.str("outcome", "failure")
	}
}

func (e *Encoder) writeFile() {
	w, d := &e.w, &e.doc
	if d.file == nil {
		return
	}
	value := func(key string) string { val, _ := get(d.fields, key); return val }
	m := w.open("file", '{')
	w.some("path", d.path)
	w.some("device", value("rdev"))
	w.some("inode", value("inode"))
	w.some("mode", d.mode)
	w.idNumber("uid", value("ouid"))
	w.idNumber("gid", value("ogid"))
	w.some("owner", value("owner"))
	w.some("group", value("group"))
	w.selinux(e.fields[d.file.from:d.file.to], "obj_")
	w.close(m, '}')
}

// selinux writes the security context in the fields of a record that begin with prefix.
func (w *writer) selinux(fields []field, prefix string) {
	m := w.open("selinux", '{')
	for i := range fields {
		if label, ok := strings.CutPrefix(fields[i].key, prefix); ok && fields[i].context {
			w.str(label, fields[i].val)
		}
	}
	w.close(m, '}')
}

// address writes a peer. An address that is none, which a program may have sent, would
// have the index refuse the event if it stood under ip.
func (w *writer) address(key string, a *address) {
	if *a == (address{}) {
		return
	}
	m := w.open(key, '{')
	if ip, err := netip.ParseAddr(a.ip); err == nil && ip.Zone() == "" {
		w.str("ip", a.ip)
	} else {
		w.some("address", a.ip)
	}
	w.number("port", a.port)
	w.some("path", a.path)
	w.close(m, '}')
}

// words writes an array of the words of a string.
func (w *writer) words(key, words string) {
	m := w.open(key, '[')
	for word := range strings.FieldsSeq(words) {
		w.item(word)
	}
	w.close(m, ']')
}

func (w *writer) list(key string, list []string) {
	m := w.open(key, '[')
	for _, s := range list {
		w.item(s)
	}
	w.close(m, ']')
}

func (e *Encoder) writeLabels() {
	w, d := &e.w, &e.doc
	m := w.open("labels", '{')
	if d.incomplete {
		w.str("incomplete", "true")
	}
	if d.recovered {
		w.str("recovered", "true")
	}
	if d.written {
		w.str("timestamp", "written")
	}
	if w.percent {
		w.str("encoding", "percent")
	}
	w.close(m, '}')
}
