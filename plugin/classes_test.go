package plugin

import (
	"maps"
	"testing"
	"time"

	"audisp-relay/audit/record"
	"audisp-relay/audit/stream"
)

// TestEventsByClass: an event counts once, by the first of its records that says what it is, also
// when records of several events come among each other and in several batches.
func TestEventsByClass(t *testing.T) {
	lines := []string{
		"type=SYSCALL msg=audit(1.000:1): syscall=59",
		"type=AVC msg=audit(1.000:2): avc:  denied",
		"type=EXECVE msg=audit(1.000:1): argc=1 a0=\"ls\"",
		"type=SYSCALL msg=audit(1.000:2): syscall=59",
		"type=EXECVE msg=audit(1.000:2): argc=1 a0=\"ls\"",
		"type=EOE msg=audit(1.000:1): ",
		"type=USER_LOGIN msg=audit(1.000:3): res=failed",
		"type=ANOM_ABEND msg=audit(1.000:4): sig=11",
		"type=EOE msg=audit(1.000:2): ",
		"type=SYSCALL msg=audit(1.000:5): syscall=2",
		"type=PATH msg=audit(1.000:5): item=0",
		"type=EOE msg=audit(1.000:5): ",
		"type=SERVICE_START msg=audit(1.000:6): unit=x",
		"no record at all",
		"type=CONFIG_CHANGE msg=audit(1.000:7): op=add_rule", // nothing says that it has ended
	}
	for _, together := range []bool{true, false} {
		var c classCounter
		var all string
		for _, l := range lines {
			all += l + "\n"
			if !together {
				countLines(t, &c, l+"\n")
			}
		}
		if together {
			countLines(t, &c, all)
		}
		now := time.Now()
		want := map[string]uint64{"avc": 1, "exec": 1, "login": 1, "anomaly": 1, "other": 2}
		if got := c.byName(); !maps.Equal(got, want) {
			t.Errorf("together %v: %v, want %v", together, got, want)
		}
		for i := range 3 {
			c.sweep(now.Add(time.Duration(i) * time.Second))
		}
		want["other"] = 3
		if got := c.byName(); !maps.Equal(got, want) || c.total() != 7 {
			t.Errorf("together %v, after three seconds: %v, want %v", together, got, want)
		}
	}
}

// TestClassOfEachType: the classes are those of the types' names.
func TestClassOfEachType(t *testing.T) {
	for name, want := range map[string]eventClass{
		"AVC": avcClass, "USER_AVC": avcClass, "SELINUX_ERR": avcClass, "USER_SELINUX_ERR": avcClass, "APPARMOR_DENIED": avcClass, "USER_LOGIN": loginClass,
		"EXECVE": execClass, "ANOM_ABEND": anomalyClass, "ANOM_LOGIN_FAILURES": anomalyClass, "DEL_GROUP": noClass, "USER_LOGOUT": noClass, "MAC_STATUS": noClass, "RESP_HALT": noClass,
	} {
		if got := classOf(record.TypeNumber([]byte(name))); got != want {
			t.Errorf("%s is of class %q, want %q", name, classNames[got], classNames[want])
		}
	}
}

func countLines(t *testing.T, c *classCounter, text string) {
	t.Helper()
	b := batchOf(t, text)
	if n := testing.AllocsPerRun(1, func() { var other classCounter; other.count(b) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	c.count(b)
}

// batchOf cuts lines into records.
func batchOf(t *testing.T, text string) *record.Batch {
	t.Helper()
	sp := stream.NewSplitter()
	var b record.Batch
	sp.Cut(&b, copy(sp.Space(), text))
	return &b
}

// BenchmarkClasses is what the events by class cost, for each record.
func BenchmarkClasses(b *testing.B) {
	types := []uint32{record.TypeSyscall, record.TypeCWD, record.TypePath, record.TypeProctitle, record.TypeEOE}
	var batch record.Batch
	for i := range 500 {
		batch.Recs = append(batch.Recs, record.Record{Type: types[i%5], Serial: uint32(i / 5), Millis: 1})
	}
	var c classCounter
	b.ReportAllocs()
	for b.Loop() {
		c.count(&batch)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(batch.Recs)), "ns/record")
}
