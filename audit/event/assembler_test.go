package event

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"audisp-relay/audit/audittest"
	"audisp-relay/audit/record"
	"audisp-relay/testdata/captures"
)

func TestEventsAreAssembled(t *testing.T) {
	for _, c := range []struct {
		name, in, out string
		counts        AssemblerCounts
		o             AssemblerOptions
	}{
		{name: "one after the other", in: "S1 P1 T1 E1 S2 T2 E2", out: "S1 P1 T1 E1 | S2 T2 E2"},
		{name: "over the end of a batch", in: "S1 P1 / C1 / T1 E1 S2 / T2 E2", out: "S1 P1 C1 T1 E1 | S2 T2 E2"},
		{name: "interleaved", in: "S1 S2 P1 P2 T1 E1 T2 E2", out: "S1 P1 T1 E1~ | S2 P2 T2 E2"},
		{name: "one within another", in: "S1 S2 T2 E2 P1 T1 E1", out: "S2 T2 E2~ | S1 P1 T1 E1"},
		{name: "interleaved over batches", in: "S1 / S2 P1 / P2 T1 E1 / T2 E2 S3 / E3", out: "S1 P1 T1 E1~ | S2 P2 T2 E2 | S3 E3"},
		{name: "later ones wait for none", in: "S1 S2 E2 S3 E3 E1 S4 E4", out: "S2 E2~ | S3 E3~ | S1 E1 | S4 E4"},
		{name: "a program's message within", in: "S1 U2 T1 E1", out: "U2~ | S1 T1 E1"},

		{name: "a program's record in front", in: "U1 S1 P1 T1 M1 E1 S2 T2 E2", out: "U1 S1 P1 T1 M1 E1 | S2 T2 E2"},
		{name: "a program's record in the middle", in: "S1 P1 U1 T1 M1 E1", out: "S1 P1 U1 T1 M1 E1"},
		{name: "a program's record at the end", in: "S1 P1 T1 M1 U1 E1", out: "S1 P1 T1 M1 U1 E1"},
		{name: "a program's record among others", in: "U1 S2 S1 C2 T1 T2 E2 M1 S3 T3 E3 E1", out: "S2 C2 T2 E2~ | S3 T3 E3~ | U1 S1 T1 M1 E1"},
		{name: "a program's record after the title, among others", in: "S1 T1 S2 U1 T2 E1 E2", out: "S1 T1 U1 E1~ | S2 T2 E2"},
		{name: "a program's record, no EOE", in: "U1 S1 T1 M1 S2 T2 +99 +1", out: "U1 S1 T1 M1 | S2 T2"},
		{name: "a program's record, no EOE, other nodes", in: "a:U1 b:S1 a:S1 b:T1 a:T1 b:U2 a:M1 $", out: "b:S1 b:T1~ | b:U2~ | a:U1 a:S1 a:T1 a:M1"},
		{name: "a program's record with contexts alone", in: "U1 M1 / +99 +1", out: "U1 M1"},
		{name: "a packet's record after one of the kernel", in: "A1 F1 / +99 +1", out: "A1 F1"},
		{name: "a program's record says that it has company", in: "Z1 / S2 E2 / S1 T1 M1 E1", out: "S2 E2~ | Z1 S1 T1 M1 E1"},
		{name: "a program's record says so and is alone", in: "Z1 / +99 +1", out: "Z1"},
		{name: "a program's record of a kernel with company", in: "Z1 M1 / U2 / S3 E3 / S2 E2 $", out: "S3 E3~ | U2 S2 E2~ | Z1 M1"},
		{name: "another node's kernel", in: "a:Z1 a:M1 / b:U2 / b:S2 b:E2", out: "b:U2~ | b:S2 b:E2~!", counts: AssemblerCounts{PartialLate: 1, Open: 1}},
		{name: "another kernel after auditd's start", in: "U1 S1 E1 / D2 / U3 / H4 / U5", out: "U1 S1 E1 | D2 | H4~ | U5~", counts: AssemblerCounts{Open: 1}},
		{name: "company that comes too late stays together", in: "U1 / S1 C1 P1 / S2 T1 M1 E1 E2 / U3 / S3 E3", out: "U1 | S1 C1 P1 T1 M1 E1~! | S2 E2 | U3 S3 E3", counts: AssemblerCounts{PartialLate: 1}},
		{name: "contexts after the title, among others", in: "S1 T1 M1 / S2 T2 / S3 / M2 E3", out: "S1 T1 M1 | S3 E3~", counts: AssemblerCounts{Open: 1}},
		{name: "two records of programs with one id", in: "U1 R1 U2", out: "U1 R1 | U2"},
		{name: "a type without a number in an event", in: "O1 S1 T1 Q1 E1", out: "O1 S1 T1 Q1 E1"},

		{name: "single records", in: "U1 K2 F3 R4 V5", out: "U1 | K2 | F3 | R4 | V5"},
		{name: "a packet with the id of an open event", in: "S1 P1 F1 T1", out: "", counts: AssemblerCounts{Open: 1}},
		{name: "LOGIN goes with its call", in: "L1 S1 T1 E1", out: "L1 S1 T1 E1"},
		{name: "NetLabel goes with its call", in: "N1 S1 T1 E1", out: "N1 S1 T1 E1"},
		{name: "DAEMON with the serial of an open event", in: "S1 D1 T1 E1 D1", out: "D1~ | S1 T1 E1 | D1"},
		{name: "the event of a serial a DAEMON record had", in: "D1 S1 T1 E1", out: "D1 | S1 T1 E1"},
		{name: "DAEMON twice", in: "D1 D1", out: "D1 | D1"},
		{name: "a marker with the id of an open event", in: "S1 m T1 E1", out: "m~ | S1 T1 E1"},
		{name: "without id", in: "S1 x x T1 E1 x", out: "x~ | x~ | S1 T1 E1 | x"},

		{name: "no EOE: the next event", in: "S1 T1 S2 T2 +99", out: "S1 T1", counts: AssemblerCounts{Open: 1}},
		{name: "no EOE: a while", in: "S1 T1 S2 T2 +100", out: "S1 T1 | S2 T2"},
		{name: "no EOE: the end", in: "S1 T1 $", out: "S1 T1"},
		{name: "no EOE: a record without id", in: "S1 T1 x", out: "S1 T1 | x"},
		{name: "no EOE: DAEMON with the same id", in: "S1 T1 / D1", out: "S1 T1 | D1"},
		{name: "no EOE: another node says nothing", in: "a:S1 a:T1 b:U2 +99 +1", out: "b:U2~ | a:S1 a:T1"},
		{name: "no EOE: an event of long ago", in: "S1 S2 T2 P1 S3 E3 E1", out: "S2 T2~ | S3 E3~ | S1 P1 E1"},
		{name: "EOE in the next batch", in: "S1 T1 / E1 S2 T2 / / E2", out: "S1 T1 E1 | S2 T2 E2"},
		{name: "a late EOE", in: "S1 T1 S2 E1 T2 E2", out: "S1 T1 E1~ | S2 T2 E2"},
		{name: "a late EOE in another batch", in: "S1 T1 S2 / E1 T2 E2", out: "S1 T1 | S2 T2 E2", counts: AssemblerCounts{LateEOE: 1}},
		{name: "EOE twice", in: "S1 T1 E1 E1 / E1", out: "S1 T1 E1", counts: AssemblerCounts{LateEOE: 2}},
		{name: "EOE of an event not seen", in: "E1", out: "E1"},
		{name: "a record after PROCTITLE", in: "S1 T1 P1 / C1 T1 P1 +99 P1 E1", out: "S1 T1 P1 C1 T1 P1 P1 E1"},

		{name: "late records", in: "S1 T1 E1 P1 P1 S2 C1 T2 E2 U3 U3", out: "S1 T1 E1 | S2 T2 E2~ | U3 U3~", counts: AssemblerCounts{Open: 1}},
		{name: "late records: they stay together", in: "S1 T1 E1 P1 P1 S2 C1 T2 E2 $", out: "S1 T1 E1 | S2 T2 E2~ | P1 P1 C1!", counts: AssemblerCounts{PartialLate: 1}},
		{name: "late PROCTITLE and EOE", in: "S1 +2000 T1 E1", out: "S1! | T1 E1!", counts: AssemblerCounts{PartialTimer: 1, PartialLate: 1}},

		{name: "nodes", in: "a:S1 b:S1 S1 a:T1 a:E1 b:T1 T1 b:E1 E1", out: "a:S1 a:T1 a:E1~ | b:S1 b:T1 b:E1~ | S1 T1 E1"},
		{name: "long and short names", in: "aa:S1 a:S1 aa:E1 b:E1 a:E1", out: "aa:S1 aa:E1~ | b:E1~ | a:S1 a:E1"},
		{name: "wrap", in: "S4294967295 S0 T4294967295 E4294967295 T0 E0 S1 E1", out: "S4294967295 T4294967295 E4294967295~ | S0 T0 E0 | S1 E1"},

		{name: "timer", in: "S1 P1 +1999 P1 +1999 +1", out: "S1 P1 P1!", counts: AssemblerCounts{PartialTimer: 1}},
		{name: "timer in order of silence", in: "S1 / S2 +1000 P1 +1000 +1000", out: "S2~! | S1 P1!", counts: AssemblerCounts{PartialTimer: 2}},
		{name: "timer: PROCTITLE is due first", in: "a:S1 +1950 b:S2 b:T2 +99 +1", out: "a:S1! | b:S2 b:T2", counts: AssemblerCounts{PartialTimer: 1}},
		{name: "timer: both are due", in: "a:S1 +1900 b:S2 b:T2 +100", out: "a:S1! | b:S2 b:T2", counts: AssemblerCounts{PartialTimer: 1}},
		{name: "timer: types that come alone", in: "G1 Q2 B3 A4 N5 L6 I7 Y8 +2000", out: "G1 | Q2 | B3 | A4 | N5 | L6 | I7 | Y8"},
		{name: "timer: two of the same event", in: "A1 A1 +2000", out: "A1 A1"},
		{name: "timer: with a call", in: "A1 S1 +2000 P2 +2000 W3 +2000", out: "A1 S1! | P2! | W3!", counts: AssemblerCounts{PartialTimer: 3}},
		{name: "timer shorter than the wait for EOE", in: "S1 T1 +49 +1", out: "S1 T1", o: AssemblerOptions{Timeout: 50 * time.Millisecond}},
		{name: "end", in: "S1 A2 S3 P1 $", out: "A2~ | S3~! | S1 P1!", counts: AssemblerCounts{PartialEnd: 2}},
		{name: "after the end", in: "S1 $ P1 S2 E2 $", out: "S1! | S2 E2~ | P1!", counts: AssemblerCounts{PartialEnd: 1, PartialLate: 1}},

		{name: "too many records", in: "S1 P1 P1 P1 P1 P1 T1 E1 S2 P2 E2", out: "S1 P1 P1! | P1 P1 P1! | T1 E1! | S2 P2 E2",
			counts: AssemblerCounts{PartialLimit: 3}, o: AssemblerOptions{MaxRecords: 3}},
		{name: "too many records of a held one", in: "S1 P1 / P1 P1 / P1 S2 P1 T1 / E1 P1 E2", out: "S1 P1 P1! | P1 P1 P1~! | T1 E1~! | S2 E2~",
			counts: AssemblerCounts{PartialLimit: 3, Open: 1}, o: AssemblerOptions{MaxRecords: 3}},
		{name: "EOE beyond the limit", in: "S1 P1 T1 E1 S2 P2 / T2 E2", out: "S1 P1 T1 E1 | S2 P2 T2 E2", o: AssemblerOptions{MaxRecords: 3}},
		{name: "the rest by timer", in: "S1 P1 P1 P1 P1 +2000", out: "S1 P1 P1! | P1 P1!", counts: AssemblerCounts{PartialLimit: 1, PartialTimer: 1}, o: AssemblerOptions{MaxRecords: 3}},
		{name: "too many bytes", in: "S1 P1 P1 P1 T1 E1", out: "S1 P1! | P1 P1! | T1 E1!",
			counts: AssemblerCounts{PartialLimit: 3}, o: AssemblerOptions{MaxEventBytes: 100}},
		{name: "a record longer than the limit", in: "S1 P1 E1", out: "S1! | P1 E1!", counts: AssemblerCounts{PartialLimit: 2}, o: AssemblerOptions{MaxEventBytes: 10}},
		{name: "too many events", in: "S1 S2 S3 P2 E2 E1 E3", out: "S1! | S2 P2 E2~ | S3 E3",
			counts: AssemblerCounts{PartialLimit: 1, LateEOE: 1}, o: AssemblerOptions{MaxEvents: 2}},
		{name: "too many bytes held", in: "S1 S2 / S3 P2 / T1 E2 E3", out: "S1! | T1~! | S2 P2 E2~ | S3 E3",
			counts: AssemblerCounts{PartialLimit: 1, PartialLate: 1}, o: AssemblerOptions{MaxBytes: 250}},
		{name: "PROCTITLE ends what the limit gives", in: "a:S1 a:T1 b:S2 c:S3 b:E2 c:E3", out: "a:S1 a:T1 | b:S2 b:E2~ | c:S3 c:E3", o: AssemblerOptions{MaxEvents: 1}},
		{name: "too many events of types that come alone", in: "A1 +99 A2 +1 A3 +100 A4 S5 +100 S6 +2000", out: "A1! | A2! | A3 | A4! | S5! | S6!",
			counts: AssemblerCounts{PartialLimit: 4, PartialTimer: 1}, o: AssemblerOptions{MaxEvents: 1}},
		{name: "an event that may not be held at all", in: "S1 P1 / E1 S2 E2", out: "S1 P1! | S2 E2",
			counts: AssemblerCounts{PartialLimit: 1, LateEOE: 1}, o: AssemblerOptions{MaxBytes: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, counts := play(t, c.o, c.in)
			if d := cmp.Diff(c.out, out); d != "" {
				t.Errorf("%s:\n%s", c.in, d)
			}
			if out != "" {
				c.counts.Events = uint64(strings.Count(out, "|") + 1)
			}
			counts.Bytes = 0
			if d := cmp.Diff(c.counts, counts); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestTypesThatComeWithACallOrAlone: the types that go with a system call, and those that are whole
// events, by the names that libaudit gives them.
func TestTypesThatComeWithACallOrAlone(t *testing.T) {
	calls := strings.Fields(`SYSCALL PATH IPC SOCKETCALL SOCKADDR CWD EXECVE IPC_SET_PERM MQ_OPEN MQ_SENDRECV MQ_NOTIFY MQ_GETSETATTR
		FD_PAIR OBJ_PID EOE BPRM_FCAPS CAPSET MMAP PROCTITLE KERN_MODULE TIME_INJOFFSET TIME_ADJNTPVAL URINGOP OPENAT2`)
	singles := []string{"USER", "NETFILTER_PKT", "KERNEL"}
	for typ := range uint32(3000) {
		name := string(record.AppendTypeName(nil, typ))
		if comesWithCall(typ) != slices.Contains(calls, name) {
			t.Errorf("withCall(%s) is %v", name, comesWithCall(typ))
		}
		whole := slices.Contains(singles, name) || (typ > 1006 && typ < 1200) || typ > 2000
		if isMostlyAlone(typ) != whole {
			t.Errorf("single(%s) is %v", name, isMostlyAlone(typ))
		}
	}
}

// TestRecentIsBounded: an EOE is known to be late while its event is one of the
// last that were given.
func TestRecentIsBounded(t *testing.T) {
	c := &catcher{t: t}
	a := NewAssembler(AssemblerOptions{Out: c.out})
	user, eoe := audittest.Lines(t, audittest.User(1)), audittest.Lines(t, "type=EOE msg=audit(1000.000:1): \n")
	for serial := range uint32(3 * recentSize) {
		user.Recs[0].Serial = serial
		c.add(a, user, audittest.Epoch)
	}
	for _, x := range []struct {
		serial uint32
		late   bool
	}{{3*recentSize - 1, true}, {2 * recentSize, true}, {2*recentSize - 1, false}, {0, false}} {
		eoe.Recs[0].Serial = x.serial
		before := a.Counts().LateEOE
		c.add(a, eoe, audittest.Epoch)
		if late := a.Counts().LateEOE > before; late != x.late {
			t.Errorf("EOE %d: late %v, want %v", x.serial, late, x.late)
		}
	}
}

// TestEOEWithTextIsKept: only an EOE that says nothing is dropped.
func TestEOEWithTextIsKept(t *testing.T) {
	for _, text := range []string{"type=EOE msg=audit(1000.000:1): x\n", "type=EOE msg=audit(1000.000:1)x: \n", "type=EOE msg=audit(1000.000:1): )\n"} {
		c := &catcher{t: t}
		a := NewAssembler(AssemblerOptions{Out: c.out})
		c.add(a, audittest.Lines(t, audittest.User(1)), audittest.Epoch)
		c.add(a, audittest.Lines(t, text), audittest.Epoch)
		a.Flush()
		want := []given{{recs: []string{audittest.User(1)}}, {recs: []string{text}, partial: true}}
		if d := cmp.Diff(want, c.events, cmp.AllowUnexported(given{})); d != "" {
			t.Error(d)
		}
	}
}

var idPattern = regexp.MustCompile(`^(node=\S+ )?(?:type=(\S+) )?(?:msg=)?audit\((\d+\.\d+:\d+)\)`)

// TestCapturesGiveWholeEvents counts node, time and serial in every capture with a
// regular expression. Each is one event with all of its records, but that auditd's
// own records, and those without an id, are events of their own: in a capture of
// 4.2.1 RAW these are the EOE records, whose ids are cut.
func TestCapturesGiveWholeEvents(t *testing.T) {
	for _, name := range captures.Names(t, "*.gz") {
		all := audittest.Capture(t, name)
		want := make(map[string][]string)
		alone := 0
		for i := range all.Recs {
			text := string(all.Bytes(i))
			m := idPattern.FindStringSubmatch(text)
			if all.Recs[i].Kind == record.Ver0 && m != nil {
				m[2] = string(record.AppendTypeName(nil, all.Recs[i].Type))
			}
			id := fmt.Sprint("record ", i)
			if m != nil && !strings.HasPrefix(m[2], "DAEMON_") {
				id = m[1] + m[3]
			} else {
				alone++
			}
			want[id] = append(want[id], text)
		}
		for _, size := range []int{1, 7, 300, len(all.Recs)} {
			c := &catcher{t: t}
			a := NewAssembler(AssemblerOptions{Out: c.out})
			for from := 0; from < len(all.Recs); from += size {
				c.add(a, &record.Batch{Buf: all.Buf, Recs: all.Recs[from:min(from+size, len(all.Recs))]}, audittest.Epoch)
				a.Expire(audittest.Epoch)
			}
			a.Flush()
			got := make(map[string]int)
			for _, e := range c.events {
				got[strings.Join(e.recs, "\x00")]++
			}
			for id, recs := range want {
				if got[strings.Join(recs, "\x00")]--; got[strings.Join(recs, "\x00")] < 0 {
					t.Errorf("%s: %s is not given as it is: %q", name, id, recs)
				}
			}
			if n := a.Counts(); n != (AssemblerCounts{Events: uint64(len(want))}) {
				t.Errorf("%s: %d ids, %+v", name, len(want), n)
			}
		}
		if raw421 := strings.HasPrefix(name, "audit-4.2.1-raw") && !audittest.IsLog(name); raw421 != (alone > 100) {
			t.Errorf("%s: %d records are alone", name, alone)
		}
	}
}

// TestOutIsCalledOnce: events that lie one after another are given at once and
// where they lie, with EOE records and without.
func TestOutIsCalledOnce(t *testing.T) {
	for _, name := range []string{"audit-3.0.9-enriched.string.gz", "audit-3.0.9-enriched.log.gz"} {
		b := audittest.Capture(t, name)
		calls := make(map[uint32]bool)
		for _, r := range b.Recs {
			calls[r.Serial] = calls[r.Serial] || r.Type == record.TypeSyscall
		}
		b = audittest.Only(b, func(i int) bool { return calls[b.Recs[i].Serial] }) // others may be held
		c := &catcher{t: t}
		a := NewAssembler(AssemblerOptions{Out: func(x *record.Batch) {
			if &x.Buf[0] != &b.Buf[0] || &x.Recs[0] != &b.Recs[0] {
				t.Errorf("%s: was copied", name)
			}
			c.out(x)
		}})
		b.Recs = append(b.Recs, audittest.Lines(t, audittest.User(1)).Recs[0]) // completes the event before, if it has no EOE
		a.Add(b, audittest.Epoch)
		if n := a.Counts(); c.calls != 1 || n.Open != 0 || n.Events < 100 {
			t.Errorf("%s: %d calls, %+v", name, c.calls, n)
		}
	}
}

// The number of a type that the tables lack is made of its name.
func TestNamedTaskContextsIsThatNamesNumber(t *testing.T) {
	if n := record.TypeNumber([]byte("MAC_TASK_CONTEXTS")); n != namedTaskContexts {
		t.Errorf("%#x, want %#x", n, namedTaskContexts)
	}
}
