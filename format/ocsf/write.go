package ocsf

import (
	"cmp"
	"strconv"

	"audisp-relay/audit/record"
)

// What is the same in every event. origin is metadata.product and the members after it: whose log it is, and
// what of the schema is used beyond its classes. Profiles of an extension have its name in front
// (dictionary.json, profiles).
const (
	origin = `{"name":"Linux Audit","vendor_name":"Linux"},"profiles":["host","linux/linux_users"],` +
		`"extensions":[{"name":"linux","uid":"1","version":"` + version + `"}],"log_name":"audit"`
	linux = `{"name":"Linux","type_id":200}`
)

func (e *Encoder) writeLine() {
	w, ev := &e.w, &e.ev
	w.Buf = append(w.Buf, '{')
	e.writeClass()
	e.writeMetadata()
	e.writeStatus()
	e.writeDevice()

	switch ev.class {
	case processEvent:
		e.writeProcessEvent()
	case fileActivity:
		e.writeActor()
		e.writeFile("file", ev.file, ev.path)
		if ev.result != nil {
			e.writeFile("file_result", ev.result, ev.resultPath)
		}
	case network:
		e.writeActor()
		e.writeConnection()
	case kernelExtension:
		e.writeActor()
		e.writeDriver()
	case groupManagement:
		e.writeActor()
		e.writeGroup()
	case authentication, accountChange:
		e.writeActor()
		e.writeAccount()
	default:
		e.writeActor()
	}

	w.Str("raw_data", record.Alias(e.raw))
	e.writeUnmapped() // last, see addRules
	w.Buf = append(w.Buf, '}')
}

// uint writes a member that is a number.
func (e *Encoder) uint(key string, n uint64) {
	e.w.Key(key)
	e.w.Buf = strconv.AppendUint(e.w.Buf, n, 10)
}

// number writes a number that is one in the record, too, if there is one.
func (e *Encoder) number(key, digits string) {
	if digits != "" {
		e.w.Literal(key, digits)
	}
}

// writeClass writes what kind of event it is, and when it was.
func (e *Encoder) writeClass() {
	ev := &e.ev
	e.uint("class_uid", uint64(ev.class))
	e.uint("category_uid", uint64(ev.class)/1000)
	e.uint("activity_id", uint64(ev.activity))
	if ev.activity == other {
		e.w.Str("activity_name", e.activityName())
	}
	e.uint("type_uid", uint64(ev.class)*100+uint64(ev.activity))
	e.w.Literal("severity_id", "1") // Informational
	millis := ev.millis
	if ev.written {
		millis = e.now().UnixMilli()
	}
	e.uint("time", uint64(millis))
}

// activityName returns what the audit system calls the activity: the system call or the record's type.
func (e *Encoder) activityName() string {
	ev := &e.ev
	if ev.lead == nil {
		return cmp.Or(e.recs[0].name, "unknown")
	}
	if ev.lead == ev.call {
		return cmp.Or(ev.name, ev.lead.name)
	}
	return cmp.Or(ev.lead.name, "unknown")
}

func (e *Encoder) writeMetadata() {
	w, ev := &e.w, &e.ev
	m := w.Open("metadata", '{')
	w.Str("version", version)
	w.Literal("product", origin)
	w.Some("event_code", e.code())
	w.Some("uid", ev.uid)
	if ev.id != "" {
		w.Str("original_event_uid", ev.id)
		e.uint("sequence", uint64(ev.serial))
	}
	a := w.Open("labels", '[')
	for _, l := range [...]struct {
		is   bool
		text string
	}{{ev.incomplete, "incomplete"}, {ev.recovered, "recovered"}, {ev.written, "time:written"}, {w.Percent, "encoding:percent"}} {
		if l.is {
			w.Item(l.text)
		}
	}
	w.Close(a, ']')
	w.Close(m, '}')
}

// code returns the type of the event's main record.
func (e *Encoder) code() string {
	if e.ev.lead != nil {
		return e.ev.lead.name
	}
	return e.recs[0].name
}

