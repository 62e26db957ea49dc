package ecs

import (
	"bytes"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/elastic/go-libaudit/v2/aucoalesce"
	"github.com/elastic/go-libaudit/v2/auparse"

	"audisp-relay/audit/record"
	"audisp-relay/testdata/captures"
)

// alone has aucoalesce work without us, on the records' text: what auditbeat would get
// from the kernel, which neither adds names nor a node. It returns what auditbeat makes of
// it (audit_linux.go, buildMetricbeatEvent), leaves by their path, and the event's warnings.
func alone(t testing.TB, b *record.Batch, i, j int) (leaves map[string]any, warnings []string, err error) {
	t.Helper()
	var msgs []*auparse.AuditMessage
	for ; i < j; i++ {
		r := record.Parse(b, i)
		text := "audit(" + string(r.ID) + ")" + string(r.Gap) + string(r.Body)
		msg, err := auparse.Parse(auparse.AuditMessageType(r.Type), text)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		msgs = append(msgs, msg)
	}
	ev, err := aucoalesce.CoalesceMessages(msgs)
	if err != nil {
		return nil, nil, err
	}
	for _, w := range ev.Warnings {
		warnings = append(warnings, w.Error())
	}
	return auditbeat(ev), warnings, nil
}

// auditbeat returns the fields that auditbeat gives an event, but for those of the users
// that aucoalesce names, which it puts over the ids of the record.
func auditbeat(ev *aucoalesce.Event) map[string]any {
	m := map[string]any{
		"@timestamp":          ev.Timestamp.Format("2006-01-02T15:04:05.000Z"),
		"event.kind":          "event",
		"event.outcome":       strings.Replace(ev.Result, "fail", "failure", 1),
		"auditd.sequence":     strconv.Itoa(int(ev.Sequence)),
		"auditd.message_type": strings.ToLower(ev.Type.String()),
	}
	set := func(path, val string) {
		if val != "" {
			m[path] = val
		}
	}
	list := func(path string, vals []string) {
		for _, v := range vals {
			old, _ := m[path].([]any)
			m[path] = append(old, v)
		}
	}
	set("auditd.result", ev.Result)
	if ev.ECS.Event.Outcome != "" {
		m["event.outcome"] = ev.ECS.Event.Outcome
	}
	list("event.category", ev.ECS.Event.Category)
	if len(ev.ECS.Event.Category) == 0 {
		list("event.category", []string{ev.Category.String()})
	}
	list("event.type", ev.ECS.Event.Type)
	list("tags", ev.Tags)
	list("process.args", ev.Process.Args)
	set("event.action", ev.Summary.Action)
	if ev.Session != "unset" {
		set("auditd.session", ev.Session)
	}
	s := ev.Summary
	for path, val := range map[string]string{
		"actor.primary": s.Actor.Primary, "actor.secondary": s.Actor.Secondary, "how": s.How,
		"object.type": s.Object.Type, "object.primary": s.Object.Primary, "object.secondary": s.Object.Secondary,
	} {
		set("auditd.summary."+path, val)
	}
	p := ev.Process
	for path, val := range map[string]string{
		"pid": p.PID, "parent.pid": p.PPID, "name": p.Name, "executable": p.Exe, "title": p.Title, "working_directory": p.CWD,
	} {
		set("process."+path, val)
	}
	if f := ev.File; f != nil {
		for path, val := range map[string]string{
			"path": f.Path, "device": f.Device, "inode": f.Inode, "mode": f.Mode, "uid": f.UID, "gid": f.GID,
		} {
			set("file."+path, val)
		}
		for k, v := range f.SELinux {
			set("file.selinux."+k, v)
		}
	}
	for name, a := range map[string]*aucoalesce.Address{"source": ev.Source, "destination": ev.Dest} {
		if a != nil {
			set(name+".ip", a.IP)
			set(name+".port", a.Port)
			set(name+".path", a.Path)
		}
	}
	if ev.Net != nil {
		set("network.direction", ev.Net.Direction.String())
	}
	for k, v := range ev.User.SELinux {
		set("user.selinux."+k, v)
	}
	for k, v := range ev.Data {
		set("auditd.data."+strings.Replace(k, "socket_", "socket.", 1), v)
	}
	for i, path := range ev.Paths {
		for k, v := range path {
			set(fmt.Sprintf("auditd.paths.%d.%s", i, k), v)
		}
	}
	setUsers(ev, set)
	return m
}

