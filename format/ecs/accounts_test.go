package ecs

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// expect is what some fields of an event are to be; nil says that there is no such field.
type expect map[string]any

func (want expect) check(t *testing.T, text string, o Options) {
	t.Helper()
	got := encode(t, New(o), text)
	for path, val := range want {
		if fmt.Sprintf("%q", got[path]) != fmt.Sprintf("%q", val) {
			t.Errorf("%s is %q, want %q\n%s", path, got[path], val, text)
		}
	}
}

// Who has done something is never whom or what it was done to, whatever form the record has.
func TestActorIsNotTheTarget(t *testing.T) {
	// The actor is uid 0 in a session of 1000. No group and no other user has these ids.
	msg := func(typ, fields, names string) string {
		if names != "" {
			names = sep + `UID="root" AUID="admin"` + names
		}
		return rec(typ, "pid=7 uid=0 auid=1000 ses=5 msg='"+fields+" hostname=? addr=? terminal=pts/2 res=success'"+names)
	}
	group := func(id, name any) expect {
		return expect{"group.id": id, "group.name": name, "user.target.id": nil, "user.target.name": nil, "user.id": "1000", "user.effective.id": "0"}
	}
	target := func(id, name any) expect {
		return expect{"user.target.id": id, "user.target.name": name, "group.id": nil, "group.name": nil}
	}
	both := func(id, name, grp any) expect {
		return expect{"user.target.id": id, "user.target.name": name, "group.id": nil, "group.name": grp}
	}
	for _, tt := range []struct {
		name, text string
		want       expect
	}{
		{"group added, enriched", msg("ADD_GROUP", `op=add-group id=2001 exe="/usr/sbin/groupadd"`, ` ID="testgrp"`), group("2001", "testgrp")},
		{"group added, by name", msg("ADD_GROUP", `op=adding group acct="g" exe="/usr/sbin/groupadd"`, ` `), group(nil, "g")},
		{"group added, hex name and id", msg("ADD_GROUP", `op=adding group acct=73766320677270 id=991 exe="/usr/bin/systemd-sysusers"`, ""), group("991", "svc grp")},
		{"group added, no id", msg("ADD_GROUP", `op=add-group acct="g" id=4294967295 exe="/usr/sbin/groupadd"`, ` ID="unset"`), group(nil, "g")},
		{"group removed", msg("DEL_GROUP", `op=delete-group id=2002 exe="/usr/sbin/groupdel"`, ` ID="old"`), group("2002", "old")},
		{"group removed with its user", msg("DEL_GROUP", `op=delete-group grp="bob" acct="bob" exe="/usr/sbin/userdel"`, ` `), group(nil, "bob")},
		{"shadow group", msg("GRP_MGMT", `op=add-shadow-group id=2001 exe="/usr/sbin/groupadd"`, ` ID="testgrp"`), group("2001", "testgrp")},
		{"group changed", msg("GRP_MGMT", `op=modify-group acct="g" exe="/usr/sbin/groupmod"`, ""), group(nil, "g")},
		{"group changed, in words without fields", msg("GRP_MGMT", `op=changing /etc/group; group g/5, new gid: 6 acct="g" exe="/usr/sbin/groupmod"`, ""), group(nil, "g")},
		{"group without a name", msg("GRP_MGMT", `op=modify-group exe="/usr/sbin/groupmod"`, ` `), group(nil, nil)},
		{"group with a number for a name", msg("GRP_MGMT", `op=modify-group acct="0" exe="/usr/sbin/groupmod"`, ""), group(nil, "0")},
		{"group with an id that is none", msg("GRP_MGMT", `op=modify-group id=wheel exe="/usr/sbin/groupmod"`, ""), group(nil, nil)},
		{"gpasswd -R: acct is who calls it", msg("GRP_MGMT", `op=restrict-group grp="wheel" acct="root" exe="/usr/bin/gpasswd"`, ` `), group(nil, "wheel")},
		{"gpasswd -A: a list", msg("GRP_MGMT", `op=set-admins-of-group grp="wheel" acct="a,b" exe="/usr/bin/gpasswd"`, ` `), group(nil, "wheel")},
		{"password of a group: acct is who calls it", msg("GRP_CHAUTHTOK", `op=change-password grp="wheel" acct="root" exe="/usr/bin/gpasswd"`, ` `), group(nil, "wheel")},
		{"password of a group", msg("GRP_CHAUTHTOK", `op=changing acct="wheel" exe="/usr/sbin/groupmod"`, ` `), group(nil, "wheel")},
		{"password of a group, by id", msg("GRP_CHAUTHTOK", `op=changing id=10 exe="/usr/sbin/groupmod"`, ` ID="wheel"`), group("10", "wheel")},
		{"password of no group", msg("GRP_CHAUTHTOK", `op=changing exe="/usr/sbin/groupmod"`, ` `), group(nil, nil)},
		{"gpasswd before 4.17", msg("USER_CHAUTHTOK", `op=password of group wheel changed by root acct="wheel" exe="gpasswd"`, ` `), group(nil, "wheel")},
		{"groupmod before 4.17", msg("USER_ACCT", `op=modifying group acct="wheel" exe="/usr/sbin/groupmod"`, ` `), group(nil, "wheel")},
		{"member added", msg("GRP_MGMT", `op=add-user-to-group grp="wheel" acct="bob" exe="/usr/sbin/usermod"`, ` `), both(nil, "bob", "wheel")},
		{"member removed, hex", msg("GRP_MGMT", `op=delete-user-from-shadow-group grp=612062 acct=632064 exe="/usr/sbin/usermod"`, ""), both(nil, "c d", "a b")},
		{"member, another text", msg("GRP_MGMT", `op=add-member grp="wheel" acct="bob" exe="/usr/sbin/lgroupmod"`, ` `), both(nil, "bob", "wheel")},
		{"group that is called users", msg("GRP_MGMT", `op=changing /etc/group; group users/100, new name: staff acct="users" exe="/usr/sbin/groupmod"`, ""), group(nil, "users")},
		{"member of a group without a name", msg("GRP_MGMT", `op=add-user-to-group acct="bob" exe="/usr/sbin/usermod"`, ` `), target(nil, "bob")},
		{"member, USER_MGMT", msg("USER_MGMT", `op=deleting-user-from-group grp="wheel" id=1001 exe="/usr/sbin/userdel"`, ` ID="bob"`), both("1001", "bob", "wheel")},
		{"member, old text", msg("USER_CHAUTHTOK", `op=adding user to group acct="bob" exe="/usr/sbin/usermod"`, ` `), target(nil, "bob")},
		{"user added", msg("ADD_USER", `op=add-user id=1001 exe="/usr/sbin/useradd"`, ` ID="bob"`), target("1001", "bob")},
		{"user not added", msg("ADD_USER", `op=adding user acct="svc" id=4294967295 exe="/usr/sbin/useradd"`, ""), target(nil, "svc")},
		{"user removed", msg("DEL_USER", `op=delete-user id=1001 exe="/usr/sbin/userdel"`, ` ID="bob"`), target("1001", "bob")},
		{"user changed", msg("USER_MGMT", `op=changing-shell id=1001 exe="/usr/sbin/usermod"`, ` ID="bob"`), target("1001", "bob")},
		{"no user changed", msg("USER_MGMT", `op=changing-shell exe="/usr/sbin/usermod"`, ` `), target(nil, nil)},
		{"user changed, id -1", msg("USER_MGMT", `op=changing-shell id=-1 exe="/usr/sbin/usermod"`, ` `), target(nil, nil)},
		{"password", msg("USER_CHAUTHTOK", `op=PAM:chauthtok grantors=pam_unix acct="bob" exe="/usr/bin/passwd"`, ` `), target(nil, "bob")},
		{"no password", msg("USER_CHAUTHTOK", `op=PAM:chauthtok acct="?" exe="/usr/bin/passwd"`, ` `), target(nil, nil)},
		{"account locked", msg("ACCT_LOCK", `op=locked-password id=20003 exe="/usr/bin/passwd"`, ` ID="l"`), target("20003", "l")},
		{"account unlocked, by name", msg("ACCT_UNLOCK", `op=unlock acct="l" exe="/usr/bin/passwd"`, ` `), target(nil, "l")},
		{"faillock", msg("RESP_ACCT_LOCK", `op=pam_faillock suid=1001 exe="/usr/sbin/sshd"`, ` SUID="bob"`), target("1001", "bob")},
		{"role given", msg("ROLE_ASSIGN", `op=login-sename acct="bob" old-seuser=? new-seuser=staff_u exe="/usr/sbin/semanage"`, ` `), target(nil, "bob")},
		{"role taken", msg("ROLE_REMOVE", `op=delete-selinux-user-mapping id=1001 exe="/usr/sbin/userdel"`, ` ID="bob"`), target("1001", "bob")},
		{"account that a watch saw", msg("ANOM_MOD_ACCT", `op=x acct="bob" exe="/x"`, ` `), target(nil, "bob")},
		{"newgrp", msg("CHGRP_ID", `op=changing new_group="wheel" id=1000 exe="/usr/bin/newgrp"`, ` ID="admin"`), both(nil, nil, "wheel")},
		{"newgrp, by id", msg("CHGRP_ID", `op=changing new_gid=10 id=1000 exe="/usr/bin/newgrp"`, ` ID="admin" NEW_GID="wheel"`), expect{"group.id": "10", "group.name": "wheel", "user.target.id": nil, "user.new_gid.id": nil}},
		{"newgrp, old keys", msg("CHGRP_ID", `op=changing new-gid=10 id=1000 exe="/usr/bin/newgrp"`, ""), expect{"group.id": "10", "group.name": nil, "user.target.id": nil}},
		{"newgrp asks", msg("GRP_AUTH", `op=authentication new_gid=10 id=1000 exe="/usr/bin/newgrp"`, ""), expect{"group.id": "10", "user.target.id": nil, "user.id": "1000"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.want.check(t, tt.text, Options{})
		})
	}
	t.Run("names that are looked up", func(t *testing.T) {
		o := Options{Users: &passwd{}}
		group("0", "wheel").check(t, msg("GRP_MGMT", `op=add-shadow-group id=0 exe="/usr/sbin/groupadd"`, ""), o)
		target("1000", "alice").check(t, msg("ACCT_LOCK", `op=locked-password id=1000 exe="/usr/bin/passwd"`, ""), o)
	})
}

