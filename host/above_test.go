package host

import "testing"

func TestRelayAbove(t *testing.T) {
	m := fakeMachine(t)
	m.put(t, "/usr/sbin/relay", "a relay", 0o755)
	m.put(t, "/usr/sbin/auditd", "auditd", 0o755)
	m.put(t, "/bin/sh", "sh", 0o755)
	m.run(t, 1, 0, "init", m.path("/bin/sh"))
	m.run(t, 10, 1, "auditd", m.path("/usr/sbin/auditd"))
	m.run(t, 11, 10, "relay", m.path("/usr/sbin/relay"))
	m.run(t, 12, 11, "sh", m.path("/bin/sh"))
	m.run(t, 13, 12, "relay", m.path("/usr/sbin/relay"))
	self := "/usr/sbin/relay"
	for _, tt := range []struct{ own, parent, want int }{
		{11, 10, 0},  // a plugin of auditd's
		{12, 11, 11}, // a child of the relay's that is one
		{13, 12, 11}, // by a shell
		{99, 98, 0},  // nothing is known
	} {
		if got := m.relayAbove(tt.parent, tt.own, self); got != tt.want {
			t.Errorf("pid %d, child of %d: relay %d, want %d", tt.own, tt.parent, got, tt.want)
		}
	}
	if pid := RelayAbove(); pid != 0 {
		t.Errorf("the test has a relay above it: %d", pid)
	}
}