// setUsers sets the ids: those of the record, then over them those that aucoalesce has chosen.
func setUsers(ev *aucoalesce.Event, set func(path, val string)) {
	ids := maps.Clone(ev.User.IDs)
	for k, v := range ids {
		if v == "unset" {
			delete(ids, k)
		}
	}
	user, effective := aucoalesce.ECSEntityData{ID: ids["uid"]}, aucoalesce.ECSEntityData{ID: ids["euid"]}
	for _, o := range []struct{ to, from *aucoalesce.ECSEntityData }{{&user, &ev.ECS.User.ECSEntityData}, {&effective, &ev.ECS.User.Effective}} {
		if *o.from != (aucoalesce.ECSEntityData{}) {
			*o.to = *o.from
		}
		if o.to.ID == "unset" {
			o.to.ID = ""
		}
	}
	if (effective.ID == user.ID && user.ID != "") || (effective.Name == user.Name && user.Name != "") {
		effective = aucoalesce.ECSEntityData{}
		if ids["egid"] == ids["gid"] {
			delete(ids, "egid")
		}
	}
	entity := func(path string, e aucoalesce.ECSEntityData) { set(path+".id", e.ID); set(path+".name", e.Name) }
	entity("user", user)
	entity("user.effective", effective)
	entity("user.target", ev.ECS.User.Target)
	entity("user.changes", ev.ECS.User.Changes)
	entity("group", ev.ECS.Group)
	places := map[string]string{"gid": "user.group", "egid": "user.effective.group", "suid": "user.saved", "sgid": "user.saved.group",
		"fsuid": "user.filesystem", "fsgid": "user.filesystem.group", "auid": "user.audit", "uid": "", "euid": ""}
	for k, v := range ids {
		place, known := places[k]
		if !known {
			place = "user." + k
		}
		if place != "" {
			set(place+".id", v)
		}
	}
}

// Each event of each capture that aucoalesce can handle has what auditbeat gives it, and
// beside that only what docs/ecs.md says is added.
func TestCapturesAgreeWithAucoalesce(t *testing.T) {
	for _, name := range captures.Names(t, "*.string.gz") {
		t.Run(strings.TrimSuffix(name, ".string.gz"), func(t *testing.T) {
			b, ends := group(parse(t, string(captures.Read(t, name))))
			e := New(Options{})
			i, compared, refused := 0, 0, 0
			for _, j := range ends {
				line := e.AppendEvent(nil, b, i, j)
				got := decodeLine(t, line)
				if b.Recs[i].HasID() && compare(t, b, i, j, got) {
					compared++
				} else {
					refused++
				}
				i = j
			}
			t.Logf("%d events compared, %d that aucoalesce can't read", compared, refused)
			// auditd 4.2.1 cuts the end off each record of the kernel: a SYSCALL without exe=
			// and an EOE without an id are nothing to aucoalesce.
			cut := strings.Contains(name, "4.2.1-raw")
			if (compared < 150 && !cut) || compared == 0 || (refused > 0 && !cut) {
				t.Errorf("%d events compared, %d refused", compared, refused)
			}
		})
	}
}

