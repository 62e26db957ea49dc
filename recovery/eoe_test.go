package recovery

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"audisp-relay/audit/record"
)

// TestEOEWithoutAnIDEndsTheEventThatIsWhole: two events end among each other, and auditd has cut 16 bytes off all their records, and so
// the ids off the EOE records. Each event has one, after its PROCTITLE.
func TestEOEWithoutAnIDEndsTheEventThatIsWhole(t *testing.T) {
	parts := func(serial int) (call, title string) {
		id := fmt.Sprintf("msg=audit(1800000010.000:%d):", serial)
		return "type=SYSCALL " + id + ` arch=c000003e syscall=2 success=no exit=-2 a0=1 a1=2 a2=3 a3=4 items=0 ppid=1 pid=2 auid=1 uid=0 comm="x" exe="/usr/bin/x" key=(null)`,
			"type=PROCTITLE " + id + ` proctitle="/usr/bin/x --with=some --arguments"`
	}
	callA, titleA := parts(1010)
	callB, titleB := parts(1011)
	eoeOf := func(serial int) string { return fmt.Sprintf("type=EOE msg=audit(1800000010.000:%d):", serial) }

	for name, order := range map[string][]string{
		"one within the other":       {callA, titleA, callB, eoeOf(1010), titleB, eoeOf(1011)},
		"both at the end":            {callA, callB, titleA, titleB, eoeOf(1010), eoeOf(1011)},
		"one after the other":        {callA, titleA, eoeOf(1010), callB, titleB, eoeOf(1011)},
		"the first one's EOE is cut": {callA, titleA, callB, titleB, eoeOf(1011)},
	} {
		var log, sent strings.Builder
		for _, l := range userLines(1000, 1009) {
			fmt.Fprintln(&log, l)
			fmt.Fprintln(&sent, l)
		}
		for _, l := range order {
			if strings.HasPrefix(l, "type=EOE ") {
				l += " " // as the stream has it
			} else {
				fmt.Fprintln(&log, l)
			}
			fmt.Fprintln(&sent, l[:len(l)-16])
		}
		out := playFrom(t, []byte(sent.String()), []byte(log.String()), rand.New(rand.NewPCG(1, 2)), true)
		for _, serial := range []int{1010, 1011} {
			_, title := parts(serial)
			ends := 0
			for at, l := range out.got {
				if strings.TrimRight(l, " ") != eoeOf(serial) {
					continue
				}
				if ends++; slices.Index(out.got, title) > at {
					t.Errorf("%s: event %d ends before its PROCTITLE", name, serial)
				}
			}
			if want := strings.Count(strings.Join(order, "\n"), eoeOf(serial)); ends != want {
				t.Errorf("%s: event %d has %d EOE records, want %d: %q", name, serial, ends, want, out.got)
			}
		}
	}
}

// TestFewEventsWaitForTheirEOE, whatever the stream brings.
func TestFewEventsWaitForTheirEOE(t *testing.T) {
	var e eoes
	for serial := range uint32(10 * maxTitled) {
		e.note(&record.Record{Type: record.TypeProctitle, Serial: serial})
		e.note(&record.Record{Type: record.TypeProctitle, Serial: serial})
	}
	if len(e.titled) != maxTitled {
		t.Errorf("%d events wait", len(e.titled))
	}
	e.note(&record.Record{Type: record.TypeEOE, Serial: 10*maxTitled - 1})
	if of := e.take(); of.Serial != 10*maxTitled-2 {
		t.Errorf("the next EOE record is that of event %d", of.Serial)
	}
}
