package top

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"audisp-relay/audit/audittest"
	"audisp-relay/audit/record"
	"audisp-relay/audit/stream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// event returns the records of a system call, some of them PATH records.
func event(serial int, exe, key string, auid uint32, paths int) string {
	var b strings.Builder
	id := fmt.Sprintf("msg=audit(1795296167.053:%d): ", serial)
	fmt.Fprintf(&b, "type=SYSCALL %sarch=c000003e syscall=257 success=yes exit=3 items=%d ppid=1 pid=%d auid=%d uid=0 comm=\"x\" exe=%q subj=unconfined key=%q\n", id, paths, 1000+serial%50, auid, exe, key)
	fmt.Fprintf(&b, "type=CWD %scwd=\"/\"\n", id)
	for i := range paths {
		fmt.Fprintf(&b, "type=PATH %sitem=%d name=\"/etc/passwd\" inode=1 nametype=NORMAL\n", id, i)
	}
	fmt.Fprintf(&b, "type=PROCTITLE %sproctitle=\"x\"\ntype=EOE %s\n", id, id)
	return b.String()
}

// batches cuts records into batches of so many, as a reader hands them out.
func batches(all *record.Batch, n int, put func(*record.Batch)) {
	b := record.Batch{Buf: all.Buf}
	for i := 0; i < len(all.Recs); i += n {
		b.Recs = all.Recs[i:min(i+n, len(all.Recs))]
		put(&b)
	}
}

// rowOf returns the row of a name.
func rowOf(t testing.TB, r *Report, by, name string) Row {
	t.Helper()
	for _, row := range r.By[by] {
		if row.Name == name && !row.None {
			return row
		}
	}
	t.Fatalf("%s has no %q", by, name)
	return Row{}
}

// mixture is a stream of a known composition: of 10 events 6 are of /bin/loud with 2 paths, 3 of
// /bin/soft with none, and 1 is a program's message.
func mixture(events int) string {
	var b strings.Builder
	for i := range events {
		switch {
		case i%10 < 6:
			b.WriteString(event(i+1, "/bin/loud", "files", 1000, 2))
		case i%10 < 9:
			b.WriteString(event(i+1, "/bin/soft", "net", record.Unset, 0))
		default:
			fmt.Fprintf(&b, "type=SERVICE_START msg=audit(1795296167.053:%d): pid=1 uid=0 auid=4294967295 ses=4294967295 subj=unconfined msg='unit=cron comm=\"systemd\" exe=\"/lib/systemd/systemd\" res=success'\n", i+1)
		}
	}
	return b.String()
}

// Of a tenth of mixture: records, by what they are of.
const loudRecords, softRecords, mixRecords = 6 * 6, 3 * 4, 6*6 + 3*4 + 1

// TestStoredIsExact: all records are counted, wherever a batch ends.
func TestStoredIsExact(t *testing.T) {
	const tenths = 40
	all := audittest.Lines(t, mixture(10*tenths))
	for _, n := range []int{1, 2, 3, 7, 1000, 100_000} {
		s := NewStored("")
		batches(all, n, s.Put)
		r := s.Report()
		for _, want := range []struct {
			by, name        string
			records, events float64
		}{
			{"exe", "/bin/loud", loudRecords, 6}, {"exe", "/bin/soft", softRecords, 3}, {"exe", "/lib/systemd/systemd", 1, 1},
			{"key", "files", loudRecords, 6}, {"key", "net", softRecords, 3},
			{"user", "auid=1000", loudRecords, 6}, {"user", "auid=unset uid=0", softRecords + 1, 4},
			{"unit", "unit=cron", 1, 1},
			{"type", "PATH", 12, 0}, {"type", "SYSCALL", 9, 9}, {"type", "EOE", 9, 0}, {"type", "SERVICE_START", 1, 1},
		} {
			got := rowOf(t, r, want.by, want.name).Start
			if got.Records != tenths*want.records || math.Round(got.Events) != tenths*want.events || got.Over != 0 || got.Margin != 0 {
				t.Errorf("batches of %d: %s %s: %+v, want %v records and %v events", n, want.by, want.name, got, tenths*want.records, tenths*want.events)
			}
		}
		if r.Minute != nil || r.Start.Records != tenths*mixRecords || math.Round(r.Start.Bytes) != float64(len(all.Buf)) {
			t.Errorf("batches of %d: %+v, the stream has %d bytes", n, r.Start, len(all.Buf))
		}
	}
}

