package plugin

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"audisp-relay/host"
)

// TestChooseRunDir: one relay is taken, none or several are not guessed at.
func TestChooseRunDir(t *testing.T) {
	one := host.Running{PID: 7, Sockets: []string{"/run/a/control.sock"}}
	two := host.Running{PID: 9, Sockets: []string{"/run/b/control.sock"}}
	for _, test := range []struct {
		name   string
		relays []host.Running
		dir    string
		says   string // each word
	}{
		{"one", []host.Running{one}, "/run/a", ""},
		{"none", nil, "", "no audisp-relay install"},
		{"two", []host.Running{one, two}, "", "2 relays 7 /run/a 9 /run/b --run-dir"},
		{"one of two without a socket", []host.Running{one, {PID: 9}}, "", "2 relays 7 /run/a 9 without --run-dir"},
		{"no socket", []host.Running{{PID: 7}}, "", "7 without a control socket log"},
		{"hidden", []host.Running{{PID: 7, Hidden: fs.ErrPermission}}, "", "7 only root"},
	} {
		dir, err := chooseRunDir(test.relays)
		if dir != test.dir || (err == nil) != (test.dir != "") || errors.Is(err, ErrNotRunning) != (len(test.relays) == 0) {
			t.Errorf("%s: %q, %v", test.name, dir, err)
			continue
		}
		for word := range strings.FieldsSeq(test.says) {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%s: %v does not say %q", test.name, err, word)
			}
		}
	}
}