// writeStatus writes what has come of it.
func (e *Encoder) writeStatus() {
	ev := &e.ev
	if ev.lead == nil {
		return
	}

	f := e.find(cmp.Or(ev.op, ev.lead), "success")
	if !says(f) {
		f = e.findSaid(ev.lead, "res")
	}
	if !says(f) && ev.call != nil {
		f = e.find(ev.call, "success")
	}
	if !says(f) {
		return
	}

	switch said := take(f); {
	case said == "yes" || said == "1" || said == "success":
		e.w.Literal("status_id", "1")
	case ev.class == network && ev.fails && e.inProgress():
		e.w.Literal("status_id", "99")
		e.w.Str("status", "in progress")
	case said == "no" || said == "0" || said == "failed":
		e.w.Literal("status_id", "2")
	default:
		e.w.Literal("status_id", "99")
		e.w.Str("status", said)
	}

	if code := e.exit(); code < 0 && ev.fails {
		arch, _ := record.ArchCode(e.value(ev.call, "arch"))
		e.w.Some("status_code", record.ErrnoNameOn(arch, -code))
	}
}

// says reports whether a field is there and is not empty: for a status of Other the schema requires the word, and a
// program may send res="".
func says(f *field) bool { return f != nil && f.val != "" }

// writeDevice writes the host. The schema wants a name of one that its records do not name, too.
func (e *Encoder) writeDevice() {
	m := e.w.Open("device", '{')
	e.w.Literal("type_id", "0")
	e.writeHost()
	e.w.Literal("os", linux)
	e.w.Close(m, '}')
}

func (e *Encoder) writeHost() {
	if e.ev.node != "" {
		e.w.Str("hostname", e.ev.node)
	} else {
		e.w.Str("name", "unknown")
	}
}

// writeFile writes the file of a PATH record.
func (e *Encoder) writeFile(key string, r *parsedRecord, path string) {
	w := &e.w
	m := w.Open(key, '{')
	if f := e.find(r, "name"); path == f.val { // else it stays in unmapped
		f.placed = true
	}
	e.writePath(path, fileType(e.value(r, "mode")))
	w.Some("uid", take(e.find(r, "inode")))
	e.writeUser("owner", r, "ouid")
	w.Close(m, '}')
}

// writePath writes what the schema requires of a file.
func (e *Encoder) writePath(path, typ string) {
	name := path
	for len(name) > 1 && name[len(name)-1] == '/' {
		name = name[:len(name)-1]
	}
	e.w.Str("name", cmp.Or(baseName(name), name))
	e.w.Str("path", path)
	e.w.Literal("type_id", typ)
}

// fileType returns the type_id of a mode (inode(7)), Unknown without a readable one.
func fileType(mode string) string {
	n := 0
	for i := range len(mode) {
		if c := mode[i]; c < '0' || c > '7' || i >= len("0100644") {
			return "0"
		}
		n = n<<3 | int(mode[i]-'0')
	}

	switch n >> 12 {
	case 1:
		return "6" // named pipe
	case 2:
		return "3" // character device
	case 4:
		return "2" // folder
	case 6:
		return "4" // block device
	case 8:
		return "1" // regular file
	case 10:
		return "7" // symbolic link
	case 12:
		return "5" // local socket
	}
	return "0"
}

// writeConnection writes the address at the other end, of bind the own one, and which end that is.
func (e *Encoder) writeConnection() {
	w, ev := &e.w, &e.ev
	key, direction := "dst_endpoint", "2"
	switch {
	case ev.about == source:
		key, direction = "src_endpoint", "1"
	case ev.activity == other:
		direction = "0"
	}
	m := w.Open(key, '{')
	w.Str("ip", ev.peer.ip)
	w.Literal("port", ev.peer.port)
	w.Close(m, '}')
	m = w.Open("connection_info", '{')
	w.Literal("direction_id", direction)
	e.uint("protocol_ver_id", uint64(ev.peer.version))
	w.Close(m, '}')
}
