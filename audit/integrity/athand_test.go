package integrity

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"audisp-relay/audit/audittest"
	"audisp-relay/host/athand"
)

// TestPoisonIsSeenByItsHeader: an event that has ended the process is not missing, and is neither damaged nor truncated whatever its
// records say; one like it is, and others are watched as ever.
func TestPoisonIsSeenByItsHeader(t *testing.T) {
	const sec = 1000
	event := func(serial int) string { // it lacks its paths, arguments and address, and its last record has lost its end
		id := fmt.Sprintf(" msg=audit(%d.000:%d): ", sec, serial)
		return "type=SYSCALL" + id + "arch=c000003e syscall=59 success=yes exit=0 a0=1 a1=2 a2=10 items=2 ppid=1 pid=2 key=(null)\n" +
			"type=EXECVE" + id + "argc=3 a0=\"x\"\n" + "type=SOCKADDR" + id + "saddr=02\n" + "type=CWD" + id + "cwd=\"/\n" +
			"type=PROCTITLE" + id + "proctitle=6C73\n"
	}
	memory, page := audittest.AtHand(t, athand.ID{Millis: sec * 1000, Serial: 2})
	tr := NewTracker(Options{AtHand: page})
	b := audittest.Lines(t, audittest.UserAt(1, sec)+event(2)+audittest.UserAt(3, sec)+audittest.UserAt(5, sec)+event(6))
	n := tr.Observe(b, audittest.Epoch)
	if n == len(b.Recs) || !strings.HasPrefix(string(b.Bytes(n)), fmt.Sprintf("type=EXECVE msg=audit(%d.000:6)", sec)) {
		t.Fatalf("%d records are whole, of %d", n, len(b.Recs))
	}
	due := tr.Due(audittest.Epoch.Add(time.Minute))
	if missing, damaged := spread(due, MissingSerials), spread(due, IncompleteEvent); !slices.Equal(missing, []uint32{4}) || !slices.Equal(damaged, []uint32{6}) {
		t.Errorf("missing %v, damaged %v", missing, damaged)
	}
	if ids := athand.Collect(memory); len(ids) != 0 {
		t.Errorf("%v is still at hand", ids)
	}
}
