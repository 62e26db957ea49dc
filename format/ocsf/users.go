package ocsf

import (
	"bytes"
	"strings"

	"audisp-relay/audit/record"
	"audisp-relay/audit/users"
)

// user is a user or a group.
type user struct{ uid, name string }

// accountOf returns the account that a record is about: id= and acct= or, in a LOGIN, the new login id.
func (e *Encoder) accountOf(r *parsedRecord) (u user) {
	if r.Type == record.TypeLogin {
		return e.userOf(r, e.find(r, "auid"), false)
	}
	if e.ofGroupTool(r) {
		return u
	}
	u = e.userOf(r, e.findSaid(r, "id"), false)
	if f := e.findSaid(r, "acct"); f != nil { // a name, "0" too
		u.name = f.val
	}
	if u == (user{}) { // pam_faillock
		u = e.userOf(r, e.lookFor(r, "suid", true), false)
	}
	return u
}

// ofGroupTool reports whether a record is one of a program whose acct= is a group's name: before shadow
// 4.17 gpasswd and groupmod wrote USER_CHAUTHTOK and USER_ACCT records.
func (e *Encoder) ofGroupTool(r *parsedRecord) bool {
	f := e.findSaid(r, "exe")
	if f == nil {
		return false
	}
	switch baseName(f.val) {
	case "gpasswd", "groupmod", "groupadd", "groupdel":
		return true
	}
	return false
}

// userOf returns the user, or the group, that a field of record r names by its id; nothing for one that is not set.
func (e *Encoder) userOf(r *parsedRecord, f *field, group bool) (u user) {
	if f == nil {
		return u
	}
	id, ok := record.ParseID([]byte(f.val))
	if !ok {
		return u
	}
	u.uid = f.val

	switch {
	case r.Twinned:
		u.name = e.twin(r, f.key)
		if u.name == "unset" || strings.HasPrefix(u.name, "unknown(") {
			u.name = ""
		}
	case e.opts.Users == nil || !users.Local(r.Node, e.opts.Local):
	case group:
		u.name = e.opts.Users.Group(id)
	default:
		u.name = e.opts.Users.User(id)
	}
	return u
}

// twin returns the name that auditd has added for a field of record r, "" without.
func (e *Encoder) twin(r *parsedRecord, key string) string {
	if r.Type == record.TypeLogin && bytes.Contains(r.Body, []byte("old ")) {
		return "" // of kernels before 3.11: old and new id have one name there
	}
	name, ok := r.Name(e.text[len(e.text):], []byte(key))
	if !ok {
		return ""
	}
	from := len(e.text)
	e.text = append(e.text, name...)
	return record.Alias(e.text[from:])
}
