package ocsf

import (
	"strings"

	"audisp-relay/audit/record"
)

// membership is what a record about an account is that says to which group it was added, or from which it was removed.
var membership = action{class: groupManagement, activity: other}

// saysMembership reports whether a record is about an account's membership in a group, which it names.
func (e *Encoder) saysMembership(r *parsedRecord) bool {
	op := e.said(r, "op")
	return e.said(r, "grp") != "" && record.AboutMember(op) && strings.Contains(op, "group")
}

// findGroup finds the group that the event is about, and the member that was added or removed. As in the format ecs grp= is the group;
// id= and acct= are the member where op= speaks of one, unless they are a list, and without grp= the group. Else acct= is who called gpasswd.
func (e *Encoder) findGroup() bool {
	ev, r := &e.ev, e.ev.lead
	grp, acct, id := e.said(r, "grp"), e.said(r, "acct"), e.findSaid(r, "id")
	ev.ofMember = record.AboutMember(e.said(r, "op")) && (grp != "" || !e.ofGroupTool(r))
	switch {
	case ev.ofMember && strings.Contains(acct, ","):
		ev.group.name = grp
	case ev.ofMember:
		ev.group.name, ev.account = grp, e.userOf(r, id, false)
		if acct != "" {
			ev.account.name = acct
		}
	default:
		ev.group = e.userOf(r, id, true)
		if grp != "" {
			ev.group.name = grp
		} else if acct != "" {
			ev.group.name = acct
		}
	}
	return ev.group != user{}
}

// memberActivity returns what was done to the member of a group.
func memberActivity(op string) uint8 {
	switch {
	case strings.HasPrefix(op, "add"):
		return groupAddUser
	case strings.HasPrefix(op, "del"), strings.HasPrefix(op, "remov"):
		return groupRemoveUser
	}
	return other
}

// writeGroup writes which group the event is about, and which member of it.
func (e *Encoder) writeGroup() {
	ev, r := &e.ev, e.ev.lead
	grp := take(e.findSaid(r, "grp"))
	if ev.account != (user{}) || grp == "" {
		take(e.findSaid(r, "acct"))
	}
	if ev.account != (user{}) || !ev.ofMember {
		take(e.findSaid(r, "id"))
	}
	e.writeEntity("group", ev.group)
	e.writeEntity("user", ev.account)
	e.writeOrigin(r)
}

// said returns the value of a field that findSaid finds, "" without.
func (e *Encoder) said(r *parsedRecord, key string) string {
	if f := e.findSaid(r, key); f != nil {
		return f.val
	}
	return ""
}

// findModule finds the module that the kernel says it has loaded, or taken out.
func (e *Encoder) findModule() bool {
	for k := range e.recs {
		if r := &e.recs[k]; r.Type == record.TypeKernModule && len(r.ID) > 0 && e.value(r, "name") != "" {
			e.ev.module = e.find(r, "name")
			return true
		}
	}
	return false
}

// writeDriver writes a module of the kernel. The records have its name; of which file it is they do not say.
func (e *Encoder) writeDriver() {
	w := &e.w
	m := w.Open("driver", '{')
	f := w.Open("file", '{')
	w.Str("name", take(e.ev.module))
	w.Literal("type_id", "0") // Unknown
	w.Close(f, '}')
	w.Close(m, '}')
}
