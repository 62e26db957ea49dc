package event

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"audisp-relay/audit/audittest"
	"audisp-relay/audit/record"
)

// TestAPanicCostsNoRecord: wherever a panic comes, over whatever record, each record is given once, those
// of the events that were not open meanwhile as ever, and the Assembler works on.
func TestAPanicCostsNoRecord(t *testing.T) {
	var text []string
	for i := 1; i <= 6; i++ { // two events at a time that are interleaved, and a program's record
		for _, typ := range []string{"SYSCALL", "CWD", "PATH", "EOE"} {
			text = append(text, fmt.Sprintf("type=%s msg=audit(1000.000:%d): x\n", typ, 10*i), fmt.Sprintf("type=%s msg=audit(1000.000:%d): x\n", typ, 10*i+1))
		}
		text = append(text, fmt.Sprintf("type=USER_LOGIN msg=audit(1000.000:%d): x\n", 10*i+2))
	}
	for _, size := range []int{1, 3, 7, len(text)} {
		for at := range len(text) {
			b := audittest.Lines(t, strings.Join(text, ""))
			got := map[string]int{}
			poisoned := 0
			a := NewAssembler(AssemblerOptions{
				Out: func(b *record.Batch) {
					for i := range b.Recs {
						got[string(b.Bytes(i))]++
					}
					if b.Recs[len(b.Recs)-1].Flags&record.End == 0 {
						t.Error("the last record does not end an event")
					}
				},
				Panicked: func(*record.Batch, int, any) { poisoned++ },
			})
			for from := 0; from < len(b.Recs); from += size {
				part := record.Batch{Buf: b.Buf, Recs: slices.Clone(b.Recs[from:min(from+size, len(b.Recs))])}
				if from <= at && at < from+size {
					breakEvents(a) // what is held panics with its next record
				}
				a.Add(&part, audittest.Epoch)
			}
			a.Expire(audittest.Epoch.Add(time.Hour))
			a.Flush()
			for _, line := range text {
				if got[line] != 1 {
					t.Fatalf("batches of %d, broken before record %d: %q given %d times", size, at, line, got[line])
				}
			}
			if n := a.Counts(); n.Open != 0 || n.Poison != uint64(poisoned) {
				t.Errorf("%+v, called %d times", n, poisoned)
			}
		}
	}
}

// breakEvents makes what is held panic when it is touched.
func breakEvents(a *Assembler) {
	for e := a.all.head; e != nil; e = e.links[inFirst].next {
		e.in = nil
	}
}

// TestAPanicInExpireCostsNoEvent: events that have waited too long are given nevertheless.
func TestAPanicInExpireCostsNoEvent(t *testing.T) {
	for _, how := range []func(*Assembler){
		func(a *Assembler) { a.Expire(audittest.Epoch.Add(time.Hour)) },
		(*Assembler).Flush,
	} {
		records, poisoned := 0, 0
		a := NewAssembler(AssemblerOptions{Out: func(b *record.Batch) { records += len(b.Recs) }, Panicked: func(b *record.Batch, i int, _ any) {
			if b != nil {
				t.Error("there are no records at hand")
			}
			poisoned++
		}})
		a.Add(audittest.Lines(t, "type=SYSCALL msg=audit(1000.000:1): x\ntype=CWD msg=audit(1000.000:1): x\ntype=SYSCALL msg=audit(1000.000:2): x\n"), audittest.Epoch)
		for e := a.all.head; e != nil; e = e.links[inFirst].next {
			e.batch.Recs[0].Off = 1 << 30 // no bytes
			e.links[inHeard] = eventLinks{prev: e, next: e}
			e.in = new(eventList)
			a.byKey = [heldBuckets]*pendingEvent{} // where it is looked for to be dropped
		}
		how(a)
		if records != 3 || (poisoned == 0 && a.Counts().Poison != 0) {
			t.Errorf("%d records given, %d panics", records, poisoned)
		}
	}
}