// TestPickingIsUnbiased: whatever part of the records is picked, shares and sums are those of the
// stream, within several times the margin that the report gives.
func TestPickingIsUnbiased(t *testing.T) {
	const tenths = 3000
	all := audittest.Lines(t, mixture(10*tenths))
	for _, every := range []float64{1, 2, 7, 50} {
		m := New(Self{})
		m.sampler.fixed = true
		m.sampler.setEvery(every)
		batches(all, 317, func(b *record.Batch) {
			m.Observe(b, time.Now())
			m.count()
		})
		r := m.report()
		if m.dropped.Load() > 0 {
			t.Fatalf("%d records dropped", m.dropped.Load())
		}
		for _, want := range []struct {
			by, name        string
			records, events float64
		}{{"exe", "/bin/loud", loudRecords, 6}, {"key", "net", softRecords, 3}, {"user", "auid=unset uid=0", softRecords + 1, 4}, {"type", "PATH", 12, 0}, {"type", "SYSCALL", 9, 9}} {
			row := rowOf(t, r, want.by, want.name)
			part, share := row.Start, want.records/mixRecords
			if diff := math.Abs(part.Share - share); diff > 3*part.Margin+1e-9 {
				t.Errorf("one in %v: %s: share %.4f, want %.4f; margin %.4f", every, want.name, part.Share, share, part.Margin)
			}
			off := 3 * (part.Margin + margin(share, r.spreadForTest(m), r.Start.Records))
			if diff := math.Abs(part.Events - tenths*want.events); diff > off*tenths*10+1 {
				t.Errorf("one in %v: %s: %.0f events, want %v", every, want.name, part.Events, tenths*want.events)
			}
			if row.Minute == nil || row.Minute.Records != part.Records {
				t.Errorf("the last minute has %+v, all of it %+v", row.Minute, part)
			}
		}
		if total := float64(tenths * mixRecords); math.Abs(r.Start.Records-total) > total*6*math.Sqrt(every/total) {
			t.Errorf("one in %v: %.0f records, want %.0f", every, r.Start.Records, total)
		}
	}
}

func (r *Report) spreadForTest(m *Meter) float64 { return m.counter.whole.spread }

// TestLoadIsBounded: however many records come, about as many a second are picked, and what finds
// no room is counted and held against nobody.
func TestLoadIsBounded(t *testing.T) {
	all := audittest.Lines(t, mixture(2000))
	m := New(Self{})
	now := m.started
	for second := range 20 {
		before := m.counter.samples
		for range 50 {
			batches(all, 500, func(b *record.Batch) {
				m.Observe(b, now)
				m.count()
			})
			now = now.Add(20 * time.Millisecond)
		}
		if n := m.counter.samples - before; second > 2 && (n < picksPerSecond/4 || n > 4*picksPerSecond) {
			t.Errorf("second %d: %d events picked", second, n)
		}
	}
	// Nothing counts now: the chunk fills up.
	total := 0
	for range 3000 {
		batches(all, 500, func(b *record.Batch) {
			m.Observe(b, now)
			total += len(b.Recs)
		})
		now = now.Add(100 * time.Millisecond)
	}
	m.count()
	if dropped := float64(m.dropped.Load()); dropped < float64(total)/2 || dropped > float64(total)*1.5 {
		t.Errorf("%v records dropped of %d", dropped, total)
	}
	share := rowOf(t, m.report(), "exe", "/bin/loud").Start
	if math.Abs(share.Share-float64(loudRecords)/mixRecords) > 3*share.Margin {
		t.Errorf("%+v", share)
	}
}

// TestWindows: the last minute forgets, the whole does not.
func TestWindows(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	c := newCounter(Self{}, liveNames, true, now)
	put := func(text string) {
		var s sampler
		s.setEvery(1)
		s.fixed = true
		ch := newChunk()
		b := audittest.Lines(t, text)
		for s.next < len(b.Recs) {
			s.next, _ = s.take(b, s.next, func(int) *chunk { return ch })
		}
		c.count(ch, now)
	}
	put(event(1, "/bin/old", "k", 0, 0))
	now = now.Add(30 * time.Second)
	put(event(2, "/bin/new", "k", 0, 0))
	r := c.report(now, 0)
	if old := rowOf(t, r, "exe", "/bin/old"); old.Minute == nil || old.Minute.Records != 4 || r.Minute.Seconds != 30 {
		t.Errorf("after 30 s: %+v, %+v", old, r.Minute)
	}
	now = now.Add(40 * time.Second)
	r = c.report(now, 0)
	if old := rowOf(t, r, "exe", "/bin/old"); old.Minute != nil || old.Start.Records != 4 {
		t.Errorf("after 70 s: %+v", old)
	}
	if new := rowOf(t, r, "exe", "/bin/new"); new.Minute == nil || r.By["exe"][0].Name != "/bin/new" || r.Minute.Seconds > 60 || r.Minute.Seconds < 50 {
		t.Errorf("after 70 s: %+v, %+v", new, r.Minute)
	}
	now = now.Add(time.Hour)
	if r = c.report(now, 0); r.Minute.Records != 0 || r.By["exe"][0].Start.Records == 0 {
		t.Errorf("after an hour: %+v", r.Minute)
	}
	now = now.Add(-2 * time.Hour)
	put(event(3, "/bin/new", "k", 0, 0))
	if r = c.report(now, 0); r.Minute.Records != 4 || r.Minute.Seconds != 0 {
		t.Errorf("with a clock that was set back: %+v", r.Minute)
	}
}