// The summary speaks of the same actor and object.
func TestSummaryHasTheSameActorAndObject(t *testing.T) {
	text := func(typ, fields string) string {
		return rec(typ, `pid=7 uid=0 auid=1000 ses=5 msg='`+fields+` exe="/usr/sbin/x" hostname=? addr=? terminal=pts/2 res=success'`)
	}
	for _, tt := range []struct{ typ, fields, actor, object, second string }{
		{"GRP_MGMT", `op=add-user-to-group grp="wheel" acct="bob"`, "0", "wheel", "bob"},
		{"GRP_MGMT", `op=modify-group id=10`, "0", "10", ""},
		{"GRP_CHAUTHTOK", `op=change-password grp="wheel" acct="root"`, "0", "wheel", ""},
		{"USER_CHAUTHTOK", `op=PAM:chauthtok acct="bob"`, "0", "pts/2", ""},
		{"ACCT_LOCK", `op=locked-password id=1001`, "0", "1001", ""},
		{"ADD_USER", `op=adding user acct="svc" id=4294967295`, "0", "svc", ""},
	} {
		want := expect{"auditd.summary.actor.primary": "1000", "auditd.summary.actor.secondary": tt.actor, "auditd.summary.object.primary": tt.object}
		if tt.second != "" {
			want["auditd.summary.object.secondary"] = tt.second
		}
		want.check(t, text(tt.typ, tt.fields), Options{})
	}
}

