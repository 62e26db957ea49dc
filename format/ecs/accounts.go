package ecs

import (
	"cmp"
	"slices"
	"strings"

	"github.com/elastic/go-libaudit/v2/auparse"

	"audisp-relay/audit/record"
	"audisp-relay/audit/users"
)

// entity is a user or a group.
type entity struct{ ID, Name string }

// same reports whether both are one: by their ids or, where one has none, by their names.
func (a entity) same(b entity) bool {
	if a.ID != "" && b.ID != "" {
		return a.ID == b.ID
	}
	return a.Name != "" && a.Name == b.Name
}

// roles say what the account that a record names (id=, acct=, grp=) is in it.
type roles uint8

const (
	// logsIn: the account is user.effective, user is who has logged in before.
	logsIn roles = 1 << iota
	// administers: user is who has logged in, user.effective whose rights were used.
	administers
	// changesUser: the account is user.target.
	changesUser
	// changesGroup: the account is group.
	changesGroup
	// entersGroup: the process changes to that group.
	entersGroup
	// setsLogin: user is the old login id, user.effective the new one.
	setsLogin
)

// rolesOf returns the roles in records of one type. Who user and user.effective are is as
// aucoalesce has it. Whom the record is about is not: it takes what it finds first of acct, id
// and the uid of who has done it.
func rolesOf(typ auparse.AuditMessageType) roles {
	switch typ {
	case auparse.AUDIT_USER_AUTH, auparse.AUDIT_USER_ACCT, auparse.AUDIT_USER_ERR, auparse.AUDIT_USER_LOGIN, auparse.AUDIT_USER_LOGOUT,
		auparse.AUDIT_USER_START, auparse.AUDIT_USER_END, auparse.AUDIT_CRED_ACQ, auparse.AUDIT_CRED_DISP, auparse.AUDIT_CRED_REFR:
		return logsIn
	case auparse.AUDIT_LOGIN:
		return setsLogin
	case auparse.AUDIT_ADD_USER, auparse.AUDIT_DEL_USER, auparse.AUDIT_USER_MGMT, auparse.AUDIT_USER_CHAUTHTOK:
		return administers | changesUser
	case auparse.AUDIT_ADD_GROUP, auparse.AUDIT_DEL_GROUP, auparse.AUDIT_GRP_MGMT, auparse.AUDIT_GRP_CHAUTHTOK:
		return administers | changesGroup
	case auparse.AUDIT_GRP_AUTH:
		return administers | entersGroup
	case auparse.AUDIT_CHGRP_ID:
		return entersGroup
	case auparse.AUDIT_ACCT_LOCK, auparse.AUDIT_ACCT_UNLOCK, auparse.AUDIT_ROLE_ASSIGN, auparse.AUDIT_ROLE_REMOVE, auparse.AUDIT_ROLE_MODIFY,
		auparse.AUDIT_ANOM_ADD_ACCT, auparse.AUDIT_ANOM_DEL_ACCT, auparse.AUDIT_ANOM_MOD_ACCT, auparse.AUDIT_ANOM_LOGIN_ACCT,
		auparse.AUDIT_ANOM_LOGIN_FAILURES, auparse.AUDIT_ANOM_LOGIN_TIME, auparse.AUDIT_ANOM_LOGIN_SESSIONS, auparse.AUDIT_ANOM_LOGIN_LOCATION,
		auparse.AUDIT_RESP_ACCT_LOCK, auparse.AUDIT_RESP_ACCT_LOCK_TIMED, auparse.AUDIT_RESP_ACCT_UNLOCK_TIMED, auparse.AUDIT_RESP_ACCT_REMOTE:
		return changesUser
	}
	return 0
}

// findUsers decides who user, user.effective and the others are: the ids of the event's own
// record, unless it is about an account.
func (e *Encoder) findUsers() {
	ev, d := e.doc.event, &e.doc
	ids, names := ev.User.IDs, ev.User.Names
	d.user = entity{ID: ids["uid"], Name: names["uid"]}
	d.effective = entity{ID: ids["euid"], Name: names["euid"]}
	if d.problem == "" {
		d.does = rolesOf(e.recs[d.first].typ())
	}
	if d.does != 0 {
		e.findAccounts(&e.recs[d.first], d.does)
	}
	if d.user.same(d.effective) {
		d.effective, d.impliedEUID = entity{}, true
		d.impliedEGID = ids["egid"] == ids["gid"] && (names["egid"] == "" || names["egid"] == names["gid"])
	}
}

func (e *Encoder) findAccounts(r *parsedRecord, does roles) {
	d := &e.doc
	if does&(logsIn|administers) != 0 {
		d.user, d.effective = e.idEntity(r, "auid", false), e.idEntity(r, "uid", false)
	}

	group := does&(changesUser|logsIn) != 0 && e.ofGroupTool(r)
	if uid := d.effective.ID; uid != "" && (group || does&administers != 0) {
		d.event.Summary.Actor.Secondary = uid // who was changed is not who has done it
	}

	switch {
	case does&setsLogin != 0:
		d.user, d.effective = e.firstID(r, "old-auid", "old_auid"), e.firstID(r, "new_auid", "auid")
	case does&entersGroup != 0:
		d.group = e.enteredGroup(r)
	case does&changesGroup != 0 || group:
		e.findGroup(r)
	case does&logsIn != 0:
		if account := e.account(r, false); account != (entity{}) {
			d.effective = account
		}
	case does&changesUser != 0:
		d.target = e.account(r, false)
		d.group.Name = e.value(r, "grp")
		if d.target == (entity{}) && does&administers == 0 { // pam_faillock
			d.target = e.idEntity(r, "suid", false)
		}
		e.setObject(d.target)
	}
}