// TestOwn: what the relay and its children do shows as a feedback loop, with a rule.
func TestOwn(t *testing.T) {
	m := New(Self{Pid: 4711, Exe: "/usr/sbin/audisp-relay"})
	text := event(1, "/usr/sbin/audisp-relay", "files", record.Unset, 1) + strings.ReplaceAll(event(2, "/usr/bin/child", "files", record.Unset, 1), "ppid=1 ", "ppid=4711 ") +
		event(3, "/bin/cat", "files", 1000, 1)
	m.Observe(audittest.Lines(t, text), time.Now())
	m.count()
	r := m.report()
	for name, want := range map[string]float64{"/usr/sbin/audisp-relay": 1, "/usr/bin/child": 1, "/bin/cat": 0} {
		if row := rowOf(t, r, "exe", name); row.Minute.Own != want {
			t.Errorf("%s: own %v, want %v", name, row.Minute.Own, want)
		}
	}
	loops := 0
	for _, m := range r.Remedies {
		if m.By == "exe" && m.Own {
			loops++
			if !strings.Contains(m.Load, "-F exe="+m.Name) || !strings.Contains(m.Note, "feedback loop") {
				t.Errorf("%+v", m)
			}
		}
	}
	if loops != 2 || math.Abs(r.Minute.Own-2.0/3) > 1e-9 {
		t.Errorf("%d loops, %+v", loops, r.Minute)
	}
}

// TestObserveAllocatesNothing once its buffers have their size.
func TestObserveAllocatesNothing(t *testing.T) {
	all := audittest.Lines(t, mixture(1000))
	m := New(Self{})
	now := m.started
	run := func() {
		batches(all, 61, func(b *record.Batch) { m.Observe(b, now) })
		m.filling.reset()
		now = now.Add(50 * time.Millisecond)
	}
	run()
	if n := testing.AllocsPerRun(50, run); n > 0 {
		t.Errorf("%v allocations for %d records", n, len(all.Recs))
	}
}

// TestRun: a Report comes while records come, and no more when Run has ended.
func TestRun(t *testing.T) {
	m := New(Self{})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		m.Run(ctx)
	}()
	all := audittest.Lines(t, mixture(100))
	for range 20 {
		m.Observe(all, time.Now())
		r, err := m.Report(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := json.Marshal(r); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	<-ended
	if _, err := m.Report(context.Background()); err != ErrEnded {
		t.Errorf("after the end: %v", err)
	}
	m.Observe(all, time.Now()) // the reader may still be there
}

// FuzzStored: no stream makes it panic, count less or more than there is, or name what cannot be.
func FuzzStored(f *testing.F) {
	f.Add([]byte(mixture(20)), uint8(3))
	f.Add([]byte("type=SYSCALL msg=audit(1.000:1): exe=2F001B key=610162\nno record\ntype=NEW_ONE msg=audit(1.000:2): a=1\n"), uint8(1))
	f.Add([]byte("type=SYSCALL msg=audit(1.000:1): key=0101\n"), uint8(1))
	f.Add([]byte("node=a type=PATH msg=audit(1.000:1): item=0\nnode=b type=PATH msg=audit(1.000:1): item=0\ntype=EOE msg=audit(1.000:1): "), uint8(2))
	f.Fuzz(func(t *testing.T, data []byte, n uint8) {
		s := &Stored{counter: newCounter(Self{Exe: "/usr/sbin/audisp-relay"}, 4, false, time.Time{}), chunk: newChunk()}
		s.sampler.setEvery(1)
		s.sampler.fixed = true
		r := stream.NewReader(bytes.NewReader(data))
		var b record.Batch
		total := 0
		for {
			err := r.Next(&b)
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			total += len(b.Recs)
			batches(&b, int(n)+1, s.Put)
		}
		rep := s.Report()
		if rep.Start.Records != float64(total) || rep.Start.Events > float64(total)+0.5 {
			t.Fatalf("%+v, want %d records", rep.Start, total)
		}
		for _, rows := range rep.By {
			for _, row := range rows {
				if row.Start.Share < 0 || row.Start.Share > 1 {
					t.Fatalf("%+v", row)
				}
			}
		}
	})
}
