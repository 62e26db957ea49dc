package event

import (
	"hash/maphash"

	"audisp-relay/audit/record"
)

// key is what the records of one event have in common.
type key struct {
	node   uint64 // hash of its name, see nodeNames
	millis int64
	serial uint32
	hash   uint32 // of the above; serials that follow each other have such hashes,
	// so that looking for them stays within the cache
}

// keyOf returns the key of record i, which is the last one then.
func (a *Assembler) keyOf(i int) key {
	r := &a.in.Recs[i]
	k := key{node: a.names.hashOf(a.in, i), millis: r.Millis, serial: r.Serial}
	k.hash = uint32(((uint64(k.millis)>>6^k.node)*a.mul)>>32) + k.serial
	return k
}

// nodeNames knows nodes by a hash of 64 bits: so any number of them takes no
// memory. With a secret seed no program can make two that are the same.
type nodeNames struct {
	seed maphash.Seed
	last []byte // name of the last record's node
	hash uint64 // 0 where it has none
}

func newNodeNames() nodeNames { return nodeNames{seed: maphash.MakeSeed()} }

// same reports whether record i is of the same node as the last one.
func (n *nodeNames) same(b *record.Batch, i int) bool {
	size := int(b.Recs[i].NodeLen)
	return size == len(n.last) && (size == 0 || string(b.Node(i)) == string(n.last))
}

// hashOf returns the hash of record i's node.
func (n *nodeNames) hashOf(b *record.Batch, i int) uint64 {
	if !n.same(b, i) {
		n.last = append(n.last[:0], b.Node(i)...)
		n.hash = n.hashName(n.last)
	}
	return n.hash
}

// hashName returns the hash of a node's name.
func (n *nodeNames) hashName(name []byte) uint64 {
	if len(name) == 0 {
		return 0
	}
	return maphash.Bytes(n.seed, name)
}

// recentSize is how many events are remembered after they were given: what comes
// late is of one of these. A power of two.
const recentSize = 1 << 13

// recentEvents remembers the events that were given last. They are numbered; those of
// the same bucket are chained from the newest to the oldest, up to a number that
// is no longer remembered.
type recentEvents struct {
	keys  [recentSize]key
	solo  [recentSize]bool // had nothing but what comes alone mostly
	prev  [recentSize]uint32
	heads [4 * recentSize]uint32
	n     uint32 // of the last; begins with recentSize, so that 0 is none, and may run over
}

func (m *recentEvents) add(k key, solo bool) {
	m.n++
	head := &m.heads[k.hash%uint32(len(m.heads))]
	m.keys[m.n%recentSize], m.prev[m.n%recentSize] = k, *head
	if at := m.n % recentSize; m.solo[at] != solo {
		m.solo[at] = solo
	}
	*head = m.n
}

// find returns the place of the event that has that key.
func (m *recentEvents) find(k key) (at uint32, ok bool) {
	for n := m.heads[k.hash%uint32(len(m.heads))]; m.n-n < recentSize; n = m.prev[n%recentSize] {
		if m.keys[n%recentSize] == k {
			return n % recentSize, true
		}
	}
	return 0, false
}
