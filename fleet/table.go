package fleet

import (
	"encoding/hex"
	"fmt"
	"hash/maphash"
	"math"
	"time"

	"audisp-relay/fleet/wire"
)

// Bounds of a table, whatever is in the streams. A fleet has 100 000 hosts with a sink or two.
const (
	maxRows      = 4 << 20
	maxHostSinks = 16
	maxSinkNames = math.MaxUint16
	shownName    = 64 // bytes of a host name
	chunkRows    = 1024
)

// Bounds of the time between two checkpoints that a host may ask for: beyond them it could make
// itself never silent.
const (
	minInterval = time.Second
	maxInterval = 10 * time.Minute
)

// hostID is a machine-id, epoch an epoch; zero: none.
type (
	hostID [16]byte
	epoch  [8]byte
)

func (h hostID) String() string { return hex.EncodeToString(h[:]) }

// row is what is known of one sink of one host. There are 100 000 of them, so that nothing is in
// it that few have (table.extra), and the larger fields come first.
type row struct {
	name string // of the host, clean

	// Of its last checkpoint; n is 0 without one.
	n, ckptSeq, queued uint64
	ckptStored         int64 // when the engine took it, ms
	ckptTime           int64 // what the host says, ms

	// Of its batches; next is 0 without one.
	next     uint64 // number of the record that comes next
	until    int64  // time of the last record, ms
	repeated uint64 // records that came twice

	beforeNext uint64 // next of the epoch before

	host      hostID
	ckptEpoch epoch
	epoch     epoch // of the last batch
	before    epoch // of the batches before those of epoch
	interval  int32 // between checkpoints, ms
	nextSink  int32 // index of the row of the host's next sink, -1: none
	partK     int32 // parts of the batch at next that have come
	partN     int32
	sink      uint16 // in table.sinks
	flags     uint8
}

// Flags of a row.
const (
	ended    uint8 = 1 << iota // the last checkpoint is the relay's last word
	moved                      // the batches of the host have another epoch than before
	shared                     // the batches have had the earlier epoch again since: two hosts have one id
	hasExtra                   // there is more in table.extra
)

// extra is what only few rows have.
type extra struct {
	lost      map[string]uint64
	before    map[string]uint64 // what of lost had been lost before the time that is judged
	based     bool              // before is known
	holes     []Hole
	moreHoles uint64 // records in holes that are not listed
	lostState string // why the host's state is taken for lost
}

// maxHoles is how many holes of a row are listed.
const maxHoles = 8

// Hole is a range of records that a stream lacks. Times are those of the records before and
// after it, zero where they are not known.
type Hole struct {
	From  uint64    `json:"from"` // numbers, both included
	To    uint64    `json:"to"`
	Since time.Time `json:"since,omitzero"`
	Until time.Time `json:"until,omitzero"`
}

// table holds the rows of a fleet in chunks, so that none of it is copied or empty as it grows,
// and finds them by a table of hashes of its own: a map costs three times as much. It belongs to
// one goroutine.
type table struct {
	chunks [][]row
	count  int
	index  []int32 // rows by the hash of their host, -1: none; a power of two
	hosts  int
	seed   maphash.Seed
	sinks  []string
	sinkOf map[string]uint16
	extra  map[int32]*extra
}

func newTable() *table {
	t := &table{seed: maphash.MakeSeed(), sinkOf: make(map[string]uint16), extra: make(map[int32]*extra)}
	t.resize(1024)
	return t
}

func (t *table) row(i int32) *row { return &t.chunks[i/chunkRows][i%chunkRows] }

// slot returns where the index has host, or has room for it.
func (t *table) slot(host hostID) int {
	mask := uint64(len(t.index) - 1)
	at := maphash.Bytes(t.seed, host[:]) & mask
	for t.index[at] >= 0 && t.row(t.index[at]).host != host {
		at = (at + 1) & mask
	}
	return int(at)
}

// resize makes the index larger.
func (t *table) resize(size int) {
	old := t.index
	t.index = make([]int32, size)
	for i := range t.index {
		t.index[i] = -1
	}
	for _, i := range old {
		if i >= 0 {
			t.index[t.slot(t.row(i).host)] = i
		}
	}
}

// first returns the first row of a host, -1 where it has none.
func (t *table) first(host hostID) int32 { return t.index[t.slot(host)] }

// hasBatches reports whether there is a batch of any sink of a host.
func (t *table) hasBatches(host hostID) bool {
	for i := t.first(host); i >= 0; i = t.row(i).nextSink {
		if t.row(i).next > 0 {
			return true
		}
	}
	return false
}

// find returns the row of a sink of a host, made where there is none.
func (t *table) find(host hostID, sink string) (int32, error) {
	number, known := t.sinkOf[sink]
	at := t.slot(host)
	last, count := int32(-1), 0
	for i := t.index[at]; i >= 0; i = t.row(i).nextSink {
		if known && t.row(i).sink == number {
			return i, nil
		}
		last = i
		count++
	}
	switch {
	case count == maxHostSinks:
		return 0, fmt.Errorf("host %s has more than %d sinks", host, maxHostSinks)
	case t.count == maxRows:
		return 0, fmt.Errorf("there are more than %d sinks of hosts", maxRows)
	case !known && len(t.sinks) == maxSinkNames:
		return 0, fmt.Errorf("sinks have more than %d names", maxSinkNames)
	}

	if !known {
		number = uint16(len(t.sinks))
		t.sinks = append(t.sinks, sink)
		t.sinkOf[sink] = number
	}
	i := t.add(row{host: host, sink: number, nextSink: -1})
	if last >= 0 {
		t.row(last).nextSink = i
		return i, nil
	}
	t.index[at] = i
	if t.hosts++; t.hosts > len(t.index)/4*3 {
		t.resize(2 * len(t.index))
	}
	return i, nil
}

