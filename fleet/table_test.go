package fleet

import (
	"encoding/binary"
	"fmt"
	"reflect"
	"runtime"
	"testing"
	"time"

	"audisp-relay/fleet/wire"
)

const (
	hostA = "0123456789abcdef0123456789abcdef"
	boot1 = "11111111111111111111111111111111"
)

// step is one batch as it comes: its epoch, first record, count, and part.
type step struct {
	epoch      string
	seq, count uint64
	part       wire.Part
}

const (
	e1 = "00000000000000e1"
	e2 = "00000000000000e2"
)

// TestBatchesShowWhatIsMissing: what is said of the batches of one sink.
func TestBatchesShowWhatIsMissing(t *testing.T) {
	whole := wire.Part{}
	for name, test := range map[string]struct {
		steps    []step
		fromHalf bool // the stream has lost its beginning by age
		holes    []Hole
		repeated uint64
		next     uint64
		flags    uint8
	}{
		"Contiguous":   {steps: []step{{e1, 1, 10, whole}, {e1, 11, 5, whole}}, next: 16},
		"Hole":         {steps: []step{{e1, 1, 10, whole}, {e1, 13, 5, whole}}, holes: []Hole{{From: 11, To: 12}}, next: 18},
		"BeginMissing": {steps: []step{{e1, 7, 1, whole}}, holes: []Hole{{From: 1, To: 6}}, next: 8},
		"BeginExpired": {steps: []step{{e1, 7, 1, whole}}, fromHalf: true, next: 8},
		"Twice":        {steps: []step{{e1, 1, 10, whole}, {e1, 1, 10, whole}, {e1, 11, 1, whole}}, repeated: 10, next: 12},
		"Overlap":      {steps: []step{{e1, 1, 10, whole}, {e1, 8, 5, whole}}, repeated: 3, next: 13},
		"Empty":        {steps: []step{{e1, 1, 0, whole}, {e1, 1, 2, whole}}, next: 3},
		"Parts":        {steps: []step{{e1, 1, 4, wire.Part{K: 1, N: 2}}, {e1, 1, 4, wire.Part{K: 2, N: 2}}, {e1, 5, 1, whole}}, next: 6},
		"PartTwice": {steps: []step{{e1, 1, 4, wire.Part{K: 1, N: 2}}, {e1, 1, 4, wire.Part{K: 1, N: 2}}, {e1, 1, 4, wire.Part{K: 2, N: 2}}},
			next: 5},
		"PartMissing": {steps: []step{{e1, 1, 4, wire.Part{K: 1, N: 3}}, {e1, 1, 4, wire.Part{K: 3, N: 3}}, {e1, 5, 1, whole}},
			holes: []Hole{{From: 1, To: 4}}, next: 6},
		"FirstPartMissing": {steps: []step{{e1, 1, 4, wire.Part{K: 2, N: 2}}, {e1, 5, 1, whole}}, holes: []Hole{{From: 1, To: 4}}, next: 6},
		"NewEpoch":         {steps: []step{{e1, 1, 4, whole}, {e2, 1, 4, whole}}, next: 5, flags: moved},
		"NewEpochHole":     {steps: []step{{e1, 1, 4, whole}, {e2, 3, 4, whole}}, holes: []Hole{{From: 1, To: 2}}, next: 7, flags: moved},
		"TwoHosts": {steps: []step{{e1, 1, 4, whole}, {e2, 1, 4, whole}, {e1, 5, 1, whole}, {e2, 5, 2, whole}},
			next: 7, flags: moved | shared},
		"Largest": {steps: []step{{e1, 1, 1<<63 - 1, whole}, {e1, 1<<63 - 1, 1<<63 - 1, whole}}, repeated: 1, next: 1<<64 - 2},
	} {
		t.Run(name, func(t *testing.T) {
			tab := newTable()
			for _, s := range test.steps {
				h := wire.Header{Host: hostA, Boot: boot1, Epoch: s.epoch, Sink: "s", Seq: s.seq, Count: s.count, Part: s.part}
				if err := tab.batch(hostOf(hostA), &h, !test.fromHalf); err != nil {
					t.Fatal(err)
				}
			}
			r := tab.row(0)
			var holes []Hole
			if x := tab.extra[0]; x != nil {
				holes = x.holes
			}
			if !reflect.DeepEqual(holes, test.holes) || r.repeated != test.repeated || r.next != test.next || r.flags&(moved|shared) != test.flags {
				t.Errorf("holes %v, %d repeated, next %d, flags %x; want %+v", holes, r.repeated, r.next, r.flags, test)
			}
		})
	}
}