// Two users of one name are two.
func TestUsersOfOneNameAreTwo(t *testing.T) {
	text := strings.Replace(sys(59, 0), "euid=0", "euid=5", 1)
	expect{"user.id": "0", "user.effective.id": "5", "user.effective.name": "root"}.check(t, strings.TrimSpace(text)+sep+`UID="root" EUID="root"`+"\n", Options{})
	expect{"user.effective.id": nil}.check(t, sys(59, 0), Options{})
}

// A name of digits is a name. Else whoever types 0 where sshd asks for a name is root.
func TestNameOfDigitsIsAName(t *testing.T) {
	login := func(typ, fields string) string {
		return rec(typ, `pid=7 uid=33 auid=4294967295 ses=4294967295 msg='op=login `+fields+` exe="/usr/sbin/sshd" hostname=? addr=192.0.2.4 terminal=ssh res=failed'`)
	}
	for _, tt := range []struct {
		text     string
		id, name any
	}{
		{login("USER_LOGIN", `acct="0"`), nil, "0"},
		{login("USER_AUTH", `acct="unset"`), nil, "unset"},
		{login("USER_AUTH", `acct="-1"`), nil, "-1"},
		{login("USER_LOGIN", `id=1000`), "1000", nil},
		{login("USER_LOGIN", `id=1000 acct="alice"`), "1000", "alice"},
		{login("USER_LOGIN", `acct="?"`), "33", nil},
		{login("USER_LOGIN", `id=-1`), "33", nil},
		{login("USER_LOGIN", `id=x`), "33", nil},
	} {
		expect{"user.id": nil, "user.effective.id": tt.id, "user.effective.name": tt.name, "source.ip": func() any {
			if slices.Contains([]string{"USER_AUTH"}, tt.text[5:14]) {
				return nil // aucoalesce has an address for logins only
			}
			return "192.0.2.4"
		}()}.check(t, tt.text, Options{})
	}
}

// The new ids of a LOGIN are found whatever the kernel called them.
func TestOldLoginNamesAreUnderstood(t *testing.T) {
	for fields, want := range map[string]expect{
		`pid=1 uid=0 old-auid=5 auid=6 tty=(none) old-ses=1 ses=2 res=1`: {"user.audit.id": "6", "auditd.session": "2"},
		`pid=1 uid=0 old-auid=5 new-auid=6 old-ses=1 new-ses=2 res=1`:    {"user.new_auid.id": "6", "auditd.data.new_ses": "2"},
		`pid=1 uid=0 old auid=5 new auid=6 old ses=1 new ses=2`:          {"user.new_auid.id": "6", "auditd.data.new_ses": "2"},
		`pid=1 uid=0 old loginuid=5 new loginuid=6`:                      {"user.new_auid.id": "6", "auditd.data.new_loginuid": nil},
		`login pid=1 uid=0 old loginuid=5 new loginuid=6`:                {"user.new_auid.id": "6"},
	} {
		want["user.id"], want["user.effective.id"] = "5", "6"
		want["auditd.summary.actor.primary"], want["auditd.summary.object.primary"] = "5", "6"
		want.check(t, rec("LOGIN", fields), Options{})
	}
}
