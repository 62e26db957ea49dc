package top

import (
	"hash/maphash"
	"slices"
	"strconv"
	"time"

	"audisp-relay/audit/record"
	"audisp-relay/filter"
	"audisp-relay/topk"
)

// What is counted of a name, by the index in topk.Weights. Records decide which names are kept.
const (
	records  = iota
	events   // in the counts of types: those whose main record is of the type
	size     // bytes
	messages // records that a program has sent itself, which rules for system calls do not stop
	own      // records of what the relay or a child of it did
)

// By what is counted.
const (
	byKey = iota
	byExe
	byUser
	byUnit
	byType
	numBy
)

// By are the names by which Report has the counts, in the order in which they are shown.
var By = [numBy]string{"key", "exe", "user", "unit", "type"}

// How much is kept.
const (
	liveNames   = 128 // since the start, for each of By
	windowNames = 64  // of each window
	storedNames = 4096
	windows     = 6
	windowTime  = 10 * time.Second
)

// maxKeys is how many keys of an event are counted. auditctl allows a rule 64 fields, a key each.
const maxKeys = 64

// span is what was counted in a time.
type span struct {
	began  time.Time
	by     [numBy]*topk.Sketch
	spread float64 // the variance of the number of records, as far as it comes from picking
}

func newSpan(names int, seed maphash.Seed, now time.Time) *span {
	s := &span{began: now}
	for i := range s.by {
		s.by[i] = topk.New(names, seed)
	}
	return s
}

func (s *span) reset(now time.Time) {
	s.began, s.spread = now, 0
	for _, sketch := range s.by {
		sketch.Reset()
	}
}

// Self is what the relay is recognised by in records.
type Self struct {
	Pid int    // 0: not by its pid, as in a log of another time
	Exe string // "" for unknown
}

// counter counts samples. One goroutine uses it.
type counter struct {
	self   Self
	whole  *span
	recent []*span // the newest first; nil where records do not come when they were made

	samples uint64
	origin  filter.OriginReader
	name    []byte
	marked  []byte
}

// newCounter returns one that keeps so many names, and with live also counts the last minute.
func newCounter(self Self, names int, live bool, now time.Time) *counter {
	seed := maphash.MakeSeed()
	c := &counter{self: self, whole: newSpan(names, seed, now)}
	for live && len(c.recent) < windows {
		c.recent = append(c.recent, newSpan(windowNames, seed, now))
	}
	return c
}

// turn begins a new window where the present one has had its time. A clock that was set back, or
// a process that was stopped, leaves windows that began at other times than they should: they are
// begun again.
func (c *counter) turn(now time.Time) {
	if len(c.recent) == 0 {
		return
	}
	if age := now.Sub(c.recent[0].began); age < 0 || age >= (windows+1)*windowTime {
		for _, s := range c.recent {
			s.reset(now)
		}
		return
	}
	for now.Sub(c.recent[0].began) >= windowTime {
		oldest := c.recent[windows-1]
		oldest.reset(c.recent[0].began.Add(windowTime))
		copy(c.recent[1:], c.recent)
		c.recent[0] = oldest
	}
}

// count counts what is in a chunk.
func (c *counter) count(ch *chunk, now time.Time) {
	c.turn(now)
	for i := range ch.samples {
		c.countSample(ch, &ch.samples[i])
	}
}

// countSample counts a sample under each of its names.
func (c *counter) countSample(ch *chunk, sm *sample) {
	c.samples++
	picked := float64(sm.picks[1] - sm.picks[0])
	w := topk.Weights{records: sm.every * picked}
	w[size] = w[records] * float64(sm.bytes) / float64(sm.records)
	if sm.begins {
		w[events] = w[records] / float64(sm.records)
	}
	c.addSpread(picked * picked * sm.every * (sm.every - 1))

	var o filter.Origin
	mainType := uint32(0)
	if sm.main >= 0 {
		mainType = ch.mains.Recs[sm.main].Type
		o = c.origin.Origin(&ch.mains, sm.main, sm.end)
		if record.OfProgram(mainType) {
			w[messages] = w[records]
		}
		if c.isOwn(o) {
			w[own] = w[records]
		}
	}
	c.add(byExe, o.Exe, w)
	c.add(byUser, c.userName(o), w)
	c.add(byUnit, c.unitName(o), w)
	c.countKeys(o.Keys, w)
	c.countTypes(ch, sm, w)
}