// compare reports whether there was something to compare with.
func compare(t *testing.T, b *record.Batch, i, j int, got map[string]any) bool {
	t.Helper()
	want, warnings, err := alone(t, b, i, j)
	if err != nil {
		if b.Recs[i].Type != record.TypeEOE {
			t.Errorf("%s: aucoalesce: %v", b.Bytes(i), err)
		}
		return true
	}
	if b.Recs[i].Type == uint32(auparse.AUDIT_DAEMON_END) && bytes.Count(b.Bytes(i), []byte("auid=")) == 2 {
		// auditd 2.8.5 makes it of two texts, so that each field is there twice. We take the
		// first, aucoalesce the last.
		if got["event.original"] == nil {
			t.Errorf("%s: the second values are lost", b.Bytes(i))
		}
		return true
	}
	said := strings.Join(warnings, "; ")
	if strings.Contains(said, "exe key not found") || isCut(got) {
		return false
	}
	for _, path := range slices.Sorted(maps.Keys(want)) {
		if fmt.Sprint(got[path]) != fmt.Sprint(want[path]) && !differs(path, want[path], got, said) {
			t.Errorf("%s\n%s: %q, aucoalesce has %q (%s)", b.Bytes(i), path, got[path], want[path], said)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(got)) {
		if _, there := want[path]; !there && !added(path, got, said) {
			t.Errorf("%s\n%s: %q is not what aucoalesce or the document has (%s)", b.Bytes(i), path, got[path], said)
		}
	}
	return true
}

// differs reports whether docs/ecs.md says that a value is other than aucoalesce's.
func differs(path string, lib any, got map[string]any, said string) bool {
	ours := fmt.Sprint(got[path])
	if got["labels.encoding"] == "percent" && percentAll(lib) == ours {
		return true // bytes that are no UTF-8: percent-encoded, all over the event
	}
	if got[path] == nil && (lib == "unset" || lib == "4294967295") {
		return true // an id that is not set
	}
	switch path {
	case "file.path": // the schema has absolute ones
		name := fmt.Sprint(lib)
		if got["labels.encoding"] == "percent" {
			name = percent(name)
		}
		return ours == filepath.Join(fmt.Sprint(got["process.working_directory"]), name)
	case "auditd.summary.actor.secondary": // whose password was changed did not do it
		return got["auditd.message_type"] == "user_chauthtok" && ours == got["auditd.data.uid"]
	case "auditd.summary.object.type":
		return lib == "file" && got["file.path"] != nil // it takes everything for one
	case "auditd.data.op", "auditd.data.text", "auditd.summary.object.primary":
		return strings.HasPrefix(ours, fmt.Sprint(lib)+" ") // words that were not quoted
	case "auditd.message_type":
		return (lib == "unknown[1423]" && ours == "landlock_access") || (lib == "unknown[1424]" && ours == "landlock_domain")
	case "event.category":
		return strings.Contains(said, "no normalization found")
	case "process.name":
		if name := lib.(string); len(name) == 15 && strings.HasPrefix(ours, name) && strings.HasSuffix(fmt.Sprint(got["process.executable"]), "/"+ours) {
			return true // the program's whole name
		}
		text, ok := record.AppendUnhex(nil, []byte(lib.(string)))
		return ok && percent(string(text)) == ours
	}
	return false
}

// isCut reports whether a record of the event ends inside of a quote, as auditd 4.2.1 sends
// them: then their text is added. aucoalesce drops the field.
func isCut(got map[string]any) bool {
	list, _ := got["event.original"].([]any)
	return slices.ContainsFunc(list, func(line any) bool {
		return strings.Count(line.(string), `"`)%2 == 1 || strings.Count(line.(string), "'")%2 == 1
	})
}

func percentAll(v any) string {
	if list, ok := v.([]any); ok {
		var all []any
		for _, s := range list {
			all = append(all, percent(s.(string)))
		}
		return fmt.Sprint(all)
	}
	return percent(v.(string))
}

// percent is how a string reads in an event with labels.encoding.
func percent(s string) string {
	var out strings.Builder
	for len(s) > 0 {
		r := []rune(s[:min(len(s), 4)])[0]
		switch n := len(string(r)); {
		case r == '%':
			out.WriteString("%25")
			s = s[1:]
		case r == '\uFFFD' && !strings.HasPrefix(s, "\uFFFD"):
			fmt.Fprintf(&out, "%%%02x", s[0])
			s = s[1:]
		default:
			out.WriteString(s[:n])
			s = s[n:]
		}
	}
	return out.String()
}

// added reports whether a field that aucoalesce does not have is one of those that
// docs/ecs.md says are added. said is what aucoalesce has warned of.
func added(path string, got map[string]any, said string) bool {
	if strings.Contains(said, "no normalization found") {
		// What aucoalesce knows of the system call.
		for _, prefix := range []string{"event.action", "event.type", "file.", "auditd.summary.object."} {
			if strings.HasPrefix(path, prefix) {
				return true
			}
		}
	}
	switch path {
	case "event.id", "event.module", "service.type", "ecs.version", "host.name", "host.os.type", "process.args_count", "process.command_line", "related.user", "labels.encoding", "tags",
		"process.thread.capabilities.permitted", "process.thread.capabilities.effective",
		"auditd.data.proctitle", "auditd.data.socket.saddr", "auditd.data.socket.pid", "auditd.data.socket.groups", "auditd.data.socket.scope":
		return true
	case "auditd.data.uid", "auditd.data.euid", "auditd.data.uid_name", "auditd.data.euid_name":
		return got[strings.Replace(strings.Replace(path, "auditd.data.", "user.", 1), "_name", "", 1)] == nil // its place was taken
	case "process.args", "auditd.data.argc":
		return strings.Contains(said, "failed to parse EXECVE")
	case "auditd.summary.object.primary", "destination.path", "auditd.data.socket.path":
		return strings.HasPrefix(fmt.Sprint(got["auditd.data.socket.path"]), "@") // an abstract socket
	case "file.owner", "file.group":
		return true
	case "file.name", "file.extension":
		return strings.HasSuffix(fmt.Sprint(got["file.path"]), fmt.Sprint(got[path]))
	case "source.address", "destination.address":
		return got[path] == got[strings.Replace(path, "address", "path", 1)]
	}
	if i := strings.LastIndexByte(path, '.'); strings.HasPrefix(path, "auditd.paths.") {
		return path[i:] == ".owner" || path[i:] == ".group"
	}
	return (strings.HasPrefix(path, "user.") && strings.HasSuffix(path, ".name")) ||
		(strings.HasPrefix(path, "auditd.data.") && strings.HasSuffix(path, "_name"))
}