func (t *table) add(r row) int32 {
	if t.count%chunkRows == 0 {
		t.chunks = append(t.chunks, make([]row, 0, chunkRows))
	}
	last := &t.chunks[len(t.chunks)-1]
	*last = append(*last, r)
	t.count++
	return int32(t.count - 1)
}

// more returns the extra of a row, made where there is none.
func (t *table) more(i int32) *extra {
	x := t.extra[i]
	if x == nil {
		x = new(extra)
		t.extra[i] = x
		t.row(i).flags |= hasExtra
	}
	return x
}

// rename notes what a host calls itself.
func (r *row) rename(name string) {
	if name = wire.Clean(name, shownName); name != r.name {
		r.name = string(append([]byte(nil), name...)) // not a part of something larger
	}
}

// checkpoint notes a checkpoint that the engine took at stored. Older ones change nothing.
func (t *table) checkpoint(host hostID, c *wire.Checkpoint, stored time.Time) error {
	i, err := t.find(host, c.Sink)
	if err != nil {
		return err
	}
	r := t.row(i)
	if r.n > 0 && stored.UnixMilli() < r.ckptStored {
		return nil
	}
	r.rename(c.Name)
	r.n, r.ckptSeq, r.queued = c.N, c.Seq, c.Ledger.Queued
	r.ckptStored, r.ckptTime = stored.UnixMilli(), c.Time.UnixMilli()
	r.ckptEpoch = epochOf(c.Epoch)
	r.interval = int32(min(max(c.Next.Sub(c.Time), minInterval), maxInterval).Milliseconds())
	r.flags &^= ended
	if c.Reason == wire.ReasonEnd {
		r.flags |= ended
	}

	lost := c.Ledger.Lost
	for cause, n := range lost {
		if n == 0 {
			delete(lost, cause)
		}
	}
	if len(lost) > 0 || r.flags&hasExtra != 0 {
		t.more(i).lost = lost
	}
	return nil
}

// lastBatch notes the last batch of a sink, whatever was before it.
func (t *table) lastBatch(host hostID, h *wire.Header) error {
	i, err := t.find(host, h.Sink)
	if err != nil {
		return err
	}
	r := t.row(i)
	r.rename(h.Name)
	r.enter(epochOf(h.Epoch), h.Seq, false)
	r.next, r.partK = h.Seq, 0
	if h.Part.K == h.Part.N { // whole, or its last part
		r.next = h.Next()
	}
	r.noteUntil(h)
	return nil
}

// batch notes the batch that follows in a stream. whole says that the stream has all that it ever
// got, so that the first batch of a sink has to begin at 1.
func (t *table) batch(host hostID, h *wire.Header, whole bool) error {
	i, err := t.find(host, h.Sink)
	if err != nil {
		return err
	}
	r := t.row(i)
	r.rename(h.Name)
	part := h.Part
	if part.N == 0 {
		part = wire.Part{K: 1, N: 1}
	}
	r.enter(epochOf(h.Epoch), h.Seq, whole)
	known := h.Next() <= r.next || (h.Seq == r.next && part.N == int(r.partN) && part.K <= int(r.partK))
	if known {
		if part.K == part.N {
			r.repeated += h.Count
		}
		return nil
	}
	if h.Seq > r.next {
		t.addHole(i, Hole{From: r.next, To: h.Seq - 1, Since: timeOf(r.until), Until: h.First})
		r.next, r.partK = h.Seq, 0
	}

	if part.N != int(r.partN) {
		r.partN, r.partK = int32(part.N), 0
	}
	if part.K == int(r.partK)+1 {
		r.partK++
	}
	if int(r.partK) == part.N {
		r.repeated += r.next - min(h.Seq, r.next)
		r.next, r.partK = h.Next(), 0
	}
	r.noteUntil(h)
	return nil
}

// enter sees to it that the row counts in the epoch of a batch. One that follows another begins at
// 1; the first of all does where the stream has all that it ever got.
func (r *row) enter(e epoch, seq uint64, whole bool) {
	switch {
	case r.next == 0:
		r.epoch, r.next = e, 1
		if !whole {
			r.next = max(seq, 1)
		}
	case e == r.epoch:
	case e == r.before && r.beforeNext > 0:
		r.flags |= shared
		r.epoch, r.before = r.before, r.epoch
		r.next, r.beforeNext = r.beforeNext, r.next
		r.partK = 0
	default:
		r.flags |= moved
		r.before, r.beforeNext = r.epoch, r.next
		r.epoch, r.next, r.partK = e, 1, 0
	}
}

func (r *row) noteUntil(h *wire.Header) {
	if !h.Until.IsZero() {
		r.until = h.Until.UnixMilli()
	}
}

// addHole keeps a hole, or counts what it has where there are many.
func (t *table) addHole(i int32, h Hole) {
	x := t.more(i)
	if len(x.holes) == maxHoles {
		x.moreHoles += h.To - h.From + 1
		return
	}
	x.holes = append(x.holes, h)
}

func epochOf(text string) (e epoch) {
	hex.Decode(e[:], []byte(text)) // was checked
	return e
}

// hostOf reads a machine-id that was checked.
func hostOf(text string) (h hostID) {
	hex.Decode(h[:], []byte(text))
	return h
}

// timeOf makes a time of milliseconds, zero of 0.
func timeOf(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
