package laurel

import (
	"bytes"
	"hash/maphash"
	"strconv"
)

// Keys that are laurel's, or ours: RAW is the text of what laurel refuses.
var (
	keyID   = []byte("ID")
	keyNode = []byte("NODE")
	keyArgv = []byte("ARGV")
	keyRaw  = []byte("RAW")
)

// keySet knows the keys an object has. A key that comes again is written with "#2"
// behind it, then "#3": laurel writes it twice as it is, and a reader of JSON takes one
// of the two. No key of a record has a '#' in it.
type keySet struct {
	filter [4]uint64 // a bit for each key
	keys   [][]byte
	// The table holds the first so many of keys and how often each was there. As long as
	// each key finds its bit of the filter free it is not needed.
	inTable int
	slots   []slot // a power of two, half of them free
	round   uint32 // slots of another round are free
}

type slot struct {
	key   []byte
	round uint32
	times uint32
}

// seed makes it impossible to choose keys that fall on one slot.
var seed = maphash.MakeSeed()

// leastSlots serves the longest record there is, SYSCALL with its names.
const leastSlots = 128

// reset forgets the keys.
func (s *keySet) reset() {
	s.filter = [4]uint64{}
	s.keys, s.inTable = s.keys[:0], 0
	if cap(s.keys) > 64*leastSlots {
		s.keys = nil
	}
}

// add returns how often key is there, this time included. The bytes of key, which is not
// empty, must last until reset.
func (s *keySet) add(key []byte) uint32 {
	// With these factors no two keys of a record that the kernel or auditd writes have the
	// same bit.
	n := uint(len(key))
	h := 97*key[0] + 177*key[n-1] + 225*key[n/2] + 251*key[(n-1)/2] + byte(n)
	at, bit := &s.filter[h>>6], uint64(1)<<(h&63)
	if *at&bit != 0 {
		return s.look(key)
	}
	*at |= bit
	s.keys = append(s.keys, key)
	return 1
}

// look does what add does when the filter does not know.
func (s *keySet) look(key []byte) uint32 {
	if s.inTable == 0 {
		s.clearTable()
	}
	for _, k := range s.keys[s.inTable:] {
		s.count(k)
	}
	s.inTable = len(s.keys)
	n := s.count(key)
	if n == 1 {
		s.keys = append(s.keys, key)
		s.inTable++
	}
	return n
}

func (s *keySet) clearTable() {
	if len(s.slots) == 0 || len(s.slots) > 64*leastSlots {
		s.slots, s.round = make([]slot, leastSlots), 0
	}
	if s.round++; s.round == 0 { // once around: slots would look taken
		clear(s.slots)
		s.round = 1
	}
}

// count counts a key in the table.
func (s *keySet) count(key []byte) uint32 {
	if 2*len(s.keys) >= len(s.slots) {
		s.grow()
	}
	at := s.find(key)
	if at.round != s.round {
		*at = slot{key: key, round: s.round}
	}
	at.times++
	return at.times
}

// find returns the slot of key, or the free one it is to have.
func (s *keySet) find(key []byte) *slot {
	mask := uint64(len(s.slots) - 1)
	for h := maphash.Bytes(seed, key); ; h++ {
		if at := &s.slots[h&mask]; at.round != s.round || bytes.Equal(at.key, key) {
			return at
		}
	}
}

func (s *keySet) grow() {
	old := s.slots
	s.slots = make([]slot, 2*len(old))
	for i := range old {
		if old[i].round == s.round {
			*s.find(old[i].key) = old[i]
		}
	}
}

// appendKey appends a comma where one is due, and the key with its colon. The bytes of key
// must last until reset.
func (s *keySet) appendKey(dst, key []byte) []byte {
	if dst[len(dst)-1] == '{' {
		dst = append(dst, '"')
	} else {
		dst = append(dst, ',', '"')
	}
	dst = append(dst, key...)
	if n := s.add(key); n > 1 {
		dst = append(dst, '#')
		dst = strconv.AppendUint(dst, uint64(n), 10)
	}
	return append(dst, '"', ':')
}
