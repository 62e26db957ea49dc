package ecs

import (
	"cmp"
	"strings"

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

// accountRoles are the roles in records of some types. Who user and user.effective are is as
// auditbeat has it. Whom the record is about is not: that takes what it finds first of acct, id
// and the uid of who has done it.
var accountRoles = [...]struct {
	does roles
	of   string
}{
	{logsIn, "USER_AUTH USER_ACCT USER_ERR USER_LOGIN USER_LOGOUT USER_START USER_END CRED_ACQ CRED_DISP CRED_REFR"},
	{setsLogin, "LOGIN"},
	{administers | changesUser, "ADD_USER DEL_USER USER_MGMT USER_CHAUTHTOK"},
	{administers | changesGroup, "ADD_GROUP DEL_GROUP GRP_MGMT GRP_CHAUTHTOK"},
	{administers | entersGroup, "GRP_AUTH"},
	{entersGroup, "CHGRP_ID"},
	{changesUser, "ACCT_LOCK ACCT_UNLOCK ROLE_ASSIGN ROLE_REMOVE ROLE_MODIFY"},
	{changesUser, "ANOM_ADD_ACCT ANOM_DEL_ACCT ANOM_MOD_ACCT"},
	{changesUser, "ANOM_LOGIN_ACCT ANOM_LOGIN_FAILURES ANOM_LOGIN_TIME ANOM_LOGIN_SESSIONS ANOM_LOGIN_LOCATION"},
	{changesUser, "RESP_ACCT_LOCK RESP_ACCT_LOCK_TIMED RESP_ACCT_UNLOCK_TIMED RESP_ACCT_REMOTE"},
}

// findUsers decides who user, user.effective and the others are: the ids of the event's own
// record, unless it is about an account.
func (e *Encoder) findUsers() {
	d := &e.doc
	d.user, d.effective = e.id(keyUID), e.id(keyEUID)
	d.does = e.known.of(e.recs[d.first].Type).does
	if d.does != 0 {
		e.findAccounts(&e.recs[d.first], d.does)
	}
	if d.user.same(d.effective) {
		d.effective, d.impliedEUID = entity{}, true
		gid, egid := e.id(keyGID), e.id(keyEGID)
		d.impliedEGID = egid.ID == gid.ID && (egid.Name == "" || egid.Name == gid.Name)
	}
}

func (e *Encoder) findAccounts(r *parsedRecord, does roles) {
	d := &e.doc
	if does&(logsIn|administers) != 0 {
		d.user, d.effective = e.idEntity(r, keyAUID, false), e.idEntity(r, keyUID, false)
	}

	group := does&(changesUser|logsIn) != 0 && e.ofGroupTool(r)
	if uid := d.effective.ID; uid != "" && (group || does&administers != 0) {
		d.summary.actor2 = uid // who was changed is not who has done it
	}

	switch {
	case does&setsLogin != 0:
		d.user, d.effective = e.firstID(r, keyDashOldAUID, keyOldAUID), e.firstID(r, keyNewAUID, keyAUID)
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
		d.group.Name = e.value(r, keyGrp)
		if d.target == (entity{}) && does&administers == 0 { // pam_faillock
			d.target = e.idEntity(r, keySUID, false)
		}
		e.setObject(d.target)
	}
}

// findGroup finds the group of a record about one. If grp= names it, id= and acct= are the member that is added or
// removed; or, where op= does not mention a member, acct= is the user who has called gpasswd.
func (e *Encoder) findGroup(r *parsedRecord) {
	d := &e.doc
	grp := e.value(r, keyGrp)
	switch {
	case record.AboutMember(e.value(r, keyOp)) && !(grp == "" && e.ofGroupTool(r)):
		d.group.Name = grp
		if account := e.account(r, false); !strings.Contains(account.Name, ",") { // else a list of members
			d.target = account
		}
	case grp != "":
		d.group = e.idEntity(r, keyID, true)
		d.group.Name = grp
	default:
		d.group = e.account(r, true)
	}

	if d.group == (entity{}) {
		e.setObject(d.target)
		return
	}
	e.setObject(d.group)
	d.summary.object2 = cmp.Or(d.target.ID, d.target.Name, d.summary.object2)
}

// enteredGroup returns the group that newgrp changes to, or asks the password of.
func (e *Encoder) enteredGroup(r *parsedRecord) entity {
	group := e.firstID(r, keyNewGID, keyDashNewGID)
	group.Name = cmp.Or(group.Name, e.value(r, keyNewGroup), e.value(r, keyDashNewGroup), e.value(r, keyGrp))
	return group
}

// ofGroupTool reports whether a record is one of a program whose acct= is a group's name:
// before shadow 4.17 gpasswd and groupmod wrote USER_ACCT and USER_CHAUTHTOK records.
func (e *Encoder) ofGroupTool(r *parsedRecord) bool {
	exe := e.value(r, keyExe)
	switch exe[strings.LastIndexByte(exe, '/')+1:] {
	case "gpasswd", "groupmod", "groupadd", "groupdel":
		return e.value(r, keyGrp) == ""
	}
	return false
}

// setObject makes an account the object of the summary. Of a session that is the terminal, beside which
// it is kept, or nothing.
func (e *Encoder) setObject(account entity) {
	const groupPassword = 1133 // GRP_CHAUTHTOK
	s := &e.doc.summary
	name := cmp.Or(account.ID, account.Name)
	if name == "" || (s.what == "user-session" && e.recs[e.doc.first].Type != groupPassword) {
		return
	}
	s.object, s.what = name, cmp.Or(s.what, "account")
}

// account returns the account that id= and acct= name. What acct= says is a name, "0" too.
func (e *Encoder) account(r *parsedRecord, group bool) entity {
	account := e.idEntity(r, keyID, group)
	account.Name = cmp.Or(e.value(r, keyAcct), account.Name)
	return account
}

// firstID returns the user or group of the first field that is there.
func (e *Encoder) firstID(r *parsedRecord, keys ...key) entity {
	for _, k := range keys {
		if e.find(r, k) >= 0 {
			return e.idEntity(r, k, e.known.keys.groups.has(k))
		}
	}
	return entity{}
}

// idEntity returns the user or group that an id names.
func (e *Encoder) idEntity(r *parsedRecord, k key, group bool) entity {
	at := e.find(r, k)
	if at < 0 || !isNumber(e.fields[at].val) {
		return entity{}
	}
	id := e.fields[at].val
	return entity{ID: id, Name: e.name(r, k, id, group)}
}

// value returns the value of a field, "" when it is not there or says nothing.
func (e *Encoder) value(r *parsedRecord, k key) string {
	if at := e.find(r, k); at >= 0 && !isNothing([]byte(e.fields[at].val)) {
		return e.fields[at].val
	}
	return ""
}

// namesAccount reports whether the document has the name of an account's id.
func (d *document) namesAccount(id, name string) bool {
	account := entity{ID: id, Name: name}
	return account == d.user || account == d.effective || account == d.target || account == d.group
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