// findGroup finds the group of a record about one. Where grp= names it, id= and acct= are
// the member that is added or removed, or, where op= speaks of no member, acct= is who has
// called gpasswd.
func (e *Encoder) findGroup(r *parsedRecord) {
	d := &e.doc
	grp := e.value(r, "grp")
	switch {
	case aboutMember(e.value(r, "op")) && !(grp == "" && e.ofGroupTool(r)):
		d.group.Name = grp
		if account := e.account(r, false); !strings.Contains(account.Name, ",") { // else a list of members
			d.target = account
		}
	case grp != "":
		d.group = e.idEntity(r, "id", true)
		d.group.Name = grp
	default:
		d.group = e.account(r, true)
	}

	if d.group == (entity{}) {
		e.setObject(d.target)
		return
	}
	e.setObject(d.group)
	object := &d.event.Summary.Object
	object.Secondary = cmp.Or(d.target.ID, d.target.Name, object.Secondary)
}

// enteredGroup returns the group that newgrp changes to, or asks the password of.
func (e *Encoder) enteredGroup(r *parsedRecord) entity {
	group := e.firstID(r, "new_gid", "new-gid")
	group.Name = cmp.Or(group.Name, e.value(r, "new_group"), e.value(r, "new-group"), e.value(r, "grp"))
	return group
}

// aboutMember reports whether what was done to a group was to add, remove or rename a
// member or administrator: "add-user-to-group", "removing group member", ...
func aboutMember(op string) bool {
	for word := range strings.FieldsFuncSeq(op, func(c rune) bool { return c == '-' || c == ' ' }) {
		switch word {
		case "user", "users", "member", "members", "admin", "admins":
			return true
		}
	}
	return false
}

// ofGroupTool reports whether a record is one of a program whose acct= is a group's name:
// before shadow 4.17 gpasswd and groupmod wrote USER_ACCT and USER_CHAUTHTOK records.
func (e *Encoder) ofGroupTool(r *parsedRecord) bool {
	exe := e.value(r, "exe")
	switch exe[strings.LastIndexByte(exe, '/')+1:] {
	case "gpasswd", "groupmod", "groupadd", "groupdel":
		return e.value(r, "grp") == ""
	}
	return false
}

// setObject makes an account the object of the summary. aucoalesce has the terminal there,
// which is kept beside it, or nothing.
func (e *Encoder) setObject(account entity) {
	object := &e.doc.event.Summary.Object
	name := cmp.Or(account.ID, account.Name)
	if name == "" || (object.Type == "user-session" && e.recs[e.doc.first].typ() != auparse.AUDIT_GRP_CHAUTHTOK) {
		return
	}
	object.Primary = name
	object.Type = cmp.Or(object.Type, "account")
}

// account returns whom id= and acct= name. What acct= says is a name, "0" too.
func (e *Encoder) account(r *parsedRecord, group bool) entity {
	account := e.idEntity(r, "id", group)
	account.Name = cmp.Or(e.value(r, "acct"), account.Name)
	return account
}

// firstID returns the user or group of the first field that is there.
func (e *Encoder) firstID(r *parsedRecord, keys ...string) entity {
	for _, key := range keys {
		if e.find(r, key) >= 0 {
			return e.idEntity(r, key, strings.HasSuffix(key, "gid"))
		}
	}
	return entity{}
}

// idEntity returns the user or group that an id names.
func (e *Encoder) idEntity(r *parsedRecord, key string, group bool) entity {
	at := e.find(r, key)
	if at < 0 || !isNumber(e.fields[at].val) {
		return entity{}
	}
	id := e.fields[at].val
	return entity{ID: id, Name: e.name(r, key, id, group)}
}

// value returns the value of a field, "" when it is not there or says nothing.
func (e *Encoder) value(r *parsedRecord, key string) string {
	if at := e.find(r, key); at >= 0 && !isNothing([]byte(e.fields[at].val)) {
		return e.fields[at].val
	}
	return ""
}

// namesAccount reports whether the document has the name of an account's id.
func (d *document) namesAccount(id, name string) bool {
	return slices.Contains([]entity{d.user, d.effective, d.target, d.group}, entity{ID: id, Name: name})
}

// lookUp returns the name that an id has on this machine, if the record is of it and auditd
// has added no names.
func (e *Encoder) lookUp(r *parsedRecord, id string, group bool) string {
	n, ok := record.ParseID([]byte(id))
	switch {
	case !ok || e.opts.Users == nil || r.Twinned || !users.Local(r.Node, e.opts.Local):
		return ""
	case group:
		return e.opts.Users.Group(n)
	}
	return e.opts.Users.User(n)
}
