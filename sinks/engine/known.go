package engine

import (
	"math/bits"

	"audisp-relay/audit/record"
)

// window is how many of the records sent last are known by their identity: what a kill makes
// the queue give again is less, as positions are saved four times a second.
const window = 1 << 17

// idOf makes a number of a record's identity. Two different records have the same number as rarely as 64 bits allow.
func idOf(id record.ID) uint64 {
	h := uint64(id.Millis) * 0x9e3779b97f4a7c15
	h = bits.RotateLeft64(h, 29) ^ uint64(id.Serial)<<32 ^ uint64(id.Sum)
	h *= 0xbf58476d1ce4e5b9
	return bits.RotateLeft64(h, 31) ^ uint64(id.Type)*0x94d049bb133111eb
}

// known is which records the engine has of those that the queue may give once more: after a
// kill it begins a little before the end of what was acknowledged, and the records then come
// from the spool or from audit.log, where they may stand in another order, without their EOE and
// beside others that were never sent. So each is looked up.
type known struct {
	left map[uint64]uint32 // how often each may still come
	n    uint64            // how many that are
	// before is the number of the first record that has not kept its number since it was sent
	// (queue.Queue.Begin), and sent is up to which one the engine has those before. A record
	// without an id is believed to be one that was sent only there: its text alone may come again.
	before, sent uint64
	misses       uint64 // records since the last one that was known

	// ends are the numbers, in order, at which what the queue gives is from audit.log and no
	// longer from the spool, once for each run that has put something into the spool: there it
	// may give once more what it gave since the end before. given is that.
	ends  []uint64
	given []uint64
}

// note says that the engine has a record.
func (k *known) note(id uint64) {
	if k.left == nil {
		k.left = make(map[uint64]uint32)
	}
	k.left[id]++
	k.n++
}

// take reports whether the engine has the record of that identity and number already. Each
// that was sent is found once.
func (k *known) take(id, number uint64, hasID bool) bool {
	k.cross(number)
	if k.n == 0 {
		return false
	}
	if k.left[id] == 0 || (!hasID && (number >= k.before || number >= k.sent)) {
		k.miss(number)
		return false
	}
	if k.left[id]--; k.left[id] == 0 {
		delete(k.left, id)
	}
	k.n--
	k.misses = 0
	return true
}

// passed says that the engine has, or is about to get, a record that the queue gave.
func (k *known) passed(id, number uint64) {
	if len(k.ends) == 0 {
		return
	}
	k.cross(number)
	if len(k.given) >= 4*window { // what audit.log repeats is the latest of it
		k.given = append(k.given[:0], k.given[2*window:]...)
	}
	if len(k.ends) > 0 {
		k.given = append(k.given, id)
	}
}

// cross makes the records given since the end before known again, once the record of that number is after an end.
func (k *known) cross(number uint64) {
	for len(k.ends) > 0 && number >= k.ends[0] {
		for _, id := range k.given {
			k.note(id)
		}
		k.ends, k.given = k.ends[1:], k.given[:0]
	}
	if len(k.ends) == 0 {
		k.given = nil
	}
}

// idle reports whether no record can be known.
func (k *known) idle() bool { return k.n == 0 && len(k.ends) == 0 }

// miss counts a record that is not known. After twice as many as there can be repeated ones, what
// is left will not come again (an EOE that audit.log lacks, say), and is forgotten.
func (k *known) miss(number uint64) {
	if number < k.before {
		return // from the spool: what may come again comes after it
	}
	if k.misses++; k.misses > 2*window {
		*k = known{ends: k.ends, given: k.given}
	}
}
