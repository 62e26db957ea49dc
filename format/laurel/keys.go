package laurel

import (
	"strconv"

	"audisp-relay/audit/record"
)

// Keys that are laurel's, or ours: RAW is the text of what laurel refuses.
var (
	keyID   = []byte("ID")
	keyNode = []byte("NODE")
	keyArgv = []byte("ARGV")
	keyRaw  = []byte("RAW")

	keyPID       = []byte("PID")
	keyPPID      = []byte("PPID")
	keySpawnedBy = []byte("SPAWNED_BY")
	keyScript    = []byte("SCRIPT")
	keyLabels    = []byte("LABELS")
	keyHash      = []byte("EXE_HASH")
	keyContainer = []byte("CONTAINER_INFO")
)

// isOwn reports whether a field of a record of type t would have a key under which there is something of ours: the text of the
// record, or arguments. Such a field is not shown, as one that laurel refuses, or its value would be read for these. Who may
// connect to a socket can put one into SADDR={ ... }.
func isOwn(t uint32, key []byte) bool {
	switch string(key) {
	case "RAW":
		return true
	case "ARGV":
		return t == record.TypeSyscall || t == record.TypeExecve || t == record.TypeProctitle
	}
	return false
}

// isOwnType is isOwn for the name of a type, which no auditd writes: its record is shown as its text.
func isOwnType(name string) bool {
	switch name {
	case "ID", "NODE", "RAW", "RULES", "CONTAINER_INFO", "PARENT_INFO":
		return true
	}
	return false
}

// keySet knows the keys an object has. A key that comes again is written with "#2"
// after it, then "#3": laurel writes it twice as it is, and a reader of JSON takes one
// of the two. No key of a record has a '#' in it.
type keySet struct {
	filter [4]uint64 // a bit for each key
	// times is how often each key was there, but for those of fresh, which came once: as long as each
	// key finds its bit of the filter free, it is not needed.
	fresh [][]byte
	times map[string]uint32
}

// keptKeys bounds the memory that an unusual record leaves: the longest usual one, SYSCALL with its
// names, has some 60 keys.
const keptKeys = 8192

// reset forgets the keys.
func (s *keySet) reset() {
	s.filter = [4]uint64{}
	s.fresh = s.fresh[:0]
	if cap(s.fresh) > keptKeys {
		s.fresh = nil
	}
	switch n := len(s.times); {
	case n > keptKeys:
		s.times = nil
	case n > 0:
		clear(s.times)
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
	if *at&bit == 0 {
		*at |= bit
		s.fresh = append(s.fresh, key)
		return 1
	}

	if s.times == nil {
		s.times = make(map[string]uint32)
	}
	for _, k := range s.fresh {
		s.times[record.Alias(k)] = 1
	}
	s.fresh = s.fresh[:0]
	times := s.times[record.Alias(key)] + 1
	s.times[record.Alias(key)] = times
	return times
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