// TestHolesAreBounded: a stream full of holes is counted, not listed.
func TestHolesAreBounded(t *testing.T) {
	tab := newTable()
	for i := range uint64(1000) {
		h := wire.Header{Host: hostA, Epoch: e1, Sink: "s", Seq: 2 + 3*i, Count: 1}
		if err := tab.batch(hostOf(hostA), &h, true); err != nil {
			t.Fatal(err)
		}
	}
	x := tab.extra[0]
	if len(x.holes) != maxHoles || x.moreHoles != 1+999*2-(1+7*2) {
		t.Errorf("%d holes listed, %d records besides", len(x.holes), x.moreHoles)
	}
}

// TestSinksOfAHostAreBounded: a host cannot fill the table by names of sinks.
func TestSinksOfAHostAreBounded(t *testing.T) {
	tab := newTable()
	refused := 0
	for i := range 1000 {
		h := wire.Header{Host: hostA, Epoch: e1, Sink: fmt.Sprint(i), Seq: 1, Count: 1}
		if tab.batch(hostOf(hostA), &h, true) != nil {
			refused++
		}
	}
	if tab.count != maxHostSinks || refused != 1000-maxHostSinks || len(tab.sinks) != maxHostSinks {
		t.Errorf("%d rows, %d names, %d refused", tab.count, len(tab.sinks), refused)
	}
}

// fill adds hosts as streams would: a checkpoint and a batch each.
func fill(t testing.TB, tab *table, from, to int) {
	now := time.Now()
	for i := from; i < to; i++ {
		var id hostID
		binary.BigEndian.PutUint64(id[:], uint64(i)*0x9e3779b97f4a7c15)
		name := fmt.Sprintf("host-%06d.example.org", i)
		c := wire.Checkpoint{Name: name, Epoch: e1, Sink: "siem", N: 3, Seq: 10, Time: now, Next: now.Add(time.Minute), Reason: wire.ReasonTick}
		h := wire.Header{Name: name, Epoch: e1, Sink: "siem", Seq: 1, Count: 10, Until: now}
		if err := tab.checkpoint(id, &c, now); err != nil {
			t.Fatal(err)
		}
		if err := tab.batch(id, &h, true); err != nil {
			t.Fatal(err)
		}
	}
}

// TestMemoryOfAHost: each host beyond 10 000 costs 200 bytes at most.
func TestMemoryOfAHost(t *testing.T) {
	const first, more, most = 10_000, 100_000, 200
	used := func() uint64 {
		var m runtime.MemStats
		for range 3 {
			runtime.GC()
		}
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	tab := newTable()
	fill(t, tab, 0, first)
	before := used()
	fill(t, tab, first, first+more)
	each := float64(used()-before) / more
	t.Logf("%.1f bytes a host", each)
	if each > most {
		t.Errorf("a host takes %.1f bytes, want %d at most", each, most)
	}
	if tab.hosts != first+more || tab.row(int32(first+more-1)).next != 11 {
		t.Errorf("%d hosts", tab.hosts)
	}
	for i := range int32(tab.count) {
		if tab.first(tab.row(i).host) != i {
			t.Fatalf("host %d is not found", i)
		}
	}
	runtime.KeepAlive(tab)
}
