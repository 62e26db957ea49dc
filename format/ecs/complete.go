package ecs

import (
	"slices"
	"strconv"
	"strings"

	"github.com/elastic/go-libaudit/v2/aucoalesce"
	"github.com/elastic/go-libaudit/v2/auparse"

	"audisp-relay/stream"
)

// document is what is written of an event.
type document struct {
	event      *aucoalesce.Event
	main       int    // the record whose fields are the event's own, -1 without
	typ        []byte // name of the event's type
	millis     int64
	serial     uint32
	node       string
	id         string
	written    bool // @timestamp is the time of writing: the records have none
	recovered  bool
	incomplete bool
	titleParts [][]byte // of a proctitle that process.title does not tell exactly
	problem    string   // what kept aucoalesce from its work
	listed     bool     // the records follow as they came

	user, effective, target, changes, group aucoalesce.ECSEntityData
	impliedEUID                             bool // user.effective is left out, being the user
	impliedEGID                             bool
}

// complete finds what the event has no place for yet, and gives it one.
func (e *Encoder) complete(b *stream.Batch, i int) {
	d := &e.doc
	first := &e.recs[0]
	d.millis, d.serial, d.id = b.Recs[i].Millis, b.Recs[i].Serial, str(first.ID)
	d.written = len(first.ID) == 0 || d.millis > lastMillis
	d.node = str(first.Node)
	if d.node == "" {
		d.node = e.opts.Node
	}
	for k := range e.recs {
		d.recovered = d.recovered || e.recs[k].Flags&stream.FromLog != 0
		d.incomplete = d.incomplete || e.recs[k].Flags&stream.Partial != 0
	}
	d.event.Tags = e.tags
	fixFileType(d.event)
	e.nameIDs()
	e.settle()
	for k := range e.recs {
		e.place(k)
	}
	for k := range e.recs {
		e.placeNames(k)
		d.listed = d.listed || e.recs[k].odd
	}
}

// lastMillis is the last time RFC 3339 can say: the end of the year 9999.
const lastMillis = 253402300799999

// place sees to it that each field of a record is in the document.
func (e *Encoder) place(k int) {
	r := &e.recs[k]
	if r.path != nil {
		return
	}
	data := e.doc.event.Data
	for _, f := range e.fields[r.from:r.to] {
		key := f.key
		if r.typ() == auparse.AUDIT_SOCKADDR && k != e.doc.main {
			key = "socket_" + key
		}
		if e.shows(k, key, f.val) {
			continue
		}
		if _, taken := data[key]; !taken && e.doc.problem == "" && (k == e.doc.main || f.aside) && processField(&e.doc.event.Process, key) == nil {
			data[key] = f.val
			continue
		}
		r.odd = true
	}
}

// shows reports whether the document has that field of record k.
func (e *Encoder) shows(k int, key, val string) bool {
	ev := e.doc.event
	if got, ok := ev.Data[key]; ok && got == val {
		return true
	}
	if place := processField(&ev.Process, key); place != nil {
		// The ids of processes are numbers.
		_, number := canonical(val)
		return *place == val && val != "" && (number || key != "pid" && key != "ppid")
	}
	if k != e.doc.main {
		return false
	}
	switch key {
	case "result":
		return ev.Result == val
	case "ses":
		return ev.Session == val
	case "items":
		return val == strconv.Itoa(len(ev.Paths))
	case "addr":
		return ev.Source != nil && ev.Source.IP == val
	case "uid":
		return e.doc.user.ID == val
	case "euid":
		return e.doc.effective.ID == val || e.doc.impliedEUID && e.doc.user.ID == val || val == "unset"
	}
	if got, ok := ev.User.IDs[key]; ok {
		return got == val
	}
	if label, ok := strings.CutPrefix(key, "subj_"); ok {
		got, ok := ev.User.SELinux[label]
		return ok && got == val
	}
	return false
}

