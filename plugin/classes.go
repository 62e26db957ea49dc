package plugin

import (
	"time"

	"audisp-relay/audit/record"
)

// eventClass is what an event is counted as, roughly as audisp-statsd has it.
type eventClass uint8

const (
	noClass      eventClass = iota // of a record that does not decide
	avcClass                       // a denial, or what security modules say of themselves
	loginClass                     // a user logged in or failed to
	execClass                      // a program was executed
	anomalyClass                   // the kernel's anomalies, and those that programs report
	otherClass
	numClasses
)

var classNames = [numClasses]string{avcClass: "avc", loginClass: "login", execClass: "exec", anomalyClass: "anomaly", otherClass: "other"}

// classOf returns the class that a record of a type gives its event (linux/audit.h and libaudit.h).
func classOf(typ uint32) eventClass {
	switch {
	case typ == record.TypeSyscall, typ == record.TypePath, typ == record.TypeCWD, typ == record.TypeProctitle, typ == record.TypeEOE:
		return noClass // nine of ten
	case typ == record.TypeExecve:
		return execClass
	case typ == record.TypeAVC, typ == record.TypeUserAVC, typ == record.TypeSELinuxErr, typ == record.TypeUserSELinuxErr, typ >= 1500 && typ < 1600:
		return avcClass
	case typ == record.TypeUserLogin:
		return loginClass
	case typ >= 1700 && typ < 1800, typ >= 2100 && typ < 2200:
		return anomalyClass
	}
	return noClass
}

// classCounter counts events of the stream, each once, by the first of its records that gives it a
// class; one that has none when it ends is another. Records of events that run at the same time come
// among each other, so the last events are remembered. It allocates nothing.
type classCounter struct {
	counts [numClasses]uint64
	slots  [256]classSlot // by serial: the kernel's are dense
	swept  time.Time
}

type classSlot struct {
	millis  int64
	serial  uint32
	nodeLen uint16 // tells hosts apart well enough for a count
	used    bool
	counted bool
	turns   uint8 // sweeps since its event began, at most 2
}

// sweepEvery is how often events are looked for that nothing ends. They are counted when they are
// two sweeps old.
const sweepEvery = time.Second

// count counts the events of b.
func (c *classCounter) count(b *record.Batch) {
	var slot *classSlot
	for i := range b.Recs {
		r := &b.Recs[i]
		if r.Flags&(record.NoID|record.Cont) != 0 {
			continue
		}
		if slot == nil || slot.serial != r.Serial || slot.millis != r.Millis || slot.nodeLen != r.NodeLen {
			slot = c.find(r)
		}
		if slot.counted {
			continue
		}
		class := classOf(r.Type)
		if class == noClass && (r.Type == record.TypeEOE || record.Alone(r.Type) || record.OfDaemon(r.Type)) {
			class = otherClass
		}
		if class != noClass {
			c.counts[class]++
			slot.counted = true
		}
	}
}

// find returns the slot of a record's event.
func (c *classCounter) find(r *record.Record) *classSlot {
	slot := &c.slots[r.Serial%uint32(len(c.slots))]
	if !slot.used || slot.serial != r.Serial || slot.millis != r.Millis || slot.nodeLen != r.NodeLen {
		c.settle(slot)
		*slot = classSlot{millis: r.Millis, serial: r.Serial, nodeLen: r.NodeLen, used: true}
	}
	return slot
}

// settle counts an event that has ended without a record that gives it a class.
func (c *classCounter) settle(slot *classSlot) {
	if slot.used && !slot.counted {
		c.counts[otherClass]++
		slot.counted = true
	}
}

// sweep settles what has been open for two seconds or more.
func (c *classCounter) sweep(now time.Time) {
	if now.Sub(c.swept) < sweepEvery*9/10 {
		return
	}
	c.swept = now
	for i := range c.slots {
		slot := &c.slots[i]
		if slot.turns < 2 {
			slot.turns++
			continue
		}
		c.settle(slot)
	}
}

// total returns the number of events.
func (c *classCounter) total() (n uint64) {
	for _, more := range c.counts {
		n += more
	}
	return n
}

// byName returns the events of each class.
func (c *classCounter) byName() map[string]uint64 {
	m := make(map[string]uint64, numClasses)
	for class := avcClass; class < numClasses; class++ {
		m[classNames[class]] = c.counts[class]
	}
	return m
}
