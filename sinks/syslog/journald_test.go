package syslog

import (
	"os"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"audisp-relay/test/lab"
)

// TestJournalIsRecognised: by where the socket's path leads.
func TestJournalIsRecognised(t *testing.T) {
	root := lab.Tree(t, map[string]string{"/run/systemd/journal/dev-log": "", "/run/systemd/journal/syslog": "", "/run/systemd/journal.web/dev-log": "", "/run/rsyslog/log": ""})
	for target, want := range map[string]bool{
		"/run/systemd/journal/dev-log": true, "/run/systemd/journal.web/dev-log": true, "/run/systemd/journal/syslog": false, "/run/rsyslog/log": false, "/nowhere": false,
	} {
		link := root + "/log"
		os.Remove(link)
		if err := os.Symlink(root+target, link); err != nil {
			t.Fatal(err)
		}
		j := journal{root: root}
		if j.look("/log"); (j.burst > 0) != want {
			t.Errorf("%s: burst %d", target, j.burst)
		}
	}
}

// TestJournalRate: a rate that journald does not take is said once, and what may have been
// dropped is counted, in each of its intervals.
func TestJournalRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.WarnLevel)
		j := journal{burst: 100, interval: 30 * time.Second}
		over := 0
		for range 60 { // 3 a second
			over += j.note(3, zap.New(core))
			time.Sleep(time.Second)
		}
		if over != 0 || logs.Len() != 0 {
			t.Fatalf("%d over, %d log lines at a rate it takes", over, logs.Len())
		}
		time.Sleep(time.Minute)
		for range 2 {
			for range 30 { // 300 in an interval
				over += j.note(10, zap.New(core))
				time.Sleep(time.Second)
			}
			time.Sleep(time.Second)
		}
		if over != 400 || logs.Len() != 1 {
			t.Errorf("%d over, want 400; %d log lines", over, logs.Len())
		}
		if j = (journal{}); j.note(1<<20, zap.New(core)) != 0 {
			t.Error("counted where there is no limit")
		}
	})
}

func TestUnitIsReadFromCgroup(t *testing.T) {
	for text, want := range map[string]string{
		"0::/system.slice/auditd.service\n":                                      "auditd.service",
		"0::/system.slice/auditd.service/child\n":                                "auditd.service",
		"12:cpu:/x.service\n1:name=systemd:/system.slice/auditd.service\n0::/\n": "auditd.service",
		"0::/user.slice/user-0.slice/session-1.scope\n":                          "",
		"": "", "x\n": "", ":\n": "", "0::\n": "",
	} {
		if got := unitOf([]byte(text)); got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
}