// nameIDs gives names to the ids of the event's own record and of its paths.
func (e *Encoder) nameIDs() {
	ev := e.doc.event
	if e.doc.main >= 0 {
		r := &e.recs[e.doc.main]
		for key, id := range ev.User.IDs {
			if name := e.name(r, key, id); name != "" {
				if ev.User.Names == nil {
					ev.User.Names = make(map[string]string, len(ev.User.IDs))
				}
				ev.User.Names[key] = name
			}
		}
	}
	for k := range e.recs {
		r := &e.recs[k]
		if r.path == nil {
			continue
		}
		for _, p := range [...]struct{ key, name string }{{"ouid", "owner"}, {"ogid", "group"}} {
			_, taken := r.path[p.name]
			if name := e.name(r, p.key, r.path[p.key]); name != "" && !taken {
				r.path[p.name] = name
			}
		}
		if f := ev.File; f != nil && f.Owner == "" && f.Group == "" && isFile(f, r.path) {
			f.Owner, f.Group = r.path["owner"], r.path["group"]
		}
	}
	for _, entity := range [...]*aucoalesce.ECSEntityData{&ev.ECS.User.ECSEntityData, &ev.ECS.User.Effective, &ev.ECS.User.Target, &ev.ECS.User.Changes, &ev.ECS.Group} {
		if entity.ID != "" && entity.Name == "" {
			entity.Name = e.nameOf(entity.ID, entity == &ev.ECS.Group)
		}
	}
}

// name returns the name of an id in record r: the one that auditd has added or, in
// a record without such names that is of this machine, the one it has here.
func (e *Encoder) name(r *record, key, id string) string {
	for _, t := range e.twins[r.tfrom:r.tto] {
		if t.key == key {
			if saysNothing(t.val, id) {
				return ""
			}
			return t.val
		}
	}
	return e.lookUp(r, id, strings.HasSuffix(key, "gid"))
}

// saysNothing reports whether a name that auditd has added is none.
func saysNothing(name, id string) bool {
	return name == "unset" || name == "" || strings.HasPrefix(name, "unknown(") && name == "unknown("+id+")"
}

func (e *Encoder) lookUp(r *record, id string, group bool) string {
	if e.opts.Users == nil || r.Twinned || len(r.Node) > 0 && string(r.Node) != e.opts.Local {
		return ""
	}
	n, err := strconv.ParseUint(id, 10, 32)
	if err != nil || n == 1<<32-1 {
		return ""
	}
	if group {
		return e.opts.Users.Group(uint32(n))
	}
	return e.opts.Users.User(uint32(n))
}

// nameOf returns the name of an id that aucoalesce has taken from some record.
func (e *Encoder) nameOf(id string, group bool) string {
	for k := range e.recs {
		r := &e.recs[k]
		for _, t := range e.twins[r.tfrom:r.tto] {
			if strings.HasSuffix(t.key, "gid") == group && (group || strings.HasSuffix(t.key, "uid") || t.key == "id") {
				if at := e.find(r, t.key); at >= 0 && e.fields[at].val == id && !saysNothing(t.val, id) {
					return t.val
				}
			}
		}
	}
	if e.doc.main >= 0 {
		return e.lookUp(&e.recs[e.doc.main], id, group)
	}
	return ""
}

// find returns where the field of that name is, -1 when r has none.
func (e *Encoder) find(r *record, key string) int {
	for i := r.from; i < r.to; i++ {
		if e.fields[i].key == key {
			return i
		}
	}
	return -1
}

