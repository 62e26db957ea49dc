package ecs

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/elastic/go-libaudit/v2/aucoalesce"

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
	w, ev, d := &e.w, e.doc.event, &e.doc
	w.buf = append(w.buf, '{')
	e.writeTimestamp()
	e.writeEvent()
	m := w.open("host", '{')
	w.some("name", d.node)
	w.close(m, '}')
	w.buf = append(w.buf, `,"service":{"type":"auditd"}`...)
	e.writeUser()

	w.account("group", d.group)
	w.process(&ev.Process)
	w.file(ev.File)
	w.address("source", ev.Source)
	w.address("destination", ev.Dest)
	if ev.Net != nil {
		m = w.open("network", '{')
		w.str("direction", ev.Net.Direction.String())
		w.close(m, '}')
	}

	w.list("tags", ev.Tags)
	e.writeAuditd()
	e.writeLabels()
	if d.problem != "" {
		m = w.open("error", '{')
		w.str("message", d.problem)
		w.close(m, '}')
	}
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
	w, ev := &e.w, e.doc.event
	m := w.open("event", '{')
	w.some("id", e.doc.id)
	w.str("kind", "event")
	if len(ev.ECS.Event.Category) > 0 {
		w.list("category", ev.ECS.Event.Category)
	} else {
		w.list("category", []string{ev.Category.String()})
	}
	w.list("type", ev.ECS.Event.Type)
	w.some("action", ev.Summary.Action)
	w.outcome(ev.Result)
	w.str("module", "auditd")
	if e.doc.listed {
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
	w, d, u := &e.w, &e.doc, &e.doc.event.User
	m := w.open("user", '{')
	w.entity(d.user)
	w.account("group", idOf(u, "gid"))
	o := w.open("effective", '{')
	w.entity(d.effective)
	if !d.impliedEGID {
		w.account("group", idOf(u, "egid"))
	}
	w.close(o, '}')

	for _, p := range places {
		o = w.open(p.key, '{')
		w.entity(idOf(u, p.user))
		if p.group != "" {
			w.account("group", idOf(u, p.group))
		}
		w.close(o, '}')
	}
	for _, key := range e.sortedKeys(u.IDs) {
		if !isOfProcess(key) {
			w.account(key, idOf(u, key))
		}
	}

	w.account("target", d.target)
	w.selinux(u.SELinux)
	w.close(m, '}')
	e.writeRelated()
}

// writeRelated writes related.user: each name of a user once.
func (e *Encoder) writeRelated() {
	w, d := &e.w, &e.doc
	names := append(e.sorted[:0], d.user.Name, d.effective.Name, d.target.Name)
	for key, name := range d.event.User.Names {
		if !strings.HasSuffix(key, "gid") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	e.sorted = slices.DeleteFunc(slices.Compact(names), func(name string) bool { return name == "" })
	m := w.open("related", '{')
	w.list("user", e.sorted)
	w.close(m, '}')
}

func idOf(u *aucoalesce.User, key string) entity {
	id := u.IDs[key]
	if id == "unset" {
		id = ""
	}
	return entity{ID: id, Name: u.Names[key]}
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

func (w *writer) process(p *aucoalesce.Process) {
	m := w.open("process", '{')
	w.number("pid", p.PID)
	o := w.open("parent", '{')
	w.number("pid", p.PPID)
	w.close(o, '}')
	w.some("name", p.Name)
	w.some("executable", p.Exe)
	w.some("working_directory", p.CWD)
	w.list("args", p.Args)
	w.some("title", p.Title)
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

func (w *writer) file(f *aucoalesce.File) {
	if f == nil {
		return
	}
	m := w.open("file", '{')
	w.some("path", f.Path)
	w.some("device", f.Device)
	w.some("inode", f.Inode)
	w.some("mode", f.Mode)
	w.idNumber("uid", f.UID)
	w.idNumber("gid", f.GID)
	w.some("owner", f.Owner)
	w.some("group", f.Group)
	w.selinux(f.SELinux)
	w.close(m, '}')
}

// selinux writes a security context.
func (w *writer) selinux(parts map[string]string) {
	if len(parts) == 0 {
		return
	}
	o := w.open("selinux", '{')
	for _, label := range contextParts {
		if val, ok := parts[label]; ok {
			w.str(label, val)
		}
	}
	w.close(o, '}')
}

// address writes a peer. An address that is none, which a program may have sent, would
// have the index refuse the event if it stood under ip.
func (w *writer) address(key string, a *aucoalesce.Address) {
	if a == nil {
		return
	}
	m := w.open(key, '{')
	if ip, err := netip.ParseAddr(a.IP); err == nil && ip.Zone() == "" {
		w.str("ip", a.IP)
	} else {
		w.some("address", a.IP)
	}
	w.number("port", a.Port)
	w.some("path", a.Path)
	w.close(m, '}')
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
