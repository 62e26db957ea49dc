package recovery

import (
	"testing"

	"audisp-relay/audit/record"
)

// TestLinesOfAuditdsOwnAreBelieved: which lines of auditd's own are believed though the stream does not have
// them. A series of serials begins at random with each start of auditd.
func TestLinesOfAuditdsOwnAreBelieved(t *testing.T) {
	const start, end, config, daemonErr = 1200, 1201, 1203, 1209
	for _, c := range []struct {
		name           string
		typ            uint32
		serial         uint32
		alone, resumed bool
		want           bool
	}{
		{"the start of a stop before the last", start, 9000, false, true, true},
		{"the end of a stop before the last", end, 9001, false, true, true},
		{"an end at a start, no stream yet", end, 9001, true, true, true},
		{"an end of now, of the series", end, 101, false, false, true},
		{"an end of now, of no series", end, 9001, false, false, false},
		{"a start of now", start, 101, false, false, false},
		{"a reload", config, 9000, false, false, true},
		{"an error of no series", daemonErr, 9000, false, true, false},
		{"an error of the series", daemonErr, 102, false, false, true},
	} {
		w := &witness{}
		w.noteDaemon(100)
		if got := w.daemonLine(&record.Record{Type: c.typ, Serial: c.serial}, c.alone, c.resumed); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
