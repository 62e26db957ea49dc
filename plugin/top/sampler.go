package top

import (
	"math"
	"math/rand/v2"
	"time"

	"audisp-relay/audit/record"
)

// Bounds of what the reader does for a sample of the stream.
const (
	// picksPerSecond is how many records a second are picked, about: of a slow stream all. So many
	// cost some 0.02 % of a CPU, and give a share of 10 % of a minute to 1 %.
	picksPerSecond = 64
	// picksPerBatch is how many of one batch, about: a burst is no reason to pick all of it.
	picksPerBatch = 32
	// maxText is how much of a main record is kept. auditd writes about 9 KiB at most.
	maxText = 10 << 10
	// lookBack is how many records before those of an event are looked through for its main one:
	// records of events that happen at the same time on several CPUs stand among each other.
	lookBack = 64
	// maxOthers is how many records beside the main one are kept, as the CONFIG_CHANGE of a system
	// call that loads a rule, and maxOther the most bytes of one.
	maxOthers, maxOther = 3, 2 << 10
)

// sampler picks records of batches. It belongs to the reader.
//
// Each record is picked with the same probability, one in every, which depends on how many
// records came and on nothing that is in them. So each pick counts as that many records, and the
// estimate is unbiased. A picked record also counts for its event: events with many records are picked
// more often, and count less each.
type sampler struct {
	every float64 // 1: all records
	log   float64 // of 1-1/every
	next  int     // how many records to pass over before the next pick
	fixed bool    // every stays 1

	since time.Time // of the next two
	seen  int       // records
	taken int       // picks

	open open
}

// open is the main record of an event that may continue in the next batch.
type open struct {
	known bool
	text  []byte
	main  record.Record // of text
}

// adapt chooses how many records are picked of a batch of n.
func (s *sampler) adapt(now time.Time, n int) {
	if s.fixed {
		return
	}
	every := s.every
	switch took := now.Sub(s.since); {
	case took >= time.Second, took < 0:
		every = math.Ceil(float64(s.seen) / max(took.Seconds(), 1) / picksPerSecond)
		s.since, s.seen, s.taken = now, 0, 0
	case s.taken >= 2*picksPerSecond:
		every *= 2
		s.taken = 0
	}

	s.seen += n
	every = max(every, math.Ceil(float64(n)/picksPerBatch), 1)
	if every != s.every {
		s.setEvery(every)
	}
}

// setEvery has one in every records picked from now on.
func (s *sampler) setEvery(every float64) {
	s.every, s.log = every, math.Log1p(-1/every)
	s.next = s.gap() - 1 // how long it has waited says nothing of how long it has to
}

// gap returns how far from a picked record the next one is: geometrically distributed, so that
// each is picked independently of all others, and no program can know which.
func (s *sampler) gap() int {
	if s.every == 1 {
		return 1
	}
	return 1 + int(math.Log(1-rand.Float64())/s.log)
}

// sample is a run of records of one event, some of which were picked.
type sample struct {
	every   float64
	picks   [2]int // from and to, in the chunk's picks
	records int    // of the run
	bytes   int
	main    int // in the chunk's mains, -1: not known
	end     int // of the records that follow the main one there and are of the event, too
	begins  bool
}

// pick is a record that was picked.
type pick struct {
	typ, size uint32
	name      [2]int // of a type that the tables lack, in the chunk's text
}

// chunk is what the reader hands over to whoever counts. It has a fixed size.
type chunk struct {
	samples []sample
	picks   []pick
	mains   record.Batch
}

const (
	chunkSamples = 256
	chunkPicks   = 1024
	chunkRecords = 2 * chunkSamples
	chunkText    = 96 << 10
)

func newChunk() *chunk {
	c := &chunk{samples: make([]sample, 0, chunkSamples), picks: make([]pick, 0, chunkPicks)}
	c.mains = record.Batch{Buf: make([]byte, 0, chunkText), Recs: make([]record.Record, 0, chunkRecords)}
	return c
}

func (c *chunk) reset() {
	c.samples, c.picks = c.samples[:0], c.picks[:0]
	c.mains.Buf, c.mains.Recs = c.mains.Buf[:0], c.mains.Recs[:0]
}

// hasRoom reports whether one more sample fits, of a run of so many records.
func (c *chunk) hasRoom(records int) bool {
	return len(c.samples) < chunkSamples && len(c.picks)+records <= chunkPicks && len(c.mains.Buf)+maxText+maxOthers*maxOther <= chunkText && len(c.mains.Recs)+1+maxOthers <= chunkRecords
}

// half reports whether it is time to hand it over.
func (c *chunk) half() bool {
	return len(c.samples) > chunkSamples/2 || len(c.picks) > chunkPicks/2 || len(c.mains.Buf) > chunkText/2
}

// addMain copies a main record.
func (c *chunk) addMain(rec record.Record, text []byte) int {
	text = text[:min(len(text), maxText)]
	rec.Off, rec.Len = uint32(len(c.mains.Buf)), uint32(len(text))
	c.mains.Buf = append(c.mains.Buf, text...)
	c.mains.Recs = append(c.mains.Recs, rec)
	return len(c.mains.Recs) - 1
}

