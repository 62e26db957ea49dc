package ecs

import (
	"cmp"
	"strings"

	"audisp-relay/audit/record"
)

// summary is auditd.summary and event.action.
type summary struct {
	actor, actor2   string
	action, how     string
	what            string // the object's type
	object, object2 string
}

// meaningOf returns what a record of a type means, and what the event's system call does; each nil
// where that is not known or there is none.
func (e *Encoder) meaningOf(typ uint32) (m, call *meaning) {
	if name, ok := get(e.data, "syscall"); ok {
		if call = e.known.calls[name]; call == nil {
			call = e.known.calls["*"]
		}
	}
	if typ == record.TypeSyscall {
		return call, call
	}
	for _, row := range e.known.types[typ] {
		if row.sources == nil || row.has == "" || has(e.data, row.has) {
			m = row
		}
	}
	return m, call
}

// summarize says who has done what, to what, and how.
func (e *Encoder) summarize() {
	d := &e.doc
	s, m := &d.summary, d.means
	s.actor, s.actor2 = e.id("auid").ID, e.id("uid").ID
	s.how = e.usualHow()
	if m == nil {
		return
	}

	s.action, s.what = m.action, m.what
	from := m.sources
	if from == nil {
		from = &usual
	}
	switch {
	case m.what == "socket":
		s.object, _ = get(e.socket, "path")
		if addr, ok := get(e.socket, "addr"); ok {
			s.object = addr
		}
		s.object2, _ = get(e.socket, "port")
	case (m.what == "file" || m.what == "filesystem") && len(e.paths) > 0:
		e.chooseFile(from.path)
	}
	e.setFirst(&s.actor, from.actor)
	e.setFirst(&s.actor2, from.actor2)
	e.setFirst(&s.object, m.object)
	e.setFirst(&s.object2, from.object2)
	e.setFirst(&s.how, from.how)
	if ip, ok := get(e.data, from.source); ok && d.source == (address{}) {
		drop(&e.data, from.source)
		d.source, d.direction = address{ip: ip}, "ingress"
	}
}

// setFirst sets a part of the summary to the first of some fields that is there.
func (e *Encoder) setFirst(part *string, keys string) {
	for key := range strings.FieldsSeq(keys) {
		if val, ok := get(e.data, key); ok {
			*part = val
			return
		}
		if id := e.id(key); id.key != "" {
			*part = id.ID
			return
		}
	}
}

// usualHow returns the program, of an interpreter's script its own name.
func (e *Encoder) usualHow() string {
	comm, named := get(e.data, "comm")
	exe, ok := get(e.data, "exe")
	if !ok {
		return comm
	}
	if named && isInterpreter(exe) {
		return comm
	}
	return exe
}

func isInterpreter(exe string) bool {
	name, ok := strings.CutPrefix(exe, "/usr/bin/")
	return ok && (strings.HasPrefix(name, "python") || strings.HasPrefix(name, "sh") || strings.HasPrefix(name, "bash") || strings.HasPrefix(name, "perl"))
}

// correctVerdict says what a security module has decided, where the table says that its policy
// was violated whatever it decided.
func (e *Encoder) correctVerdict() {
	const firstAppArmor, lastAppArmor = 1500, 1599
	s, first := &e.doc.summary, &e.recs[e.doc.first]
	switch {
	case first.Type == record.TypeAVC && s.action == "violated-selinux-policy":
		if verdict, _ := get(e.data, "seresult"); verdict == "granted" {
			s.action = "granted-by-selinux-policy"
		}
	case first.Type == record.TypeAVC && s.action == "violated-apparmor-policy", first.Type >= firstAppArmor && first.Type <= lastAppArmor:
		verdict, _ := get(e.data, "apparmor")
		operation, _ := get(e.data, "operation")
		e.setAppArmor(cmp.Or(verdict, strings.TrimPrefix(record.Alias(first.name), "APPARMOR_")), operation)
	}
}

// appArmorAction returns what AppArmor has done, by its verdict (security/apparmor/audit.c). DENIED and
// KILLED, and they alone, are violations of a policy that is enforced.
func appArmorAction(verdict string) string {
	switch verdict {
	case "DENIED", "KILLED", "KILL":
		return "violated-apparmor-policy"
	case "ALLOWED":
		return "allowed-by-apparmor-complain-mode"
	case "AUDIT":
		return "audited-by-apparmor-policy"
	case "HINT":
		return "hinted-by-apparmor"
	case "ERROR":
		return "apparmor-error"
	case "STATUS":
		return "reported-apparmor-status"
	}
	return "reported-by-apparmor"
}

// setAppArmor says what AppArmor has done, and of a STATUS what happened to its configuration.
func (e *Encoder) setAppArmor(verdict, operation string) {
	d := &e.doc
	d.summary.action = appArmorAction(verdict)
	if verdict != "STATUS" {
		return
	}

	d.means, d.callMeans = &reportedStatus, nil
	switch operation {
	case "profile_load", "profile_replace":
		d.summary.action, d.means = "loaded-apparmor-profile", &changedProfile
	case "profile_remove":
		d.summary.action, d.means = "removed-apparmor-profile", &changedProfile
	}
}