func (c *counter) addSpread(v float64) {
	c.whole.spread += v
	if len(c.recent) > 0 {
		c.recent[0].spread += v
	}
}

// isOwn reports whether the relay itself, or a child of it, made a record.
func (c *counter) isOwn(o filter.Origin) bool {
	isRelay := c.self.Exe != "" && o.Exe == c.self.Exe
	return isRelay || (c.self.Pid != 0 && o.Ppid == c.self.Pid)
}

// add counts a name, "" for none.
func (c *counter) add(by int, name string, w topk.Weights) {
	// The byte in front distinguishes a record's own name from the lack of one.
	c.marked = append(c.marked[:0], absent)
	if name != "" {
		c.marked = append(append(c.marked[:0], present), name...)
	}
	c.whole.by[by].Add(c.marked, w)
	if len(c.recent) > 0 {
		c.recent[0].by[by].Add(c.marked, w)
	}
}

const absent, present = '-', '+'

// Prefixes of names of units and users, which say what the stream had.
const (
	unitPrefix = "unit="
	subjPrefix = "subj="
	auidPrefix = "auid="
)

// userName names the user: the one who had logged in or, without a login, the one as whom the program ran.
func (c *counter) userName(o filter.Origin) string {
	switch {
	case o.Auid != record.Unset:
		c.name = strconv.AppendUint(append(c.name[:0], auidPrefix...), uint64(o.Auid), 10)
	case o.Uid != record.Unset:
		c.name = strconv.AppendUint(append(c.name[:0], "auid=unset uid="...), uint64(o.Uid), 10)
	default:
		return ""
	}
	return record.Alias(c.name)
}

// unitName says what of the system it was: the unit, which only systemd's own records have, else
// the domain that a security module has put the process in.
func (c *counter) unitName(o filter.Origin) string {
	switch {
	case o.Unit != "":
		c.name = append(append(c.name[:0], unitPrefix...), o.Unit...)
	case o.Subj != "" && o.Subj != "unconfined" && o.Subj != "?" && o.Subj != "kernel":
		c.name = append(append(c.name[:0], subjPrefix...), o.Subj...)
	default:
		return ""
	}
	return record.Alias(c.name)
}

// countKeys counts an event with several keys under each, once.
func (c *counter) countKeys(keys []string, w topk.Weights) {
	if len(keys) == 0 {
		c.add(byKey, "", w)
	}
	keys = keys[:min(len(keys), maxKeys)]
	for i, key := range keys {
		if !slices.Contains(keys[:i], key) {
			c.add(byKey, key, w)
		}
	}
}

// countTypes counts each picked record under its type, and the event under that of its main one.
func (c *counter) countTypes(ch *chunk, sm *sample, w topk.Weights) {
	for _, p := range ch.picks[sm.picks[0]:sm.picks[1]] {
		one := topk.Weights{records: sm.every, size: sm.every * float64(p.size)}
		if w[messages] > 0 {
			one[messages] = sm.every
		}
		if w[own] > 0 {
			one[own] = sm.every
		}
		c.add(byType, c.typeName(p.typ, ch.mains.Buf[p.name[0]:p.name[1]]), one)
	}

	if sm.begins {
		rec := &ch.mains.Recs[sm.main]
		name := ""
		if rec.HasID() {
			c.name = ch.mains.AppendType(c.name[:0], sm.main)
			name = record.Alias(c.name)
		}
		c.add(byType, name, topk.Weights{events: w[events]})
	}
}

// typeName returns the name of a type; own is the one that the record has where no table has one.
func (c *counter) typeName(typ uint32, own []byte) string {
	switch {
	case len(own) > 0:
		return record.Alias(own)
	case typ == 0:
		return ""
	}
	c.name = record.AppendTypeName(c.name[:0], typ)
	return record.Alias(c.name)
}
