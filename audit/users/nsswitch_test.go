package users

import "testing"

func TestSourcesOfNames(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"empty", "", ""},
		{"Debian", "passwd:         files systemd\ngroup:          files systemd\nshadow: files\nhosts: files dns\n", ""},
		{"a directory", "passwd: files sss systemd\n", "sss"},
		{"of groups alone", "passwd: files\ngroup: files [SUCCESS=merge] ldap\n", "ldap"},
		{"first in the line", "passwd:sss files", "sss"},
		{"with an action", " passwd : files [ !NOTFOUND=return TRYAGAIN=continue ]  winbind", "winbind"},
		{"actions alone", "passwd: files [NOTFOUND=return] [", ""},
		{"in a comment", "# passwd: ldap\npasswd: compat # ldap\n", ""},
		{"of others", "shadow: ldap\nnetgroup: nis\npasswd_compat: nis\n", ""},
		{"no lines", "passwd\n:\n\x00\xff", ""},
	} {
		if got := elsewhere([]byte(tt.text)); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
