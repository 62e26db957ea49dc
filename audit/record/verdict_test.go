package record_test

import (
	"strings"
	"testing"

	"audisp-relay/audit/record"
)

func TestVerdictOfSELinuxIsRead(t *testing.T) {
	for _, tt := range []struct{ words, want string }{
		{"avc:  denied  { read } for  ", "denied: read"},
		{"avc:  granted  { read write } for  ", "granted: read write"},
		{" avc: denied {read  write} for", "denied: read write"},
		{"avc:denied { 0x400 }", "denied: 0x400"},
		{"avc:  denied  null for  ", "denied:"},
		{"avc:  denied  { } for  ", "denied:"},
		{"avc:  denied  {} for  ", "denied:"},
		{"", ""}, {"avc:", ""}, {"avc:  denied", ""}, {"avc:  denied  ", ""}, {"avc:  denied  for  ", ""}, {"avc:  denied  { read for  ", ""},
		{"avc:  received policyload notice ", ""}, {"AVC:  denied  { read } for  ", ""}, {"user avc:  denied  { read } for  ", ""},
		{"avc:  deniedx  { read } for  ", ""}, {"netlabel: ", ""},
	} {
		got := ""
		v, ok := record.ReadVerdict([]byte(tt.words))
		if ok {
			perms := v.Perms
			got = string(v.Result) + ":"
			for {
				perm, rest := record.NextPerm(perms)
				if len(perm) == 0 {
					break
				}
				got += " " + string(perm)
				perms = rest
			}
		}
		if got != tt.want {
			t.Errorf("%q: %q, want %q", tt.words, got, tt.want)
		}
	}
}

func TestLoginKey(t *testing.T) {
	for _, tt := range []struct{ body, want string }{
		{"login pid=1 old auid=2 new auid=3 old ses=4 new ses=5", "pid=1 old-auid=2 auid=3 old-ses=4 ses=5"},
		{"old loginuid=2 new loginuid=3", "old-auid=2 auid=3"},
		{"old-auid=2 new-auid=3 old-ses=4 new-ses=5", "old-auid=2 auid=3 old-ses=4 ses=5"},
		{"old-auid=2 auid=3 old-ses=4 ses=5", "old-auid=2 auid=3 old-ses=4 ses=5"},
		{"bold auid=2 renew ses=3 old uid=4 older auid=5", "auid=2 ses=3 uid=4 auid=5"},
	} {
		var got []string
		for s := record.Scan([]byte(tt.body)); s.Next(); {
			name, words := record.LoginKey(s.Gap, s.Key)
			if name == "" {
				name = string(s.Key)
			}
			if words != 0 && words != len("old ") {
				t.Errorf("%q: %d bytes", tt.body, words)
			}
			got = append(got, name+"="+string(s.Value))
		}
		if got := strings.Join(got, " "); got != tt.want {
			t.Errorf("%q: %q, want %q", tt.body, got, tt.want)
		}
	}
}