// settle decides who user, user.effective and the others are, as auditbeat does: who
// aucoalesce names comes before the ids of the record.
func (e *Encoder) settle() {
	ev, d := e.doc.event, &e.doc
	ids, names := ev.User.IDs, ev.User.Names
	d.user = instead(ids["uid"], names["uid"], ev.ECS.User.ECSEntityData)
	d.effective = instead(ids["euid"], names["euid"], ev.ECS.User.Effective)
	d.target = instead("", "", ev.ECS.User.Target)
	d.changes = instead("", "", ev.ECS.User.Changes)
	d.group = instead("", "", ev.ECS.Group)
	if d.user.ID != "" && d.user.ID == d.effective.ID || d.user.Name != "" && d.user.Name == d.effective.Name {
		d.effective, d.impliedEUID = aucoalesce.ECSEntityData{}, true
		d.impliedEGID = ids["egid"] == ids["gid"]
	}
}

func instead(id, name string, by aucoalesce.ECSEntityData) aucoalesce.ECSEntityData {
	if by.ID == "" && by.Name == "" {
		by.ID, by.Name = id, name
	}
	if by.ID == "unset" {
		by.ID = ""
	}
	return by
}

// placeNames sees to it that each name that auditd has added is in the document.
func (e *Encoder) placeNames(k int) {
	r := &e.recs[k]
	for _, t := range e.twins[r.tfrom:r.tto] {
		at := e.find(r, t.key)
		if at < 0 {
			r.odd = true
			continue
		}
		val := e.fields[at].val
		if t.val == val || saysNothing(t.val, val) || e.showsName(k, t.key, t.val) {
			continue
		}
		if r.path != nil {
			if _, taken := r.path[t.key+"_name"]; taken {
				r.odd = true
				continue
			}
			r.path[t.key+"_name"] = t.val
			continue
		}
		key := t.key + "_name"
		if got, taken := e.doc.event.Data[key]; taken || e.doc.problem != "" {
			r.odd = r.odd || got != t.val
			continue
		}
		e.doc.event.Data[key] = t.val
	}
}

// showsName reports whether the document has the name of that field of record k.
func (e *Encoder) showsName(k int, key, name string) bool {
	r := &e.recs[k]
	switch {
	case r.path != nil:
		return key == "ouid" && r.path["owner"] == name || key == "ogid" && r.path["group"] == name
	case k != e.doc.main:
		return false
	case key == "uid":
		return e.doc.user.Name == name
	case key == "euid":
		return e.doc.effective.Name == name || e.doc.impliedEUID && e.doc.user.Name == name
	}
	return e.doc.event.User.Names[key] == name
}

// Kinds of a file's mode (inode(7)).
var fileTypes = map[uint64]string{
	0o100000: "file", 0o040000: "directory", 0o020000: "character-device", 0o060000: "block-device",
	0o010000: "named-pipe", 0o120000: "symlink", 0o140000: "socket",
}

// fixFileType says what kind of file an event is about. aucoalesce tests the mode's
// bits as if they were Go's os.FileMode, so that everything is a file.
func fixFileType(ev *aucoalesce.Event) {
	if ev.File == nil || ev.Summary.Object.Type != "file" {
		return
	}
	i := slices.IndexFunc(ev.Paths, func(p map[string]string) bool { return isFile(ev.File, p) })
	if i < 0 {
		return
	}
	if mode, err := strconv.ParseUint(ev.Paths[i]["mode"], 8, 32); err == nil {
		if name := fileTypes[mode&0o170000]; name != "" {
			ev.Summary.Object.Type = name
		}
	}
}

// isFile reports whether a path is the one that aucoalesce has made the event's file.
func isFile(f *aucoalesce.File, path map[string]string) bool {
	if f.Path != path["name"] || f.Inode != path["inode"] || f.Device != path["rdev"] || f.UID != path["ouid"] || f.GID != path["ogid"] {
		return false
	}
	mode, err := strconv.ParseUint(path["mode"], 8, 64)
	return err != nil && f.Mode == "" || err == nil && len(f.Mode) >= 4 && f.Mode[len(f.Mode)-4:] == "0000"[:4-len(octal(mode))]+octal(mode)
}

func octal(mode uint64) string { return strconv.FormatUint(mode&0o7777, 8) }
