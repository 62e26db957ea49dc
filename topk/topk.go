// Package topk finds what occurs most in a stream, in bounded memory: the Space-Saving algorithm
// (Metwally, Agrawal, El Abbadi: Efficient Computation of Frequent and Top-k Elements in Data
// Streams, 2005), with an error bound for each answer.
//
// It is code of our own because the library that was tried does not fit: apache/datasketches-go
// v0.2.0 counts one weight for each sketch, so that records, events and bytes of the same name would
// take three sketches that forget at different times; it keeps names as they come, however long they
// are, and gives all names the same error.
package topk

import (
	"cmp"
	"container/heap"
	"hash/maphash"
	"slices"
)

// Measures is how many weights a name has.
const Measures = 5

// MaxName is how many bytes of a name are kept. Longer names are distinguished by all of their bytes,
// and shown cut.
const MaxName = 128

// Weights is what is counted of a name. The first one decides what is kept, and must not be
// negative; nor must the others.
type Weights [Measures]float64

// Plus returns the sum of w and v.
func (w Weights) Plus(v Weights) Weights {
	for m := range w {
		w[m] += v[m]
	}
	return w
}

// Sketch counts names. It takes at most Size(capacity) bytes, whatever names come. One goroutine
// uses it.
//
// Of a name that it keeps, the true sum of each weight is at least what it counted, and at most
// that and its error. A name that it does not keep has at most Floor. Of the first weight no error,
// and no Floor, is more than the sum over all names divided by the capacity; so every name with
// more than that is kept.
type Sketch struct {
	seed  maphash.Seed
	slots []slot         // never more than the capacity
	at    map[uint64]int // places in slots by the hash of the name
	order order          // of slots, the least first
	floor Weights
	sum   Weights
}

// slot is a name that is kept.
type slot struct {
	hash          uint64 // of the whole name, with a secret seed: no program can choose two that are alike
	counted, over Weights
	place         int // in order
	name          [MaxName]byte
	kept          uint8 // bytes of name
	cut           bool
}

// slotSize is what a slot takes, its place in the order and in the map included, rounded up.
const slotSize = 288

// Size returns the most bytes that a Sketch of that capacity takes.
func Size(capacity int) int { return capacity * slotSize }

// New returns a Sketch that keeps up to capacity names, at least one. Sketches of one seed can be
// merged.
func New(capacity int, seed maphash.Seed) *Sketch {
	s := &Sketch{seed: seed, slots: make([]slot, 0, max(capacity, 1)), at: make(map[uint64]int, max(capacity, 1))}
	s.order = order{sketch: s, places: make([]int, 0, cap(s.slots))}
	return s
}

// Reset forgets everything.
func (s *Sketch) Reset() {
	s.slots, s.order.places = s.slots[:0], s.order.places[:0]
	clear(s.at)
	s.floor, s.sum = Weights{}, Weights{}
}

// Add counts a name once more, with these weights. It does not keep name.
func (s *Sketch) Add(name []byte, w Weights) {
	s.sum = s.sum.Plus(w)
	hash := maphash.Bytes(s.seed, name)
	if i, ok := s.at[hash]; ok {
		sl := &s.slots[i]
		sl.counted = sl.counted.Plus(w)
		heap.Fix(&s.order, sl.place)
		return
	}

	var i int
	if len(s.slots) < cap(s.slots) {
		i = len(s.slots)
		s.slots = s.slots[:i+1]
		s.slots[i] = slot{hash: hash, counted: w}
		heap.Push(&s.order, i)
	} else {
		i = s.evict()
		sl := &s.slots[i]
		sl.hash, sl.counted, sl.over = hash, w, s.floor
		heap.Fix(&s.order, sl.place)
	}
	s.at[hash] = i
	s.slots[i].setName(name)
}

// evict gives up the name with the least weight and returns its slot. What it may have had is
// what every name that is not kept may have had.
func (s *Sketch) evict() int {
	i := s.order.places[0]
	sl := &s.slots[i]
	delete(s.at, sl.hash)
	most := sl.counted.Plus(sl.over)
	for m := range s.floor {
		s.floor[m] = max(s.floor[m], most[m])
	}
	return i
}

func (sl *slot) setName(name []byte) {
	sl.kept = uint8(copy(sl.name[:], name))
	sl.cut = len(name) > MaxName
}

// Floor is what a name that is not kept may have had at most.
func (s *Sketch) Floor() Weights { return s.floor }

// Sum is the sum over all names. It is exact.
func (s *Sketch) Sum() Weights { return s.sum }

// Len is how many names are kept.
func (s *Sketch) Len() int { return len(s.slots) }

// order is a heap of slots: the one that is given up next is the first.
type order struct {
	sketch *Sketch
	places []int // of slots
}

func (o *order) most(k int) float64 {
	sl := &o.sketch.slots[o.places[k]]
	return sl.counted[0] + sl.over[0]
}

func (o *order) Len() int           { return len(o.places) }
func (o *order) Less(i, j int) bool { return o.most(i) < o.most(j) }

func (o *order) Swap(i, j int) {
	o.places[i], o.places[j] = o.places[j], o.places[i]
	o.sketch.slots[o.places[i]].place, o.sketch.slots[o.places[j]].place = i, j
}

// Push and Pop are those of heap.Interface. Nothing is ever popped.
func (o *order) Push(x any) {
	o.sketch.slots[x.(int)].place = len(o.places)
	o.places = append(o.places, x.(int))
}

func (o *order) Pop() any { return nil }

// Item is a name and what was counted of it.
type Item struct {
	Name    string
	Cut     bool    // it has more than MaxName bytes
	Counted Weights // at least
	Over    Weights // at most so much more
	// ID is the same for the same name in all sketches of one seed.
	ID uint64
}

// Items returns what the sketches, all of one seed, have counted together: all names that one of
// them keeps, those first of which most was counted for certain.
func Items(sketches ...*Sketch) []Item {
	places := make(map[uint64]int)
	var items []Item
	var floor Weights // of the sketches so far
	for _, s := range sketches {
		for i := range items {
			if _, kept := s.at[items[i].ID]; !kept {
				items[i].Over = items[i].Over.Plus(s.floor)
			}
		}

		for i := range s.slots {
			sl := &s.slots[i]
			k, known := places[sl.hash]
			if !known {
				k = len(items)
				places[sl.hash] = k
				items = append(items, Item{Name: string(sl.name[:sl.kept]), Cut: sl.cut, Over: floor, ID: sl.hash})
			}
			items[k].Counted = items[k].Counted.Plus(sl.counted)
			items[k].Over = items[k].Over.Plus(sl.over)
		}
		floor = floor.Plus(s.floor)
	}

	slices.SortFunc(items, func(a, b Item) int {
		return cmp.Or(cmp.Compare(b.Counted[0], a.Counted[0]), cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	return items
}