// addPick copies what is needed of record i.
func (c *chunk) addPick(b *record.Batch, i int) {
	rec := &b.Recs[i]
	p := pick{typ: rec.Type, size: rec.Len}
	const longestName = 80
	if rec.HasID() && !record.HasTypeName(rec.Type) && len(c.mains.Buf)+longestName <= chunkText {
		p.name[0] = len(c.mains.Buf)
		c.mains.Buf = b.AppendType(c.mains.Buf, i)
		p.name[1] = len(c.mains.Buf)
	}
	c.picks = append(c.picks, p)
}

// runAround returns the records beside record i that belong to its event.
func runAround(b *record.Batch, i int) (from, to int) {
	from, to = i, i+1
	for from > 0 && b.SameEvent(from-1, i) {
		from--
	}
	for to < len(b.Recs) && b.SameEvent(to, i) {
		to++
	}
	return from, to
}

// maxRun is how many records of a run are looked at. What an event has beyond is another run.
const maxRun = 512

// take puts the run of the record at, which was picked, into the chunk that has room for so many
// records. It returns the next record to be picked, after the run, and for how many records the
// picks stand that it had to drop because there was no room.
func (s *sampler) take(b *record.Batch, at int, room func(records int) *chunk) (next int, dropped float64) {
	from, to := runAround(b, at)
	from, to = max(from, at-maxRun/2), min(to, at+maxRun/2)
	c := room(to - from)
	if c == nil {
		for ; at < to; at += s.gap() {
			dropped += s.every
		}
		return at, dropped
	}

	sm := sample{every: s.every, records: to - from, main: -1}
	for k := from; k < to; k++ {
		sm.bytes += int(b.Recs[k].Len)
	}
	sm.picks[0] = len(c.picks)
	for ; at < to; at += s.gap() {
		c.addPick(b, at)
		s.taken++
	}
	sm.picks[1] = len(c.picks)
	s.addMain(c, &sm, b, from, to)
	c.samples = append(c.samples, sm)
	return at, 0
}

// addMain finds the main record of a run: in it, a little before it, or at the end of the last
// batch. A SYSCALL says most, but need not be the first.
func (s *sampler) addMain(c *chunk, sm *sample, b *record.Batch, from, to int) {
	own, before, isOpen := record.MainOf(b.Recs[from:to]), mainAmong(b, from, from), s.open.is(b, from)
	sm.begins = own >= 0 && before < 0 && !isOpen
	switch isCall := own >= 0 && b.Recs[from+own].Type == record.TypeSyscall; {
	case isCall || sm.begins:
		sm.main = c.addMain(b.Recs[from+own], b.Bytes(from+own))
		c.addOthers(b, from+own, from, to)
	case isOpen && (before < 0 || s.open.main.Type == record.TypeSyscall):
		sm.main = c.addMain(s.open.main, s.open.text)
	case before >= 0:
		sm.main = c.addMain(b.Recs[before], b.Bytes(before))
	}
	sm.end = len(c.mains.Recs)
}

// addOthers copies what else a run has beside its main record that may have a key or a program.
func (c *chunk) addOthers(b *record.Batch, main, from, to int) {
	n := 0
	for k := from; k < to && n < maxOthers; k++ {
		rec := &b.Recs[k]
		if k != main && !record.IsPart(rec.Type) && rec.Len <= maxOther {
			c.addMain(*rec, b.Bytes(k))
			n++
		}
	}
}

// mainAmong returns the main record of record i's event among those just before the record to, -1
// without.
func mainAmong(b *record.Batch, i, to int) int {
	main := -1
	for k := to - 1; k >= max(0, to-lookBack); k-- {
		if record.IsPart(b.Recs[k].Type) || (k != i && !b.SameEvent(k, i)) {
			continue
		}
		if main = k; b.Recs[k].Type == record.TypeSyscall {
			break
		}
	}
	return main
}

// keepOpen notes the main record of the last event of a batch where more of it may come and be
// picked.
func (s *sampler) keepOpen(b *record.Batch) {
	last := len(b.Recs) - 1
	rec := &b.Recs[last]
	if s.next >= lookBack || !rec.HasID() || rec.Type == record.TypeEOE || record.Alone(rec.Type) || record.OfDaemon(rec.Type) {
		s.open.known = false
		return
	}

	main := mainAmong(b, last, last+1)
	if s.open.is(b, last) && (main < 0 || b.Recs[main].Type != record.TypeSyscall) {
		return // what came before says more
	}
	if s.open.known = main >= 0; !s.open.known {
		return
	}

	text := b.Bytes(main)
	s.open.text = append(s.open.text[:0], text[:min(len(text), maxText)]...)
	s.open.main = b.Recs[main]
	s.open.main.Off, s.open.main.Len = 0, uint32(len(s.open.text))
}

// is reports whether record i is of the event that is open.
func (o *open) is(b *record.Batch, i int) bool {
	rec := &b.Recs[i]
	if !o.known || !rec.HasID() || rec.Serial != o.main.Serial || rec.Millis != o.main.Millis || rec.NodeLen != o.main.NodeLen {
		return false
	}
	own := record.Batch{Buf: o.text, Recs: []record.Record{o.main}}
	return rec.NodeLen == 0 || string(own.Node(0)) == string(b.Node(i))
}
